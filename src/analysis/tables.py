"""Curves as numbers: every step as CSV, final values as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from analysis.curves import Curve

CENTER_NAMES = {"iqm": "interquartile mean", "median": "median", "mean": "mean"}


def write_csv(found: Sequence[Curve], path: str | Path) -> None:
    """Write the curves as a table: panel, group, step, center, low, high, seeds at that step.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(as_csv(found), newline="")
    except OSError as error:
        raise UserError(f"The table cannot be written to '{path}': {error.strerror}. Choose another --csv.") from error


def as_csv(found: Sequence[Curve]) -> str:
    """Return what :func:`write_csv` writes."""
    rows = [
        [curve.panel, curve.group, f"{step:g}" if step % 1 else int(step), *map(cell, numbers), seeds]
        for curve in found
        for step, *numbers, seeds in zip(
            curve.steps, curve.center, curve.low, curve.high, curve.counts, strict=True
        )
    ]  # fmt: skip
    return csv_text(["panel", "group", "step", "center", "low", "high", "seeds"], rows)


def cell(number: float | None) -> str:
    """A number for CSV, as exact as it is; empty where there is none."""
    return "" if number is None or number != number else repr(float(number))


def csv_text(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV, with CRLF as RFC 4180 wants it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(heading)
    writer.writerows(rows)
    return text.getvalue()


def table(found: Sequence[Curve], *, center: str = "iqm", share: float = 0.0) -> str:
    """Return :func:`final_values` as text."""
    rows = final_values(found, center=center, share=share)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def final_values(found: Sequence[Curve], *, center: str = "iqm", share: float = 0.0) -> list[list[str]]:
    """Return a heading and a row per curve: median, interquartile mean, interval and number of seeds at its end.

    Where seeds have ended before, a second row is of the last step that most of them have reached.

    Args:
        found: the curves.
        center: whose bootstrap interval is given.
        share: of the steps at the end, over which each seed is averaged; 0 for the last point alone.
    """
    interval = f"95% interval of the {CENTER_NAMES[center]}"
    rows = [["environment", "group", "seeds", "median", "IQM", interval, "up to step"]]
    for curve in found:
        rows += [_row(curve, end, center, share) for end in ends(curve)]
    return rows


def ends(curve: Curve) -> list[int]:
    """Return the points at which a curve's final values are told: its last, and the last that most seeds have."""
    if not len(curve.steps):
        return []
    last, most = len(curve.steps) - 1, int((curve.counts == curve.counts.max()).nonzero()[0][-1])
    return [last, *([most] if 0 < most < last else [])]


def finals(curve: Curve, end: int, share: float) -> np.ndarray:
    """Return the value of every run that reaches a point ([R]), averaged over ``share`` of the steps up to it."""
    import numpy as np

    steps = curve.steps[: end + 1]
    late = np.flatnonzero(steps >= steps[-1] - share * (steps[-1] - steps[0]))
    there = np.isfinite(curve.values[:, end])
    return np.nanmean(curve.values[there][:, late], axis=1)


def _row(curve: Curve, end: int, center: str, share: float) -> list[str]:
    import numpy as np

    from analysis.curves import interval, iqm

    own = finals(curve, end, share)[:, None]  # [R, 1]
    count = int(curve.counts[end])
    span = "one seed: none"
    if count > 1:
        low, high = (float(bound[0]) for bound in interval(own, center))
        span = f"[{low:.4g}, {high:.4g}]"
    seeds = str(count) if count == curve.n_seeds else f"{count} of {curve.n_seeds}"
    middle = [f"{float(np.median(own)):.4g}", f"{float(iqm(own, axis=0)[0]):.4g}"]
    return [curve.panel, curve.group, seeds, *middle, span, f"{curve.steps[end]:,.0f}"]
