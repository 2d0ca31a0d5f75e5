"""Reading the folders of runs: finished, running, killed, or written by Sacred's own observer."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.chains import join_chains
from analysis.records import RunRecord, Series
from core.errors import UserError

METRICS = ("metrics.json", "metrics.jsonl")


def run_folders(
    paths: Iterable[str | Path],
    *,
    having: Sequence[str] = METRICS,
    told: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """Return the folders at or below the paths that have config.json and one of the files ``having``, each once.

    Args:
        paths: folders.
        having: names of files.
        told: is called with a folder that cannot be looked into, or lacks its settings, and what is wrong with it.

    Raises:
        UserError: a path does not exist.
    """
    folders: dict[Path, Path] = {}  # resolved -> as given
    tell = told or (lambda folder, fault: None)
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"There is no '{path}'. Give the folder of a run, or one above several runs.")
        top = path if path.is_dir() else path.parent
        shut = lambda error: tell(Path(error.filename), f"cannot be looked into ({error.strerror})")  # noqa: E731
        for folder, children, files in os.walk(top, onerror=shut):
            children[:] = sorted(child for child in children if not child.startswith(("_", ".")))
            if "config.json" not in files:
                if not {*METRICS}.isdisjoint(files) or {"run.json", "cout.txt"} <= {*files}:
                    tell(Path(folder), "has no config.json")
            elif not set(having).isdisjoint(files):
                folders.setdefault(Path(folder).resolve(), Path(folder))
    return list(folders.values())


def find_runs(paths: Sequence[str | Path], *, unfinished: bool = True) -> list[RunRecord]:
    """Read every run at or below the paths (a run is a folder with config.json and metrics.json or metrics.jsonl).

    A run that was resumed and those that continue it are one run (:func:`analysis.chains.join_chains`). Runs of
    ``evaluate=True`` are left out where there are others: they are not seeds of a learning curve. Folders that cannot
    be read give a warning.

    Args:
        paths: folders.
        unfinished: with runs that have not completed; else a warning counts them, and of a run that was continued the
            part that completed counts.

    Raises:
        UserError: a path does not exist, or no run was found, or none that has completed where these are wanted.
    """
    runs = [run for run in map(read_run, run_folders(paths)) if run is not None]
    if not runs:
        raise no_runs(paths)
    trained, _ = parted(runs)
    if trained:
        runs = join_chains(trained, read_run, prefer_completed=not unfinished)
    return runs if unfinished else _completed(runs)


def no_runs(paths: Iterable[str | Path]) -> UserError:
    """The message for folders without a run."""
    where = ", ".join(f"'{path}'" for path in paths)
    return UserError(
        f"No runs found under {where}. A run is a folder with config.json and metrics.json or metrics.jsonl, "
        "such as results/sacred/<algorithm>/<task>/<id>."
    )


def parted(runs: Iterable[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """Part runs that trained from those of ``evaluate=True``."""
    trained: list[RunRecord] = []
    evaluations: list[RunRecord] = []
    for run in runs:
        (evaluations if run.setting("evaluate") is True else trained).append(run)
    return trained, evaluations


def _completed(runs: list[RunRecord]) -> list[RunRecord]:
    done = [run for run in runs if run.status == "COMPLETED"]
    counts = Counter(run.status or "of unknown status" for run in runs if run.status != "COMPLETED")
    others = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    if not done:
        raise UserError(f"None of the {len(runs)} runs found has completed ({others}): --unfinished takes them too.")
    if others:
        warnings.warn(
            f"runs that have not completed are left out ({others}); --unfinished takes them too", stacklevel=3
        )
    return done


def read_run(folder: Path) -> RunRecord | None:
    """Read one folder; None, with a warning, where its config or its metrics cannot be read."""
    try:
        return load_run(folder)
    except Unreadable as error:
        warnings.warn(f"{folder} is left out: it cannot be read ({error})", stacklevel=2)
        return None


class Unreadable(Exception):
    """A run's folder without readable settings or metrics; says why."""


