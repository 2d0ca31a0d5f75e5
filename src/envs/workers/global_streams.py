"""The global generators (``random``, ``np.random``), with a state of their own for every environment of a worker.

Must not import torch.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

WATCHED_TURNS = 2000
"""So many turns of a worker are watched before it is taken for granted that nobody draws from ``random``."""


def mix_seed(seed: int) -> int:
    """Reduce a uint64 seed to below 2^31 - 1, since many simulators hold it in a signed 32-bit number.

    Small seeds stay what they are.
    """
    return seed % (2**31 - 1)


class GlobalStreams:
    """Gives each slot its own streams, so that what one draws is no matter of who else lives in the process.

    NumPy's global generator is handed over in a quarter of a microsecond, always. The state of ``random`` takes 20
    microseconds to save and set, so it is handed over only while the worker is watched, and for good from where
    somebody was seen to draw between two resets.

    Args:
        count: slots.
    """

    def __init__(self, count: int) -> None:
        self._numpy = [np.random.MT19937(0) for _ in range(count)]
        self._states: list[tuple[Any, ...] | None] = [None] * count
        self._alone = count == 1  # then the state of random may simply stay
        self._handing_over = not self._alone
        self._drawn = self._alone  # nobody is watched for nothing
        self._watched = 0
        self._left: tuple[Any, ...] | None = None  # of random, at the end of the last turn that was watched or reset

    @contextlib.contextmanager
    def turn(self, i: int) -> Iterator[None]:
        """Whatever is drawn meanwhile is drawn from the streams of slot ``i``."""
        self.enter(i)
        try:
            yield
        finally:
            self.leave(i)

    def enter(self, i: int) -> None:
        """Begin the turn of slot ``i``; :meth:`leave` must follow."""
        # also where it is alone: this forgets the normal number that NumPy keeps for the next call
        np.random.set_bit_generator(self._numpy[i])  # type: ignore[attr-defined]
        if self._handing_over and (state := self._states[i]) is not None:
            random.setstate(state)

    def leave(self, i: int) -> None:
        """End the turn of slot ``i``."""
        if self._handing_over:
            before, self._states[i] = self._states[i], random.getstate()
            if not self._drawn:
                self._watch(before, self._states[i])

    def _watch(self, before: object, after: tuple[Any, ...] | None) -> None:
        """Notice what a turn did to the state of random, and stop watching some day."""
        self._drawn = before is not None and before != after
        self._watched += 1
        self._handing_over = self._drawn or self._watched < WATCHED_TURNS
        self._left = after

    def start(self, i: int, seed: int) -> None:
        """Let the streams of slot ``i``, whose turn it is, follow from ``seed`` (uint64) alone."""
        if not (self._drawn or self._handing_over):
            self._drawn = self._handing_over = random.getstate() != self._left
        random.seed(seed)
        np.random.seed(mix_seed(seed))  # noqa: NPY002

    def started(self, i: int) -> None:
        """Slot ``i`` has been reset: whatever it has drawn so far followed from the seed."""
        if not self._alone:
            self._states[i] = self._left = random.getstate()
