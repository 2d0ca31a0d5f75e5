"""A page of any set of runs: ``python src/report.py results --out report``, then open report/index.html in a browser.

One HTML file that asks nothing of any network: a table of all runs, learning curves, final values, algorithms against
one another, settings; beside it the same numbers as CSV, and for marl-eval as JSON. Numbers are of completed runs
unless --unfinished or --watch is given. Damaged runs are named, the others shown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError

if TYPE_CHECKING:
    from analysis.inventory import Inventory, Reader
    from analysis.records import RunRecord


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="report.py", description="Make a page of runs, and their numbers as files.")
    add = parser.add_argument
    add("paths", nargs="+", help="folders of runs, or folders above them (results)")
    add("--out", type=Path, default=Path("report"), help="folder of index.html and the files (default: %(default)s)")
    add("--metric", action="append", default=[], help="what is compared; again for more (default: the test return, and "
        "battles won)")  # fmt: skip
    add(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with this setting; again for others",
    )
    add("--exclude", action="append", default=[], metavar="KEY=VALUE", help="no runs with this setting; again for more")
    add("--filter-by-algs", "--filter_by_algs", nargs="+", default=[], metavar="WORD", help="only algorithms with one "
        "of these words in their names")  # fmt: skip
    add("--filter-by-envs", "--filter_by_envs", nargs="+", default=[], metavar="WORD", help="likewise of environments")
    add("--unfinished", action="store_true", help="count runs that go on, failed or were interrupted, too")
    add("--final", choices=["last", "tenth"], default="last", help="final value of a seed: its last test, or the mean "
        "over the last tenth of the steps")  # fmt: skip
    add("--watch", type=float, nargs="?", const=60.0, metavar="SECONDS", help="renew the page every so often (default: "
        "60), with runs that go on, until Ctrl-C")  # fmt: skip
    add("--title")
    return parser


def _counted(inventory: Inventory, options: argparse.Namespace) -> tuple[list[RunRecord], str]:
    """The runs that the numbers are of, and the same in words."""
    if options.unfinished or options.watch:
        return inventory.runs, "Numbers are of all runs, completed or not."
    done = [run for run in inventory.runs if run.status == "COMPLETED"]
    others = len(inventory.runs) - len(done)
    more = f"; {others} others are in the first table alone (--unfinished counts them)" if others else ""
    return done, f"Numbers are of {len(done)} completed runs{more}."


def make(reader: Reader, options: argparse.Namespace, *, now: datetime) -> tuple[dict[str, str], Inventory]:
    """Return every file's content by its name, index.html among them, and what was found.

    Raises:
        UserError: no runs, or none that was asked for, or none has a metric.
    """
    from analysis.chapters import chapters, metrics_of
    from analysis.exports import exports
    from analysis.markdown import LATE
    from analysis.page.data import page_data
    from analysis.page.writing import page
    from analysis.selecting import select

    inventory = reader.read()
    if inventory.runs:
        kept = select(
            inventory.runs, where=options.where, exclude=options.exclude,
            algorithms=options.filter_by_algs, environments=options.filter_by_envs,
        )  # fmt: skip
        inventory = replace(inventory, runs=kept)
    runs, words = _counted(inventory, options)
    share = LATE if options.final == "tenth" else 0.0
    made, notes = chapters(runs, metrics_of(runs, options.metric), share=share) if runs else ([], [])
    files, left_out = exports(inventory, made, now)
    data = page_data(
        inventory, made, [*notes, *left_out],
        title=options.title or ", ".join(options.paths), out=options.out, now=now, renewed=options.watch,
        files=list(files), counted=words,
    )  # fmt: skip
    return {**files, "index.html": page(data)}, inventory


def _write(files: Mapping[str, str], out: Path) -> None:
    from observers.atomic import replace_file

    try:
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(out / name, [content.encode()])
    except OSError as error:
        raise UserError(
            f"The report cannot be written to '{out}': {error.strerror}. Give another folder: --out."
        ) from error


def _say(inventory: Inventory, out: Path) -> None:
    for folder, fault in inventory.damaged:
        print(f"report.py: damaged: {folder} {fault}", file=sys.stderr)
    print(f"{len(inventory.runs)} runs: {out / 'index.html'}", flush=True)


def _run(options: argparse.Namespace) -> None:
    from analysis.inventory import Reader

    if options.watch is not None and not options.watch >= 1:
        raise UserError(f"--watch {options.watch:g}: give 1 second or more.")
    reader = Reader(options.paths, options.metric)
    told: list[object] = []
    while True:
        files, inventory = make(reader, options, now=datetime.now(UTC))
        _write(files, options.out)
        if told != (told := [len(inventory.runs), inventory.damaged]):
            _say(inventory, options.out)
        if not options.watch:
            return
        time.sleep(options.watch)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0, or 2 after a user's mistake, which is told in one message."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except UserError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if not options.watch:
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
