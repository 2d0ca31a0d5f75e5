"""Algorithms and tasks of one environment, every algorithm on every task: what statistics over tasks are made of.

Returns are brought to 0 to 1 by the least and the greatest value of a task, as Gorsane et al. (2022) do; rates stay as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.curves import Curve
from analysis.tables import ends, finals

RATES = ("won", "rate")  # words of metrics that are between 0 and 1 by themselves
SAME_END = 0.05  # tasks whose last steps differ by no more are as long


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Algorithms and tasks of one environment, every algorithm on every task.

    Attributes:
        name: of the environment.
        tasks, groups: T and G of them.
        left_out: algorithms and tasks that lack one of the others.
        normalised: whether values were brought to 0 to 1.
        steps: task -> [K] common steps of its curves.
        values: (task, group) -> [R, K] at these steps, as measured.
        finals: (task, group) -> [R], as measured.
        bounds: task -> least and greatest value; 0 and 1 for rates.
        seeds: (task, group) -> of the R runs.
    """

    name: str
    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    normalised: bool
    steps: dict[str, np.ndarray]
    values: dict[tuple[str, str], np.ndarray]
    finals: dict[tuple[str, str], np.ndarray]
    bounds: dict[str, tuple[float, float]]
    seeds: dict[tuple[str, str], tuple[str, ...]]

    def normal(self, task: str, values: np.ndarray) -> np.ndarray:
        """Bring values of a task to 0 to 1."""
        low, high = self.bounds[task]
        return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)

    def samples(self, group: str) -> list[np.ndarray]:
        """Normalised final values of an algorithm: [R, 1] for every task."""
        return [self.normal(task, self.finals[task, group])[:, None] for task in self.tasks]


def suite_of(name: str, found: Sequence[Curve], metric: str, *, share: float = 0.0) -> Suite | None:
    """Return the algorithms that have been on all tasks, or those of most pairs of both; None without two algorithms.

    Args:
        name: of the environment.
        found: its curves of the metric.
        metric: its name; that of a rate is not normalised.
        share: of the steps at the end, over which a run is averaged; 0 for the last point alone.
    """
    kept = {(curve.panel, curve.group): curve for curve in found if len(curve.steps)}
    tasks, groups = rectangle(list(kept)) if kept else ((), ())
    if len(groups) < 2:
        return None
    lacking = [group for group in dict.fromkeys(group for _, group in kept) if group not in groups]
    lacking += [task for task in dict.fromkeys(task for task, _ in kept) if task not in tasks]
    last = {(task, group): ends(kept[task, group])[-1] for task in tasks for group in groups}
    seeds = {key: there(kept[key], end) for key, end in last.items()}
    final = {key: finals(kept[key], end, share) for key, end in last.items()}
    rate = any(word in metric for word in RATES)
    points = min(end + 1 for end in last.values())
    steps, values, bounds = {}, {}, {}
    for task in tasks:
        steps[task] = _grid([kept[task, group].steps[: last[task, group] + 1] for group in groups], points)
        for group in groups:
            curve = kept[task, group]
            rows = curve.values[np.isfinite(curve.values[:, last[task, group]])]
            values[task, group] = np.stack([_at(steps[task], curve.steps, row) for row in rows])
        every = np.concatenate([one[task, group].ravel() for group in groups for one in (values, final)])
        bounds[task] = (0.0, 1.0) if rate else (float(every.min()), float(every.max()))
    return Suite(
        name=name, tasks=tasks, groups=groups, left_out=tuple(lacking), normalised=not rate, steps=steps,
        values=values, finals=final, bounds=bounds, seeds=seeds,
    )  # fmt: skip


def rectangle(cells: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return tasks and algorithms of which every pair is there: as many pairs as possible, of two algorithms or more.

    Args:
        cells: (task, algorithm) that are there.
    """
    tasks, groups = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    there = set(cells)
    best: tuple[list[str], list[str]] = ([], [])
    for own in groups:
        for other in groups:  # tasks that two algorithms share
            kept = [task for task in tasks if (task, own) in there and (task, other) in there]
            full = [group for group in groups if all((task, group) in there for task in kept)]
            size, least = len(kept) * len(full), len(best[0]) * len(best[1])
            if kept and (len(full) > 1, size) > (len(best[1]) > 1, least):
                best = kept, full
    return tuple(best[0]), tuple(best[1])


def there(curve: Curve, end: int) -> tuple[str, ...]:
    """Return the seeds of the runs that reach a point; numbers where they are unknown."""
    rows = np.flatnonzero(np.isfinite(curve.values[:, end]))
    seeds = curve.seeds or tuple(str(i + 1) for i in range(len(curve.values)))
    return tuple(seeds[i] for i in rows)


def _grid(steps: Sequence[np.ndarray], points: int) -> np.ndarray:
    """Steps that all curves of a task have reached; their own where they have the same."""
    if all(len(one) == points and np.array_equal(one, steps[0]) for one in steps):
        return steps[0]
    first, last = max(one[0] for one in steps), min(one[-1] for one in steps)
    return np.linspace(min(first, last), last, points)


def _at(grid: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    good = np.isfinite(values)
    return np.interp(grid, steps[good], values[good])
