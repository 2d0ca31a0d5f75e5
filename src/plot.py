"""Learning curves of any set of runs: ``python src/plot.py results/sacred --metric test_return_mean --out curves.png``.

A panel is a task with the ``env_args`` that differ among the runs, a line an algorithm with the settings that differ;
of runs with the same settings and seed one counts, and of runs those that have completed. The line is the interquartile
mean over seeds (or ``--center median | mean``), the band its 95% bootstrap interval (percentile, 2,000 resamples,
pointwise). Runs are brought to common steps by interpolation; where some have ended the line goes on, thin.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import core.packages  # noqa: F401  (first: it tells of missing packages)
from analysis.drawing import draw_curves
from analysis.tables import CENTER_NAMES, table, write_csv
from core.errors import UserError
from core.foreign import advice
from core.printing import show

if TYPE_CHECKING:
    from analysis.curves import Curve
    from analysis.records import RunRecord


def draw(
    runs: Sequence[RunRecord],
    out: str | Path,
    *,
    metric: str = "test_return_mean",
    group_by: Sequence[str] = (),
    panel_by: Sequence[str] = (),
    center: str = "iqm",
    smooth: int = 1,
    title: str | None = None,
    x_label: str = "environment steps",
) -> list[Curve]:
    """Draw the runs' learning curves into ``out`` (.png, .svg or .pdf) and return them.

    Args:
        runs: from ``analysis.runs.find_runs``.
        out: the picture; its folder is made where needed.
        metric: what to draw over ``t_env``.
        group_by: settings whose values make a line; empty for algorithms and what their runs differ in.
        panel_by: settings whose values make a panel; empty for tasks.
        center: "iqm", "median" or "mean".
        smooth: moving average over so many points of each seed.
        title: above the picture.
        x_label: below it.

    Raises:
        UserError: no run has the metric or a setting; the picture cannot be written.
    """
    from analysis.curves import curves

    found = curves(runs, metric, group_by=group_by, panel_by=panel_by, center=center, window=smooth)
    draw_curves(found, out, y_label=f"{metric} ({CENTER_NAMES[center]})", title=title, x_label=x_label)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plot.py", description="Draw learning curves of runs, with intervals over seeds."
    )
    add = parser.add_argument
    add("paths", nargs="+", help="folders of runs, or folders above them (results/sacred)")
    add("--metric", default="test_return_mean", help="what to draw (default: %(default)s)")
    add("--out", help=".png, .svg or .pdf (default: curves.png, unless a table or --csv is wanted)")
    add("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this setting, e.g. "
        "env_args.n_agents=3; again for others (the same key again: either value)")  # fmt: skip
    add("--exclude", action="append", default=[], metavar="KEY=VALUE", help="no runs with this setting; again for more")
    add("--filter-by-algs", "--filter_by_algs", nargs="+", default=[], metavar="WORD", help="only algorithms with one "
        "of these words in their names")  # fmt: skip
    add("--filter-by-envs", "--filter_by_envs", nargs="+", default=[], metavar="WORD", help="likewise of environments "
        "(\"battle 3m\")")  # fmt: skip
    add("--unfinished", action="store_true", help="with runs that go on, failed or were interrupted")
    add("--group-by", default="", metavar="KEY[,KEY]", help="settings whose values make a line, e.g. name,lr (default: "
        "algorithm and settings that differ)")  # fmt: skip
    add("--panel-by", default="", metavar="KEY[,KEY]", help="settings whose values make a panel (default: environment "
        "and its arguments that differ)")  # fmt: skip
    add("--center", choices=sorted(CENTER_NAMES), default="iqm", help="of the seeds (default: %(default)s)")
    add("--smooth", type=int, default=1, metavar="N", help="moving average over N points of each seed")
    add("--title")
    add("--x-label", default="environment steps")
    add("--y-min", "--y_min", type=float, metavar="Y", help="cut the picture off below this value")
    add("--csv", metavar="FILE", help="write the numbers of the curves")
    add("--table", action="store_true", help="print final values: median, IQM, interval, seeds")
    add("--markdown", action="store_true", help="print a table per task in Markdown: algorithm, steps, median, every "
        "seed, last tenth; best first")  # fmt: skip
    add("--wide", action="store_true", help="print one table in Markdown: a row per task, a column per algorithm")
    add("--columns", default="", metavar="METRIC[,METRIC]", help="further columns of --markdown: medians over the last "
        "tenth")  # fmt: skip
    add("--until", type=float, default=math.inf, metavar="STEP", help="leave out tests after the one at this step")
    add("--final", choices=["last", "tenth"], default="last", help="final value of a seed: its last point, or the mean "
        "over the last tenth of the steps")  # fmt: skip
    return parser


def _curves(options: argparse.Namespace) -> dict[str, list[Curve]]:
    """The metric, and after it those of --columns, each with its curves."""
    from analysis.curves import curves
    from analysis.runs import find_runs
    from analysis.selecting import select

    group_by, panel_by = ([key for key in text.split(",") if key] for text in (options.group_by, options.panel_by))
    runs = select(
        find_runs(options.paths, unfinished=options.unfinished), where=options.where, exclude=options.exclude,
        algorithms=options.filter_by_algs, environments=options.filter_by_envs,
    )  # fmt: skip
    columns = [name for name in options.columns.split(",") if name]
    if columns and not options.markdown:
        raise UserError("--columns are for the tables of --markdown, which is not given: add it.")
    return {
        metric: curves(
            runs, metric, group_by=group_by, panel_by=panel_by, center=options.center, window=options.smooth,
            until=options.until,
        )
        for metric in dict.fromkeys((options.metric, *columns))
    }  # fmt: skip


def _print_tables(every: dict[str, list[Curve]], options: argparse.Namespace) -> None:
    from analysis.markdown import LATE, tables, wide

    share = LATE if options.final == "tenth" else 0.0
    found = every[options.metric]
    if options.table:
        show(table(found, center=options.center, share=share))
    if options.markdown:
        further = {metric: made for metric, made in every.items() if metric != options.metric}
        show(tables(found, options.metric, share=share, further=further))
    if options.wide:
        show(wide(found, options.metric, share=share))


def _check_foreign(arguments: Sequence[str]) -> None:
    """Raise UserError with what to write instead of other codebases' options, all of them at once."""
    words = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    told = {word: advice("option of plot.py", word.removeprefix("--").replace("-", "_")) for word in words}
    lines = [f"Unknown option {word}.{text}" for word, text in told.items() if text]
    if lines:
        raise UserError("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0, or 2 after a user's mistake, which is told in one message."""
    try:
        _check_foreign(sys.argv[1:] if arguments is None else arguments)
        options = _parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **named: print(f"plot.py: note: {message}", file=sys.stderr)
            warnings.simplefilter("always", UserWarning)
            every = _curves(options)
        found, printed = every[options.metric], options.table or options.markdown or options.wide
        out = options.out or (None if printed or options.csv else "curves.png")
        if out:
            label = f"{options.metric} ({CENTER_NAMES[options.center]})"
            draw_curves(found, out, y_label=label, title=options.title, x_label=options.x_label, y_min=options.y_min)
            show(str(out))
        if options.csv:
            write_csv(found, options.csv)
        _print_tables(every, options)
    except UserError as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