def load_run(folder: Path, *, wanted: Callable[[str], bool] | None = None) -> RunRecord:
    """Read one folder.

    Args:
        folder: of the run; one without metrics is a run that has none yet.
        wanted: which metrics are read; None for all.

    Raises:
        Unreadable: its config or its metrics cannot be read.
    """
    faults: list[str] = []
    try:
        config = json.loads((folder / "config.json").read_text())
        if not isinstance(config, dict):
            raise ValueError("config.json is no JSON object")
        entry = _object(folder / "run.json", faults)
        columns = _read_metrics(folder, faults, goes_on=entry.get("status") == "RUNNING")
        reached = max((_last(steps) for steps, _ in columns.values()), default=0.0)
        metrics = {name: _series(*column) for name, column in columns.items() if wanted is None or wanted(name)}
        started = (folder / "config.json").stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(str(error) or type(error).__name__) from error
    return RunRecord(
        path=folder, config=config, metrics=metrics, status=str(entry.get("status", "")),
        info=_object(folder / "info.json", faults), started=started, entry=entry, reached=reached, faults=tuple(faults),
    )  # fmt: skip


def _object(path: Path, faults: list[str]) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is none, or where it cannot be read, which is a fault."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        faults.append(f"{path.name} cannot be read ({error})")
        return {}
    if isinstance(content, dict):
        return content
    faults.append(f"{path.name} is no JSON object")
    return {}


def _read_metrics(folder: Path, faults: list[str], *, goes_on: bool) -> dict[str, tuple[list, list]]:
    """Read metrics.jsonl of a run that goes on or was killed, afterwards the newer file: metrics.json, which is faster.

    A clock that was set back makes newer lines look older than a metrics.json from the middle of the run.
    """
    whole, lines = folder / "metrics.json", folder / "metrics.jsonl"
    newer = whole.exists() and (not lines.exists() or whole.stat().st_mtime_ns >= lines.stat().st_mtime_ns)
    if newer and not (goes_on and lines.exists()):
        try:
            return _columns(json.loads(whole.read_text()))
        except ValueError as error:
            if not lines.exists():
                raise ValueError(f"metrics.json: {error}") from error
            faults.append(f"metrics.json cannot be read ({error}): metrics.jsonl is")
    return _read_lines(lines, faults) if lines.exists() else {}


def _columns(content: Any) -> dict[str, tuple[list, list]]:
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    columns = {name: (column["steps"], column["values"]) for name, column in content.items()}
    for name, column in columns.items():
        if not all(isinstance(one, list) for one in column) or len(column[0]) != len(column[1]):
            raise ValueError(f"{name} has no list of values as long as that of its steps")
    return columns


def _read_lines(path: Path, faults: list[str]) -> dict[str, tuple[list, list]]:
    columns: dict[str, tuple[list, list]] = {}
    torn: list[int] = []
    number = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                point = json.loads(line)
                steps, values = columns.setdefault(point["name"], ([], []))
                row = point["step"], point["value"]
            except (ValueError, KeyError, TypeError, RecursionError):
                torn.append(number)
                continue
            steps.append(row[0])
            values.append(row[1])
    if spoilt := [line for line in torn if line < number]:  # the last: the run was killed, or is writing it now
        faults.append(f"{len(spoilt)} of {number} lines of metrics.jsonl cannot be read")
    return columns


def _number(value: Any) -> float:
    try:
        return float(value)  # also the texts "NaN" and "Infinity"
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _last(steps: list) -> float:
    return next((step for step in map(_number, reversed(steps)) if math.isfinite(step)), 0.0)


def _series(steps: list, values: list) -> Series:
    """Sort by step; of points with the same step the last written counts."""
    x = np.array([_number(step) for step in steps], np.float64)
    y = np.array([_number(value) for value in values], np.float64)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    last = np.append(x[1:] != x[:-1], True)[: len(x)]
    return x[last], y[last]
