"""Copy of finished runs with what their curves need and nothing else: python src/publish.py results docs/runs.

A run of some hundred kilobytes becomes one of a few: its settings, its status, its test results. Pictures can be drawn
from the copy (src/plot.py), and sets of runs can count it as done (--also of src/reproduce.py and
benchmarks/learning.py), so that a large set may be run in parts and on several machines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError

KEPT = re.compile(r"test_.*(return|battle_won|capture_rate|collisions|occupied_landmarks)_mean")
ELSEWHERE = {"local_results_path": "results", "resume": ""}  # what would name places of the machine it ran on


def publish(sources: Sequence[Path], out: Path) -> list[Path]:
    """Write the copies of all completed runs at or below ``sources``: ``out``/sacred/<name>/<environment>/<hash>.

    A resumed run becomes one. Published twice, a run is written twice to the same place.

    Returns:
        the copies' folders.

    Raises:
        UserError: no completed run was found, or the copies cannot be written.
    """
    from analysis.runs import find_runs
    from observers.atomic import number, replace_file

    folders = []
    for run in find_runs(sources):
        if run.status != "COMPLETED":
            continue
        config = dict(run.config) | ELSEWHERE
        made = {key: value for key, value in run.info.get("provenance", {}).items() if key != "command"}  # has paths
        said = json.dumps([config, made["environment"]] if _changed_since(made) else config, sort_keys=True)
        key = hashlib.sha256(said.encode()).hexdigest()[:12]
        names = (str(run.setting("name")), run.environment, key)
        folder = out.joinpath("sacred", *(re.sub(r"[^\w.=+-]+", "-", name) for name in names))
        metrics = {
            name: {"steps": [int(step) for step in steps], "values": [number(float(f"{v:.6g}")) for v in values]}
            for name, (steps, values) in sorted(run.metrics.items())
            if KEPT.fullmatch(name)
        }
        contents: dict[str, Any] = {"config": config, "metrics": metrics, "run": {"status": run.status}}
        contents |= {"info": {"provenance": made}} if made else {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                replace_file(folder / f"{name}.json", [json.dumps(content, sort_keys=True).encode(), b"\n"])
        except OSError as error:
            raise UserError(f"Runs cannot be written to {out}: {error.strerror}.") from error
        folders.append(folder)
    if not folders:
        raise UserError(f"None of the runs in {', '.join(map(str, sources))} has completed.")
    return folders


def _changed_since(made: Mapping[str, Any]) -> bool:
    """Whether the environment is another than that of the runs from before its version was recorded."""
    return made.get("environment", {"version": 1})["version"] != 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0, or 2 after a user's mistake."""
    cli = argparse.ArgumentParser(
        prog="python src/publish.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("sources", nargs="+", type=Path, metavar="RESULTS", help="folders of runs, or above runs")
    cli.add_argument("out", type=Path, metavar="OUT", help="where the copies go")
    given = cli.parse_args(argv)
    try:
        folders = publish(given.sources, given.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    print(f"{len(folders)} runs, {size / 1024:,.0f} KiB: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
