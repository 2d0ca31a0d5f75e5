"""Curves over seeds: alignment, centre and bootstrap interval.

The interquartile mean and its bootstrap interval are those that Agarwal et al. (2021), "Deep Reinforcement
Learning at the Edge of the Statistical Precipice", recommend.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.lines import Line, distinct, some, sort_runs
from analysis.records import RunRecord, Series
from analysis.selecting import check_keys
from core import intervals
from core.errors import UserError
from core.registry import did_you_mean

GRID = 500  # most points of a curve whose seeds have different steps


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Interquartile mean: the mean without the lowest and the highest quarter (whole seeds are cut).

    SciPy's ``trim_mean`` at 0.25, which parts rows where it is faster to sort them: intervals take a third of the time.
    """
    cut = values.shape[axis] // 4
    rows = np.sort(np.moveaxis(values, axis, -1), axis=-1)
    return rows[..., cut : rows.shape[-1] - cut].mean(axis=-1)


def _mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.mean(values, axis=axis)


def _median(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.median(values, axis=axis)


CENTERS: dict[str, Callable[..., np.ndarray]] = {"iqm": iqm, "median": _median, "mean": _mean}


def interval(values: np.ndarray, center: str) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval over seeds, pointwise.

    Args:
        values: [S, K], seeds first.
        center: key of :data:`CENTERS`.

    Returns:
        low [K] and high [K]; both NaN with fewer than two seeds.
    """
    return intervals.interval(values, CENTERS[center])


def side_by_side(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """``map`` in as many threads as there are cores (NumPy computes without the interpreter's lock)."""
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), 8)) as pool:
        return list(pool.map(work, items))


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average over ``window`` points ([K] -> [K]); shorter windows at both ends."""
    if window <= 1:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(np.minimum(index, len(values) - 1 - index), window // 2)
    return (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)


def align(series: Sequence[Series]) -> tuple[np.ndarray, np.ndarray]:
    """Bring seeds to common steps by linear interpolation.

    Ends that differ by less than half the distance of two points are the same end: the last test of every seed is a
    few steps from that of the others.

    Returns:
        steps [K], values [S, K], NaN where a seed has none; at every step at least one has.
    """
    firsts, lasts = (np.array([steps[i] for steps, _ in series]) for i in (0, -1))
    slack = 0.5 * max(float(np.median(np.diff(steps))) if len(steps) > 1 else 0.0 for steps, _ in series)
    first = firsts[firsts <= firsts.min() + slack].max()
    last = max(first, lasts[lasts >= lasts.max() - slack].min())
    grid = np.unique(np.concatenate([steps for steps, _ in series]))
    grid = grid[(grid >= first) & (grid <= last)]
    densest = max(len(steps) for steps, _ in series)
    if len(grid) > densest:  # different steps: no finer than the seeds themselves
        grid = np.linspace(first, last, min(GRID, densest))
    values = np.stack([np.interp(grid, steps, values) for steps, values in series])
    values[(grid < firsts[:, None] - slack) | (grid > lasts[:, None] + slack)] = np.nan
    some = np.isfinite(values).any(axis=0)
    return grid[some], values[:, some]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel: R runs at K common steps.

    Attributes:
        panel: task (or whatever panels are made of).
        group: algorithm (or whatever lines are made of).
        steps: [K].
        values: [R, K], NaN where a run has none.
        center: [K], of the runs that are there.
        low: [K], NaN where there are fewer than two seeds.
        high: [K], likewise.
        seeds: of every run; empty where each has one of its own.
    """

    panel: str
    group: str
    steps: np.ndarray
    values: np.ndarray
    center: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: tuple[str, ...] = ()

    @property
    def n_seeds(self) -> int:
        """Distinct seeds."""
        return len(set(self.seeds)) if self.seeds else len(self.values)

    @property
    def counts(self) -> np.ndarray:
        """Distinct seeds at every step, [K]."""
        return count_seeds(self.values, self.seeds)


def count_seeds(values: np.ndarray, seeds: Sequence[str] = ()) -> np.ndarray:
    """Distinct seeds that are there at every step ([R, K] -> [K])."""
    there = np.isfinite(values)
    rows = [[i for i, seed in enumerate(seeds) if seed == one] for one in dict.fromkeys(seeds)]
    return np.sum([there[i].any(axis=0) for i in rows or range(len(values))], axis=0)


