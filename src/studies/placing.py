"""Where the runs of a set are placed: in processes of this machine, or elsewhere (``studies/on_ray.py``).

A placer knows nothing of runs: it is given a command line and says how it ended. What is finished, what continues and
what is tried again is known by :mod:`studies.run_set` alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status, negative where a signal ended it; None where nobody can tell any more.
        out, err: what it printed.
        node_gone: it ended because the machine that it was on is gone.
    """

    status: int | None
    out: str = ""
    err: str = ""
    node_gone: bool = False


class Placed(Protocol):
    """A command that is going on, or waits for its place."""

    def wait(self) -> Ended:
        """Wait for its end."""

    def stop(self) -> None:
        """Ask it to save and end; :meth:`wait` then returns soon."""


class Placer(Protocol):
    """A place for runs."""

    def place(self, command: Sequence[str]) -> Placed:
        """Start a command, or queue it where others are before it."""


class Local:
    """Processes of this machine; a placer. Each ends in order when this process ends, however it does (Linux)."""

    def place(self, command: Sequence[str]) -> LocalRun:
        """Start a command."""
        return LocalRun(command)


class LocalRun:
    """One of them."""

    def __init__(self, command: Sequence[str], cwd: Path | None = None) -> None:
        # a session of its own: Ctrl-C reaches this process alone, which passes it on
        self._process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", start_new_session=True, preexec_fn=_ended_with_us(),
        )  # fmt: skip

    def wait(self) -> Ended:
        """Wait for its end."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, err = self._process.communicate(timeout=1.0)  # between, Ray may interrupt a task
                return Ended(self._process.returncode, out, err)

    def stop(self) -> None:
        """Ask it to save and end."""
        self._process.terminate()


def _ended_with_us() -> Callable[[], None] | None:
    """What a new process asks of the kernel: SIGTERM when the thread that waits for it is gone."""
    if sys.platform != "linux":
        return None
    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_death_signal, int(signal.SIGTERM), 0, 0, 0)
