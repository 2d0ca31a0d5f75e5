"""SIGTERM, SIGHUP and Ctrl-C end a run the same way: as INTERRUPTED, with everything saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by the first signal; Sacred closes the run as INTERRUPTED.

    A KeyboardInterrupt, so that no ``except Exception`` on the way swallows it.
    """

    STATUS = "INTERRUPTED"

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum

    @property
    def exit_status(self) -> int:
        """128 + signal number, as shells expect: ``sys.exit(error.exit_status)``."""
        return 128 + self.signum


@contextmanager
def interrupts() -> Iterator[None]:
    """While this lasts SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` once; a second Ctrl-C exits at once."""
    yield


@contextmanager
def shield() -> Iterator[None]:
    """Hold a signal back until the block is done (short blocks: writing points, saving a checkpoint)."""
    yield
