"""Learning curves of any set of runs: ``python src/plot.py results/sacred --metric test_return_mean --out curves.png``.

The line is the interquartile mean over seeds (or ``--center median | mean``), the band its 95% bootstrap interval
(percentile, 2,000 resamples, pointwise). Runs of a group are brought to common steps by interpolation, over the steps
that all of them have reached.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError
from observers.drawing import draw_curves

if TYPE_CHECKING:
    from observers.curves import Curve
    from observers.runs import RunRecord

NAMES = {"iqm": "interquartile mean", "median": "median", "mean": "mean"}


def draw(
    runs: Sequence[RunRecord],
    out: str | Path,
    *,
    metric: str = "test_return_mean",
    group_by: Sequence[str] = ("name",),
    panel_by: Sequence[str] = (),
    center: str = "iqm",
    smooth: int = 1,
    title: str | None = None,
    x_label: str = "environment steps",
) -> list[Curve]:
    """Draw the runs' learning curves into ``out`` (.png, .svg or .pdf) and return them.

    Args:
        runs: from ``observers.runs.find_runs``.
        out: the picture; its folder is made where needed.
        metric: what to draw over ``t_env``.
        group_by: settings whose values make a line.
        panel_by: settings whose values make a panel; empty for one panel per environment and map.
        center: "iqm", "median" or "mean".
        smooth: moving average over so many points of each seed.
        title: above the picture.
        x_label: below it.

    Raises:
        UserError: no run has the metric or a setting; the picture cannot be written.
    """
    from observers.curves import curves

    found = curves(runs, metric, group_by=group_by, panel_by=panel_by, center=center, window=smooth)
    draw_curves(found, out, y_label=f"{metric} ({NAMES[center]})", title=title, x_label=x_label)
    return found


def write_csv(found: Sequence[Curve], path: str | Path) -> None:
    """Write the curves as a table: panel, group, step, center, low, high, seeds.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["panel", "group", "step", "center", "low", "high", "seeds"])
            for curve in found:
                for step, *numbers in zip(curve.steps, curve.center, curve.low, curve.high, strict=True):
                    cells = ["" if number != number else repr(float(number)) for number in numbers]
                    writer.writerow(
                        [curve.panel, curve.group, f"{step:g}" if step % 1 else int(step), *cells, curve.n_seeds]
                    )
    except OSError as error:
        raise UserError(f"The table cannot be written to '{path}': {error.strerror}. Choose another --csv.") from error


def table(found: Sequence[Curve], *, center: str = "iqm", share: float = 0.0) -> str:
    """Return :func:`final_values` as text."""
    rows = final_values(found, center=center, share=share)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def final_values(found: Sequence[Curve], *, center: str = "iqm", share: float = 0.0) -> list[list[str]]:
    """Return a heading and one row per curve: median, interquartile mean, interval and number of seeds.

    Args:
        found: the curves.
        center: whose bootstrap interval is given.
        share: of the steps at the end, over which each seed is averaged; 0 for the last point alone.
    """
    import numpy as np

    from observers.curves import interval, iqm

    rows = [["environment", "group", "seeds", "median", "IQM", f"95% interval of the {NAMES[center]}", "up to step"]]
    for curve in found:
        if not len(curve.steps):
            continue
        late = curve.steps >= curve.steps[-1] - share * (curve.steps[-1] - curve.steps[0])
        finals = curve.values[:, late].mean(axis=1, keepdims=True)  # [S, 1]
        low, high = (float(bound[0]) for bound in interval(finals, center))
        span = "one seed: none" if np.isnan(low) else f"[{low:.4g}, {high:.4g}]"
        middle = [f"{float(np.median(finals)):.4g}", f"{float(iqm(finals, axis=0)[0]):.4g}"]
        rows.append([curve.panel, curve.group, str(curve.n_seeds), *middle, span, f"{curve.steps[-1]:,.0f}"])
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plot.py", description="Draw learning curves of runs, with intervals over seeds."
    )
    parser.add_argument("paths", nargs="+", help="folders of runs, or folders above them (results/sacred)")
    parser.add_argument("--metric", default="test_return_mean", help="what to draw (default: %(default)s)")
    parser.add_argument("--out", help=".png, .svg or .pdf (default: curves.png, unless --table or --csv is given)")
    parser.add_argument(
        "--group-by",
        default="name",
        metavar="KEY[,KEY]",
        help="settings whose values make a line, e.g. name,env_args.n_agents",
    )
    parser.add_argument(
        "--panel-by",
        default="",
        metavar="KEY[,KEY]",
        help="settings whose values make a panel (default: environment and map)",
    )
    parser.add_argument("--center", choices=sorted(NAMES), default="iqm", help="of the seeds (default: %(default)s)")
    parser.add_argument("--smooth", type=int, default=1, metavar="N", help="moving average over N points of each seed")
    parser.add_argument("--title")
    parser.add_argument("--x-label", default="environment steps")
    parser.add_argument("--y-min", type=float, metavar="Y", help="cut the picture off below this value")
    parser.add_argument("--csv", metavar="FILE", help="write the numbers of the curves")
    parser.add_argument("--table", action="store_true", help="print final values: median, IQM, interval, seeds")
    parser.add_argument(
        "--final",
        choices=["last", "tenth"],
        default="last",
        help="final value of a seed: its last point, or the mean over the last tenth of the steps",
    )
    return parser  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0, or 2 after a user's mistake, which is told in one message."""
    options = _parser().parse_args(arguments)
    from observers.curves import curves
    from observers.runs import find_runs

    group_by, panel_by = ([key for key in text.split(",") if key] for text in (options.group_by, options.panel_by))
    by = {"group_by": group_by, "panel_by": panel_by}
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **named: print(f"plot.py: note: {message}", file=sys.stderr)
            warnings.simplefilter("always", UserWarning)
            found = curves(find_runs(options.paths), options.metric, center=options.center, window=options.smooth, **by)
        out = options.out or (None if options.table or options.csv else "curves.png")
        if out:
            label = f"{options.metric} ({NAMES[options.center]})"
            draw_curves(found, out, y_label=label, title=options.title, x_label=options.x_label, y_min=options.y_min)
            print(out)
        if options.csv:
            write_csv(found, options.csv)
        if options.table:
            print(table(found, center=options.center, share=0.1 if options.final == "tenth" else 0.0))
    except UserError as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
