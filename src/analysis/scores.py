"""Algorithms against algorithms over several tasks: final values, probability of improvement, performance profiles.

All as Agarwal et al. (2021) define them, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"; the
intervals are of the stratified bootstrap, which resamples the seeds of every task by themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from analysis.curves import Curve, iqm, side_by_side
from analysis.suites import SAME_END, Suite, there
from analysis.tables import ends, finals
from core.intervals import stratified

TAUS = np.linspace(0.0, 1.0, 41)
POINTS = 25  # of a sample efficiency curve
MOST = 12  # algorithms of which all pairs are compared


class Band(NamedTuple):
    """A statistic with its 95% interval: [K] each."""

    center: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Score:
    """Final values of an algorithm on a task: at the last step that most of its seeds have reached.

    Attributes:
        task, group: of the curve.
        seeds: of the R runs; empty where unknown.
        values: [R].
        step: at which.
        late: some algorithm of the task was trained longer.
        band: interquartile mean, [1].
    """

    task: str
    group: str
    seeds: tuple[str, ...]
    values: np.ndarray
    step: float
    late: bool
    band: Band


def scores(found: Sequence[Curve], *, share: float = 0.0) -> list[Score]:
    """Return the final values of every curve.

    Args:
        found: of one metric.
        share: of the steps at the end, over which a run is averaged; 0 for the last point alone.
    """
    last = {(curve.panel, curve.group): ends(curve)[-1] for curve in found if len(curve.steps)}
    longest: dict[str, float] = {}
    for curve in found:
        if len(curve.steps):
            longest[curve.panel] = max(longest.get(curve.panel, 0.0), float(curve.steps[-1]))

    def one(curve: Curve) -> Score:
        end = last[curve.panel, curve.group]
        values, step = finals(curve, end, share), float(curve.steps[end])
        return Score(
            task=curve.panel, group=curve.group, seeds=there(curve, end), values=values, step=step,
            late=step < (1 - SAME_END) * longest[curve.panel],
            band=Band(iqm(values[:, None], axis=0), *stratified([values[:, None]], iqm)),
        )  # fmt: skip

    return side_by_side(one, [curve for curve in found if (curve.panel, curve.group) in last])


# -- statistics over tasks -------------------------------------------------------------------------------------------


def pooled_iqm(*samples: np.ndarray, axis: int = 0) -> np.ndarray:
    """Interquartile mean over the runs of all tasks."""
    return iqm(np.concatenate(samples, axis=axis), axis=axis)


def pooled_mean(*samples: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean over the runs of all tasks."""
    return np.concatenate(samples, axis=axis).mean(axis=axis)


def improvement(*samples: np.ndarray, axis: int = 0) -> np.ndarray:
    """P(X > Y) + P(X = Y) / 2 for a run of X and one of Y on the same task, averaged over tasks.

    Args:
        samples: those of X, task by task, and then those of Y.
        axis: of the runs.
    """
    half = len(samples) // 2
    parts = []
    for x, y in zip(samples[:half], samples[half:], strict=True):
        left, right = np.moveaxis(x, axis, -1)[..., :, None], np.moveaxis(y, axis, -1)[..., None, :]
        parts.append(0.5 + 0.5 * np.sign(left - right).mean(axis=(-2, -1)))
    return np.mean(parts, axis=0)


def aggregates(suite: Suite) -> dict[str, Band]:
    """Interquartile mean of normalised final values over all tasks: algorithm -> [1]."""
    return _bands(suite.groups, suite.samples, pooled_iqm)


def improvements(suite: Suite) -> dict[tuple[str, str], Band]:
    """Probability that the first algorithm of a pair does better than the second: [1].

    Of more than :data:`MOST` algorithms those with the best interquartile means are compared.
    """
    center = {group: float(pooled_iqm(*suite.samples(group))[0]) for group in suite.groups}
    groups = sorted(sorted(suite.groups, key=lambda group: -center[group])[:MOST], key=suite.groups.index)
    pairs = list(itertools.combinations(groups, 2))
    found = _bands(pairs, lambda pair: [*suite.samples(pair[0]), *suite.samples(pair[1])], improvement)
    turned = {(y, x): Band(1 - p.center, 1 - p.high, 1 - p.low) for (x, y), p in found.items()}
    return found | turned


def profiles(suite: Suite) -> dict[str, Band]:
    """Performance profile: share of runs whose normalised final value is above each of :data:`TAUS`."""
    return _bands(
        suite.groups, lambda group: [(one > TAUS).astype(np.float64) for one in suite.samples(group)], pooled_mean
    )


def efficiency(suite: Suite) -> tuple[np.ndarray, bool, dict[str, Band]]:
    """Interquartile mean of normalised values over all tasks while training goes on.

    Returns:
        x [K], whether x is environment steps (else the share of each task's steps), algorithm -> [K].
    """
    ends_at = np.array([suite.steps[task][-1] for task in suite.tasks])
    same = bool(ends_at.min() >= (1 - SAME_END) * ends_at.max())
    points = min(POINTS, len(suite.steps[suite.tasks[0]]))
    shares = np.linspace(0.0, 1.0, points)

    def curves_of(group: str) -> list[np.ndarray]:
        found = []
        for task in suite.tasks:
            steps = suite.steps[task]
            at = steps[0] + shares * (steps[-1] - steps[0])
            rows = suite.normal(task, suite.values[task, group])
            found.append(np.stack([np.interp(at, steps, row) for row in rows]))
        return found

    first = float(np.mean([suite.steps[task][0] for task in suite.tasks]))
    x = first + shares * (float(ends_at.mean()) - first) if same else shares
    return x, same, _bands(suite.groups, curves_of, pooled_iqm)


def _bands(names: Sequence[Any], samples: Callable[[Any], list], statistic: Callable[..., np.ndarray]) -> dict:
    def one(name: Any) -> Band:
        own = samples(name)
        return Band(statistic(*own, axis=0), *stratified(own, statistic))

    return dict(zip(names, side_by_side(one, names), strict=True))
