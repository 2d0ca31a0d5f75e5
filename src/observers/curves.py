"""Curves over seeds: alignment, centre and bootstrap interval.

The interquartile mean and its bootstrap interval are those that Agarwal et al. (2021), "Deep Reinforcement
Learning at the Edge of the Statistical Precipice", recommend.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import UserError
from core.registry import did_you_mean
from observers.runs import RunRecord, Series

GRID = 500  # most points of a curve whose seeds have different steps
RESAMPLES = 2_000
CONFIDENCE = 0.95


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Interquartile mean: the mean without the lowest and the highest quarter (whole seeds are cut)."""
    from scipy.stats import trim_mean

    return trim_mean(values, 0.25, axis=axis)


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
    if len(values) < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,), CENTERS[center], axis=0, vectorized=True, method="percentile", confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES, batch=100, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return found.low, found.high


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average over ``window`` points ([K] -> [K]); shorter windows at both ends."""
    if window <= 1:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(np.minimum(index, len(values) - 1 - index), window // 2)
    return (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)


def align(series: Sequence[Series]) -> tuple[np.ndarray, np.ndarray]:
    """Bring seeds to common steps by linear interpolation, over the range that all of them cover.

    Returns:
        steps [K], values [S, K]; K = 0 where the seeds have no step in common.
    """
    first = max(steps[0] for steps, _ in series)
    last = min(steps[-1] for steps, _ in series)
    grid = np.unique(np.concatenate([steps for steps, _ in series]))
    grid = grid[(grid >= first) & (grid <= last)]
    densest = max(len(steps) for steps, _ in series)
    if len(grid) > densest:  # different steps: no finer than the seeds themselves
        grid = np.linspace(first, last, min(GRID, densest))
    return grid, np.stack([np.interp(grid, steps, values) for steps, values in series])


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel: S seeds at K common steps.

    Attributes:
        panel: environment (or whatever panels are made of).
        group: algorithm (or whatever lines are made of).
        steps: [K].
        values: [S, K].
        center: [K].
        low: [K], NaN with one seed.
        high: [K], NaN with one seed.
    """

    panel: str
    group: str
    steps: np.ndarray
    values: np.ndarray
    center: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def n_seeds(self) -> int:
        """S."""
        return len(self.values)


def curves(
    runs: Sequence[RunRecord],
    metric: str,
    *,
    group_by: Sequence[str] = ("name",),
    panel_by: Sequence[str] = (),
    center: str = "iqm",
    window: int = 1,
) -> list[Curve]:
    """Make the curves of a metric, sorted by panel and group.

    Args:
        runs: from :func:`observers.runs.find_runs`.
        metric: e.g. "test_return_mean".
        group_by: settings whose values make a line.
        panel_by: settings whose values make a panel; empty for environment and map.
        center: key of :data:`CENTERS`.
        window: points of the moving average that smooths each seed.

    Raises:
        UserError: no run has the metric, or a setting of ``group_by`` or ``panel_by``.
    """
    for key in (*group_by, *panel_by):
        if all(run.setting(key) is None for run in runs):
            raise UserError(f"No run has the setting '{key}'.{did_you_mean(key, _setting_names(runs))}")
    groups: dict[tuple[str, str], list[tuple[RunRecord, Series]]] = {}
    for run in runs:
        series = _finite(run, metric, window)
        if series is not None:
            panel = _label(run, panel_by) if panel_by else run.environment
            groups.setdefault((panel, _label(run, group_by)), []).append((run, series))
    if not groups:
        names = sorted({name for run in runs for name in run.metrics})
        known = ", ".join(names) if names else "none yet"
        raise UserError(f"No run has the metric '{metric}'.{did_you_mean(metric, names)} There are: {known}.")
    found = [_curve(panel, group, members, center) for (panel, group), members in sorted(groups.items())]
    if not any(found):
        raise UserError(
            "Nothing to draw: no group's runs have steps in common. Give fewer paths, or another --group-by."
        )
    return [curve for curve in found if curve is not None]


def _curve(panel: str, group: str, members: Sequence[tuple[RunRecord, Series]], center: str) -> Curve | None:
    steps, values = align([series for _, series in members])
    if not len(steps):
        paths = ", ".join(str(run.path) for run, _ in members)
        warnings.warn(f"{group} on {panel} is left out: these runs have no steps in common: {paths}", stacklevel=3)
        return None
    longest = max(series[0][-1] for _, series in members)
    shortest, series = min(members, key=lambda member: member[1][0][-1])
    if series[0][-1] < 0.9 * longest:
        warnings.warn(
            f"{group} on {panel} is drawn up to step {series[0][-1]:,.0f} only, where {shortest.path} "
            f"({shortest.status or 'status unknown'}) ends; the longest run has {longest:,.0f}",
            stacklevel=3,
        )
    low, high = interval(values, center)
    middle = CENTERS[center](values, axis=0)
    return Curve(panel=panel, group=group, steps=steps, values=values, center=middle, low=low, high=high)


def _finite(run: RunRecord, metric: str, window: int) -> Series | None:
    steps, values = run.metrics.get(metric, (np.zeros(0), np.zeros(0)))
    good = np.isfinite(values) & np.isfinite(steps)
    if not good.all():
        warnings.warn(f"{run.path}: {(~good).sum()} of {len(good)} points of {metric} are not finite", stacklevel=3)
    return (steps[good], smooth(values[good], window)) if good.any() else None


def _label(run: RunRecord, keys: Sequence[str]) -> str:
    """The run's values of ``keys``; a key that it does not have is left out."""
    values = [(key, run.setting(key)) for key in keys if run.setting(key) is not None]
    words = [str(value) if key in ("name", "env") else f"{key.rpartition('.')[2]}={value}" for key, value in values]
    return ", ".join(words) or "none"


def _setting_names(runs: Sequence[RunRecord]) -> set[str]:
    names = {key for run in runs for key in run.config}
    return names | {f"env_args.{key}" for run in runs for key in (run.setting("env_args") or {})}
