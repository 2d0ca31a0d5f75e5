"""A copy of a run that is brought up to date in the background, and cannot hold up or end the run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import warn


class CopyFailed(Exception):
    """The other side did not take what it was given; trying again later may help. The message is for the user."""


class Mirror(Protocol):
    """A copy of one run's files somewhere else."""

    def sync(self) -> object:
        """Bring the copy up to date.

        Raises:
            CopyFailed: it is not.
            OSError: the run's files cannot be read.
        """

    def close(self) -> None:
        """Nothing more will come. Raises as :meth:`sync` does."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a copy is brought up to date, and how long the end of a run waits for it, in seconds."""

    every: float = 10.0
    last: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds that a server has to be found, and to answer."""

    find: float = 3.0
    answer: float = 5.0


class Follower:
    """Calls a mirror's ``sync`` from a thread of its own until :meth:`close`.

    Whatever goes wrong costs one warning; it is tried again until the end.

    Args:
        mirror: makes the copy, from the run's folder; called in the thread.
        folder: results of the run, being written.
        what: is copied to, in words: "MongoDB at 127.0.0.1:27017".
        mend: what the user can do when the copy is not complete, a sentence without its full stop.
        pace: see there.
    """

    def __init__(
        self,
        mirror: Callable[[Path], Mirror],
        folder: Path,
        *,
        what: str,
        mend: str,
        pace: Pace,
    ) -> None:
        self._make, self._folder = mirror, folder
        self._what, self._mend, self._pace = what, mend, pace
        self._warned = False
        self._stop = threading.Event()
        self._complete = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"copy to {what}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        mirror = self._make(self._folder)
        self._try(mirror.sync)
        while not self._stop.wait(self._pace.every):
            self._try(mirror.sync)
        if self._try(mirror.sync) and self._try(mirror.close):
            self._complete.set()

    def _try(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except (CopyFailed, OSError) as error:
            self._warn(f"{error}; the run goes on and the copy is tried again until its end")
            return False
        return True

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warn(f"{self._what}: {reason}. {self._mend}")

    def close(self) -> None:
        """Bring the copy up to date a last time, waiting no longer than ``pace.last``; all files are written."""
        self._stop.set()
        self._thread.join(self._pace.last)
        if not self._complete.is_set():
            self._warn("the copy is not complete at the end of the run")
