"""How fast training goes, and how long it will take yet."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 5.0  # seconds of training before a speed is told
WINDOW = 60.0  # seconds of training over which it is measured


class Pace:
    """Measures speed over training iterations alone; tests and compiling are no part of it.

    The first iteration is no part of it either: it prepares what later ones find ready.

    Args:
        t_max: environment steps of the whole run.
        test_interval: environment steps between two tests; None where none will come.
        clock: seconds, never going back.
        lost: seconds so far, of the clock's, for what will not come again (compiling).
    """

    def __init__(
        self,
        *,
        t_max: int,
        test_interval: int | None,
        clock: Callable[[], float],
        lost: Callable[[], float],
    ) -> None:
        self._t_max, self._test_interval = t_max, test_interval
        self._clock, self._lost = clock, lost
        self._tested = 0.0  # seconds in tests
        self._test = 0.0  # ... in the last one
        self.restart(0)

    def restart(self, t_env: int) -> None:
        """Begin at ``t_env``, where an earlier run had come to."""
        self._t_env = self._last_test = t_env
        self._marks: deque[tuple[float, int]] = deque()  # (seconds of training, t_env)
        self._trained = 0.0

    def _now(self) -> float:
        return self._clock() - self._lost()

    @contextmanager
    def testing(self) -> Iterator[None]:
        """Count the time of a block as a test's."""
        began = self._now()
        try:
            yield
        finally:
            self._test = self._now() - began
            self._tested += self._test
            self._last_test = self._t_env

    def step(self, t_env: int) -> None:
        """Say that an iteration has ended at ``t_env``."""
        self._t_env, now = t_env, self._now() - self._tested
        self._trained = now
        if not self._marks or now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, t_env))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW:
            self._marks.popleft()

    @property
    def speed(self) -> float | None:
        """Environment steps per second of training; None where too little has been seen."""
        if not self._marks:
            return None
        then, before = self._marks[0]
        if self._trained - then < PATIENCE or self._t_env <= before:
            return None
        return (self._t_env - before) / (self._trained - then)

    @property
    def left(self) -> float | None:
        """Seconds of training and tests to come; None where no speed is known.

        Tests to come are taken to be as long as the last one.
        """
        speed, to_come = self.speed, 0
        if speed is None:
            return None
        if self._test_interval is not None:
            to_come = math.ceil(max(0, self._t_max - self._last_test) / self._test_interval)
        return max(0, self._t_max - self._t_env) / speed + to_come * self._test
