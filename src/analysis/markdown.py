"""Curves as tables in Markdown, ready to paste into a page: best first, every seed told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.tables import ends, finals

if TYPE_CHECKING:
    from analysis.curves import Curve

LATE = 0.1  # of the steps: "the last tenth"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a heading and its rows as a table."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def tables(
    found: Sequence[Curve], metric: str, *, share: float = 0.0, further: Mapping[str, Sequence[Curve]] | None = None
) -> str:
    """Return a table per task: algorithm, steps, median over seeds, every seed, median over the last tenth.

    Args:
        found: the curves of the metric.
        metric: its name, for the titles.
        share: of the steps at the end, over which each seed of "median" and "all seeds" is averaged; 0 for the last
            point alone. Where it is not 0 the last column is of the last point.
        further: other metrics -> their curves: a column each, medians over the last tenth.
    """
    medians = ("last tenth", "all seeds", "at the end") if share else ("median", "all seeds", "last tenth")
    parts = []
    for panel, members in _panels(found).items():
        shown = [(curve, end) for curve in members for end in ends(curve)]
        shown.sort(key=lambda one: -_median(one[0], one[1], share))
        columns = {_called(metric): _column(shown, curves) for metric, curves in (further or {}).items()}
        rows = [["algorithm", "steps", *medians, *columns]]
        digits = _digits([_median(curve, end, share) for curve, end in shown])
        for i, (curve, end) in enumerate(shown):
            cells = [curve.group, steps(curve.steps[end]), *_own(curve, end, share, digits)]
            rows.append([*cells, *(column[i] for column in columns.values())])
        parts.append(f"{panel}: {metric}\n\n{markdown(rows)}")
    return "\n\n".join(parts)


def _own(curve: Curve, end: int, share: float, digits: int) -> list[str]:
    """Median, every seed, and the median of the other way to take a final value."""
    values, beside = finals(curve, end, share), _median(curve, end, 0.0 if share else LATE)
    seeds = ", ".join(f"{value:.{digits}f}" for value in values)
    return [f"{np.median(values):.{digits}f}", seeds, f"{beside:.{digits}f}"]


def wide(found: Sequence[Curve], metric: str, *, share: float = 0.0) -> str:
    """Return one table: a row per task, a column per algorithm (best first), median and in brackets the extremes.

    Args:
        found, metric, share: as of :func:`tables`.
    """
    panels = _panels(found)
    last = {(c.panel, c.group): (c, ends(c)[-1]) for c in found if len(c.steps)}
    groups = list(dict.fromkeys(group for _, group in last))
    groups.sort(key=lambda group: _mean_place(group, panels, share))
    digits = _digits([_median(curve, end, share) for curve, end in last.values()])
    rows = [["task", "steps", *groups]]
    for panel, members in panels.items():
        lengths = dict.fromkeys(steps(curve.steps[ends(curve)[-1]]) for curve in members)
        cells = [_cell(*last[panel, name], share, digits) if (panel, name) in last else "" for name in groups]
        rows.append([panel, ", ".join(lengths), *cells])
    return f"{metric}\n\n{markdown(rows)}"


def steps(number: float) -> str:
    """Environment steps, short: 1M, 2.5M, 960k; a run's last test is a few steps late."""
    if number < 999.5:
        return f"{number:.3g}"
    return f"{number / 1e3:.3g}k" if number < 999_500 else f"{number / 1e6:.3g}M"


def _panels(found: Sequence[Curve]) -> dict[str, list[Curve]]:
    panels: dict[str, list[Curve]] = {}
    for curve in found:
        if len(curve.steps):
            panels.setdefault(curve.panel, []).append(curve)
    return panels


def _median(curve: Curve, end: int, share: float) -> float:
    return float(np.median(finals(curve, end, share)))


def _digits(values: Sequence[float]) -> int:
    """Decimals that tell: rates have 2, returns 1, great ones none."""
    greatest = max(map(abs, values), default=0.0)
    return 2 if greatest < 2 else 1 if greatest < 1000 else 0


def _cell(curve: Curve, end: int, share: float, digits: int) -> str:
    values = finals(curve, end, share)
    low, middle, high = (f"{value:.{digits}f}" for value in (values.min(), np.median(values), values.max()))
    return middle if len(values) == 1 else f"{middle} ({low}, {high})"


def _mean_place(group: str, panels: Mapping[str, Sequence[Curve]], share: float) -> float:
    """Share of the others that are better, over the tasks that the group has: 0 for the best of all."""
    places = []
    for members in panels.values():
        medians = {curve.group: _median(curve, ends(curve)[-1], share) for curve in members}
        if group in medians:
            places.append(sum(value > medians[group] for value in medians.values()) / max(1, len(medians) - 1))
    return float(np.mean(places))


def _called(metric: str) -> str:
    """A metric as a heading: test_occupied_landmarks_mean is "occupied landmarks"."""
    return metric.removeprefix("test_").removesuffix("_mean").replace("_", " ")


def _column(shown: Sequence[tuple[Curve, int]], curves: Sequence[Curve]) -> list[str]:
    """Medians of another metric over the last tenth, for the same lines; empty where a line has none."""
    own = {(curve.panel, curve.group): curve for curve in curves if len(curve.steps)}
    found = [_at(own.get((curve.panel, curve.group)), curve.steps[end]) for curve, end in shown]
    digits = _digits([value for value in found if value is not None])
    return ["" if value is None else f"{value:.{digits}f}" for value in found]


def _at(curve: Curve | None, step: float) -> float | None:
    """The median over the last tenth before ``step``."""
    if curve is None or not (curve.steps <= step).any():
        return None
    return _median(curve, int(np.flatnonzero(curve.steps <= step)[-1]), LATE)
