"""SIGTERM, SIGHUP and Ctrl-C end a run the same way: as INTERRUPTED, with everything saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by the first signal; Sacred closes the run as INTERRUPTED.

    A KeyboardInterrupt, so that no ``except Exception`` on the way swallows it.
    """

    STATUS = "INTERRUPTED"

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_status(self) -> int:
        """128 + signal number, as shells expect: ``sys.exit(error.exit_status)``."""
        return 128 + self.signum


class _Guard:
    """Signals are the process's, so this state is too."""

    pid = 0  # of the process that installed the handlers, 0 where none are
    first = 0  # the signal that came first
    held = False  # ... and waits for the end of a shielded block
    depth = 0  # of shielded blocks


def _handle(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _Guard.pid:  # a forked worker inherits this handler; Ctrl-C there is the parent's to decide
        if signum != signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        return
    if _Guard.first:
        if signum == signal.SIGINT:
            if sys.stdout is not None and sys.stdout.isatty():
                os.write(1, b"\x1b[?25h\n")  # the progress bar had hidden the cursor
            os._exit(128 + signum)
        return  # schedulers send SIGTERM more than once; the run is being closed already
    _Guard.first = signum
    if signum == signal.SIGINT:
        os.write(2, b"\nInterrupted: saving and closing the run. Ctrl-C again exits at once.\n")
    if _Guard.depth:
        _Guard.held = True
    else:
        raise Interrupted(signum)


@contextmanager
def interrupts() -> Iterator[None]:
    """While this lasts SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` once; a second Ctrl-C exits at once.

    Signals that were ignored before (nohup) stay ignored. Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or _Guard.pid == os.getpid():
        yield
        return
    _Guard.pid, _Guard.first, _Guard.held, _Guard.depth = os.getpid(), 0, False, 0
    previous = {signum: signal.getsignal(signum) for signum in SIGNALS}
    mine = [signum for signum, handler in previous.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for signum in mine:
            signal.signal(signum, _handle)
        yield
    finally:
        for signum in mine:
            signal.signal(signum, previous[signum])
        _Guard.pid = 0


@contextmanager
def shield() -> Iterator[None]:
    """Hold a signal back until the block is done (short blocks: writing points, saving a checkpoint).

    Raises:
        Interrupted: at the end of the block, if a signal came meanwhile and the block itself did not fail.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Guard.depth += 1
    try:
        yield
    finally:
        _Guard.depth -= 1
        due = _Guard.held and not _Guard.depth
        _Guard.held = _Guard.held and not due
    if due:
        raise Interrupted(_Guard.first)
