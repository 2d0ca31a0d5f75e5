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
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from observers.curves import Curve
    from observers.runs import RunRecord

# Okabe and Ito's colours, told apart by people with any kind of colour vision; yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
NAMES = {"iqm": "interquartile mean", "median": "median", "mean": "mean"}
RC: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.titlesize": 11,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


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


def draw_curves(
    found: Sequence[Curve],
    out: str | Path,
    *,
    y_label: str,
    title: str | None,
    x_label: str,
    y_min: float | None = None,
) -> None:
    """Draw curves, one panel per ``Curve.panel``, one colour per ``Curve.group``, both in the order given.

    What lies below ``y_min`` is cut off, and a panel where that is so says it.

    Raises:
        UserError: the picture cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(curve.panel for curve in found))
    groups = list(dict.fromkeys(curve.group for curve in found))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(1.2 + 4.4 * columns, 0.7 + 3.3 * rows), layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for i, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
            shown = [curve for curve in found if curve.panel == panel]
            _panel(axis, shown, groups)
            if y_min is not None:
                _cut(axis, shown, y_min)
            axis.set_title(panel)
            axis.set_xlabel(x_label if i + columns >= len(panels) else "")
            axis.set_ylabel(y_label if i % columns == 0 else "")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        if title:
            figure.suptitle(title, weight="bold")
        _legend(figure, found, groups)
        _save(figure, Path(out))


def _look(group: str, groups: Sequence[str]) -> dict[str, Any]:
    index = groups.index(group)
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}


def _panel(axis: Any, found: Sequence[Curve], groups: Sequence[str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for curve in found:
        look = _look(curve.group, groups)
        marker = "o" if len(curve.steps) < 2 else None
        axis.plot(curve.steps, curve.center, linewidth=1.8, marker=marker, markersize=5, **look)
        if curve.n_seeds > 1:
            axis.fill_between(curve.steps, curve.low, curve.high, color=look["color"], alpha=0.18, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.xaxis.set_major_formatter(FuncFormatter(_steps))
    axis.margins(x=0.01)


def _cut(axis: Any, found: Sequence[Curve], y_min: float) -> None:
    """Show nothing below ``y_min``, and say so."""
    import numpy as np

    top = max(float(np.nanmax([curve.center, curve.high])) for curve in found)
    if axis.get_ylim()[0] < y_min < top:
        axis.set_ylim(y_min, top + 0.05 * (top - y_min))
        axis.text(0.99, 0.02, f"cut at {y_min:g}", transform=axis.transAxes, ha="right", va="bottom", fontsize="small")


def _steps(value: float, _: int = 0) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _legend(figure: Any, found: Sequence[Curve], groups: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    labels = []
    for group in groups:
        seeds = [curve.n_seeds for curve in found if curve.group == group]
        number = str(min(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)}-{max(seeds)}"
        labels.append(f"{group} ({number} seed{'' if number == '1' else 's'})")
    handles = [Line2D([], [], linewidth=2.2, **_look(group, groups)) for group in groups]
    width = max(map(len, labels)) * 0.075 + 0.5  # inches that an entry takes, roughly
    columns = max(1, min(len(labels), int(figure.get_figwidth() / width)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _save(figure: Any, out: Path) -> None:
    known = sorted(figure.canvas.get_supported_filetypes())
    if out.suffix.lstrip(".").lower() not in known:
        raise UserError(f"'{out}' names no kind of picture. End it in .png, .svg or .pdf (known: {', '.join(known)}).")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)
    except OSError as error:
        raise UserError(f"The picture cannot be written to '{out}': {error.strerror}. Choose another --out.") from error


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