def curves(
    runs: Sequence[RunRecord],
    metric: str,
    *,
    group_by: Sequence[str] = (),
    panel_by: Sequence[str] = (),
    center: str = "iqm",
    window: int = 1,
    until: float = math.inf,
) -> list[Curve]:
    """Make the curves of a metric, sorted by panel and group.

    Args:
        runs: from :func:`analysis.runs.find_runs`.
        metric: e.g. "test_return_mean".
        group_by: settings whose values make a line; empty for algorithms and what their runs differ in.
        panel_by: settings whose values make a panel; empty for tasks (:mod:`analysis.lines`).
        center: key of :data:`CENTERS`.
        window: points of the moving average that smooths each run.
        until: step after whose measurement, which may be late by half the distance of two, nothing counts.

    Raises:
        UserError: no run has the metric, or a setting of ``group_by`` or ``panel_by``.
    """
    check_keys((*group_by, *panel_by), runs)
    series = {run.path: points for run in runs if (points := _finite(run, metric, window, until)) is not None}
    if not series:
        names = sorted({name for run in runs for name in run.metrics})
        known = ", ".join(names) if names else "none yet"
        near = f" Did you mean '{metric}_mean'?" if f"{metric}_mean" in names else did_you_mean(metric, names)
        raise UserError(f"No run has the metric '{metric}'.{near} There are: {known}.")
    if len(series) < len(runs):
        without = [run for run in runs if run.path not in series]
        near = did_you_mean(metric, {name for run in without for name in run.metrics if _same_of_a_team(name, metric)})
        paths = some([str(run.path) for run in without], 3)
        warnings.warn(f"left out, since they have no {metric}: {paths}.{near}", stacklevel=2)
    lines, repeated = [], []
    for line in sort_runs([run for run in runs if run.path in series], group_by=group_by, panel_by=panel_by):
        kept, again = distinct(line, lambda run: float(series[run.path][0][-1]))
        repeated += again
        lines.append(kept)
    found = side_by_side(lambda line: _curve(line, [series[run.path] for run in line.runs], center), lines)
    _tell(repeated, [curve for curve in found if curve.counts.min() < curve.n_seeds])
    return found


def _same_of_a_team(name: str, metric: str) -> bool:
    """Whether a name is the metric with more words in it: test_return_mean is one team's test_prey_return_mean."""
    words = iter(name.split("_"))
    return all(word in words for word in metric.split("_"))


def _curve(line: Line, series: Sequence[Series], center: str) -> Curve:
    steps, values = align(series)
    middle, low, high = np.full((3, len(steps)), np.nan)
    there, counts = np.isfinite(values), count_seeds(values, line.seeds)
    patterns, which = np.unique(there, axis=1, return_inverse=True)
    for i, rows in enumerate(patterns.T):  # steps that the same runs have reached
        columns = which.reshape(-1) == i
        part = values[np.ix_(rows, columns)]
        middle[columns] = CENTERS[center](part, axis=0)
        if counts[columns][0] > 1:
            low[columns], high[columns] = interval(part, center)
    return Curve(
        panel=line.panel, group=line.group, steps=steps, values=values, center=middle, low=low, high=high,
        seeds=line.seeds,
    )  # fmt: skip


def _tell(repeated: Sequence[tuple[RunRecord, RunRecord]], unequal: Sequence[Curve]) -> None:
    if repeated:
        pairs = [f"{run.path} ({best.path} counts)" for run, best in repeated]
        warnings.warn(f"left out, since another run has the same settings and seed: {some(pairs, 3)}", stacklevel=3)
    if unequal:
        lengths = [
            f"{curve.group} on {curve.panel} ({curve.counts.max()} up to step {_last(curve):,.0f}, "
            f"{curve.counts[-1]} at step {curve.steps[-1]:,.0f})"
            for curve in unequal
        ]
        warnings.warn(f"seeds of different lengths: {some(lengths, 3)}", stacklevel=3)


def _last(curve: Curve) -> float:
    """The last step with most seeds."""
    return float(curve.steps[curve.counts == curve.counts.max()][-1])


def _finite(run: RunRecord, metric: str, window: int, until: float) -> Series | None:
    steps, values = run.metrics.get(metric, (np.zeros(0), np.zeros(0)))
    late = 0.5 * float(np.median(np.diff(steps))) if len(steps) > 1 else 0.0
    there = ~(steps > until + late)
    steps, values = steps[there], values[there]
    good = np.isfinite(values) & np.isfinite(steps)
    if not good.all():
        warnings.warn(f"{run.path}: {(~good).sum()} of {len(good)} points of {metric} are not finite", stacklevel=3)
    return (steps[good], smooth(values[good], window)) if good.any() else None
