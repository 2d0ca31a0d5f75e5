"""Reading the folders of runs: finished, running, killed, or written by Sacred's own observer."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.chains import join_chains
from analysis.records import RunRecord, Series
from core.errors import UserError


def run_folders(paths: Iterable[Path], *, having: Sequence[str] = ("metrics.json", "metrics.jsonl")) -> list[Path]:
    """Return the folders at or below the paths that have config.json and one of the files ``having``, each once.

    Raises:
        UserError: a path does not exist.
    """
    folders: dict[Path, Path] = {}  # resolved -> as given
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no '{path}'. Give the folder of a run, or one above several runs.")
        top = path if path.is_dir() else path.parent
        for folder, children, files in os.walk(top):
            children[:] = sorted(child for child in children if not child.startswith(("_", ".")))
            if "config.json" in files and not set(having).isdisjoint(files):
                folders.setdefault(Path(folder).resolve(), Path(folder))
    return list(folders.values())


def find_runs(paths: Iterable[str | Path], *, unfinished: bool = True) -> list[RunRecord]:
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
    starts = [Path(path) for path in paths]
    runs = [run for run in map(read_run, run_folders(starts)) if run is not None]
    if not runs:
        where = ", ".join(f"'{path}'" for path in starts)
        raise UserError(
            f"No runs found under {where}. A run is a folder with config.json and metrics.json or metrics.jsonl, "
            "such as results/sacred/<algorithm>/<task>/<id>."
        )
    trained = [run for run in runs if run.setting("evaluate") is not True]
    if trained:
        runs = join_chains(trained, read_run, prefer_completed=not unfinished)
    return runs if unfinished else _completed(runs)


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
        config = json.loads((folder / "config.json").read_text())
        if not isinstance(config, dict):
            raise ValueError("config.json is no JSON object")
        columns = _read_metrics(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{folder} is left out: it cannot be read ({error})", stacklevel=2)
        return None
    metrics = {name: _series(steps, values) for name, (steps, values) in columns.items()}
    status = str(_object(folder / "run.json").get("status", ""))
    started = (folder / "config.json").stat().st_mtime
    info = _object(folder / "info.json")
    return RunRecord(path=folder, config=config, metrics=metrics, status=status, info=info, started=started)


def _object(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where the file cannot be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_metrics(folder: Path) -> dict[str, tuple[list, list]]:
    """Read the newer of the two files: metrics.jsonl while a run goes on, metrics.json (faster) after its end."""
    whole, lines = folder / "metrics.json", folder / "metrics.jsonl"
    if whole.exists() and (not lines.exists() or whole.stat().st_mtime_ns >= lines.stat().st_mtime_ns):
        try:
            content = json.loads(whole.read_text())
            return {name: (column["steps"], column["values"]) for name, column in content.items()}
        except ValueError:
            if not lines.exists():
                raise
    return _read_lines(lines)


def _read_lines(path: Path) -> dict[str, tuple[list, list]]:
    columns: dict[str, tuple[list, list]] = {}
    with open(path, "rb") as file:
        for line in file:
            try:
                point = json.loads(line)
                steps, values = columns.setdefault(point["name"], ([], []))
                steps.append(point["step"])
                values.append(point["value"])
            except (ValueError, KeyError, TypeError):
                continue  # a torn line: the run was killed, or is writing it now
    return columns


def _number(value: Any) -> float:
    try:
        return float(value)  # also the texts "NaN" and "Infinity"
    except (TypeError, ValueError):
        return float("nan")


def _series(steps: list, values: list) -> Series:
    """Sort by step; of points with the same step the last written counts."""
    x = np.array([_number(step) for step in steps], np.float64)
    y = np.array([_number(value) for value in values], np.float64)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    last = np.append(x[1:] != x[:-1], True)[: len(x)]
    return x[last], y[last]
