"""Tells what is compiled, about how long it takes, and when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import event

from core.compiling import KERNELS, is_cached
from core.sources import closure

KIND = "numba:compile"
EACH = 0.3  # seconds that a kernel takes on the average, on an idle core
WORTH_TELLING = 2.0  # seconds


class Compilation(event.Listener):
    """Listens to Numba from :meth:`start` to :meth:`stop`.

    Args:
        what: whose kernels these are.
        say: shows a line.
        clock: seconds, never going back.
    """

    def __init__(self, what: str, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._say, self._clock = what, say, clock
        self._listening = False
        self._depth = 0  # kernels that are compiled because others call them
        self._began = 0.0
        self._total = 0.0
        self._told: float | None = None  # the total when compiling was told

    @property
    def seconds(self) -> float:
        """Spent on compiling so far, now included."""
        return self._total + (self._clock() - self._began if self._depth else 0.0)

    def start(self) -> None:
        """Listen; calling it twice is harmless."""
        if not self._listening:
            event.register(KIND, self)
        self._listening = True

    def stop(self) -> None:
        """Listen no more; calling it twice is harmless."""
        if self._listening:
            event.unregister(KIND, self)
        self._listening = False

    def on_start(self, event: event.Event) -> None:
        """A kernel is compiled (Numba calls this)."""
        if not self._depth:
            self._began = self._clock()
            self._tell(event.data["dispatcher"])
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """It is compiled, or could not be."""
        self._depth -= 1
        if not self._depth:
            self._total += self._clock() - self._began

    def _tell(self, first: Any) -> None:
        package = first.__module__.partition(".")[0]  # environments and networks compile at different times
        near = {kernel: _file(kernel) for kernel in KERNELS if kernel.__module__.partition(".")[0] == package}
        missing = {file for kernel, file in near.items() if not kernel.signatures and not is_cached(kernel)}
        inlined = {path for file in missing for path in closure(file)}  # what they call becomes part of them
        expected = EACH * sum(file in inlined for file in near.values())
        if self._told is None and expected >= WORTH_TELLING:
            self._told = self._total
            about = max(5, 5 * round(expected / 5))
            self._say(f"Compiling the kernels of {self._what} (once, about {about} s) ...")

    def done(self) -> None:
        """Say that what was told is done; call it after what may have been compiling."""
        if self._told is not None and not self._depth:
            self._say(f"Compiled in {self._total - self._told:.0f} s.")
            self._told = None


def _file(kernel: Any) -> Path:
    return Path(kernel.py_func.__code__.co_filename).resolve()
