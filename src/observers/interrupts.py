"""SIGTERM, SIGHUP and Ctrl-C end a run the same way: as INTERRUPTED, with everything saved."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_PRESS = 1.0  # seconds: a key that is held, or a wrapper that passes on what the terminal has sent already
clock = time.monotonic


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by the first signal; Sacred closes the run as INTERRUPTED.

    A KeyboardInterrupt, so that no ``except Exception`` on the way swallows it.

    Args:
        signum: the signal.
        torn: raised wherever the program was, even in a shielded block: what is in memory may be half of an iteration
            and must not be saved.
    """

    STATUS = "INTERRUPTED"

    def __init__(self, signum: int, *, torn: bool = False) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.torn = torn

    @property
    def exit_status(self) -> int:
        """128 + signal number, as shells expect: ``sys.exit(error.exit_status)``."""
        return 128 + self.signum


def _nothing_to_save(held: bool) -> str:
    return "closing the run"


class _Guard:
    """Signals are the process's, so this state is too."""

    pid = 0  # of the process that installed the handlers, 0 where none are
    first = 0  # the signal that came first
    held = False  # ... and waits for the end of a shielded block
    depth = 0  # of shielded blocks
    pressed: float | None = None  # when Ctrl-C was last heeded
    plan: Callable[[bool], str] = staticmethod(_nothing_to_save)  # what follows, in words
    closing = False  # the records are being finished
    closed = False  # ... and are


def announce(plan: Callable[[bool], str]) -> None:
    """Say at Ctrl-C what follows: ``plan(held)``, where ``held`` means that a shielded block is finished before."""
    _Guard.plan = staticmethod(plan)


def closing() -> None:
    """From now on signals change nothing: the run's records are being finished, which takes a moment."""
    _Guard.closing = True


def closed() -> None:
    """From now on Ctrl-C exits at once: everything is on file."""
    _Guard.closed = True


def _handle(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _Guard.pid:  # a forked worker inherits this handler; Ctrl-C there is the parent's to decide
        if signum != signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        return
    if _Guard.closed and signum == signal.SIGINT:
        os._exit(128 + signum)
    if _Guard.closing or (signum == signal.SIGINT and not _heed_ctrl_c()) or _Guard.first:
        return  # schedulers send SIGTERM more than once; the run is being closed already
    _Guard.first = signum
    if _Guard.depth:
        _Guard.held = True
    else:
        raise Interrupted(signum)


def _heed_ctrl_c() -> bool:
    """Tell what follows at the first Ctrl-C. Raises Interrupted at a second one; returns False for the same press."""
    before, now = _Guard.pressed, clock()
    if before is not None and now - before < SAME_PRESS:
        return False
    _Guard.pressed = now
    if before is not None:
        _Guard.held = False
        raise Interrupted(signal.SIGINT, torn=True)
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(2, f"\nInterrupted: {_Guard.plan(_Guard.depth > 0)}.\n".encode())
    return True


@contextmanager
def interrupts() -> Iterator[None]:
    """While this lasts SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` once, and a second Ctrl-C once more.

    Signals that were ignored before (nohup) stay ignored. Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or _Guard.pid == os.getpid():
        yield
        return
    _Guard.pid, _Guard.first, _Guard.held, _Guard.depth, _Guard.pressed = os.getpid(), 0, False, 0, None
    _Guard.closing = _Guard.closed = False
    announce(_nothing_to_save)
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
