"""Schedules over environment steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LinearSchedule:
    """From ``start`` to ``finish`` in ``steps`` environment steps, then constant."""

    start: float
    finish: float
    steps: int

    def __call__(self, t_env: int) -> float:
        """Return the value at an environment step."""
        if self.steps <= 0:
            return self.finish
        fraction = min(max(t_env / self.steps, 0.0), 1.0)
        return self.start + fraction * (self.finish - self.start)
