"""Everything that is in folders of results: runs of any status, their films, what is damaged."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

from analysis.chains import join_chains
from analysis.lines import sort_runs
from analysis.records import RunRecord
from analysis.runs import METRICS, Unreadable, load_run, no_runs, parted, read_run, run_folders
from core.times import time_of

FILMS = {".gif", ".mp4"}
SILENT = 120.0  # seconds without a heartbeat after which a run that says it is RUNNING is probably dead
SIDE_BY_SIDE = 200  # folders from which on several processes read
FILES = ("config.json", "run.json", "info.json", "metrics.json", "metrics.jsonl")
State = tuple[tuple[int, int] | None, ...]


@dataclass(kw_only=True)
class Inventory:
    """What was found.

    Attributes:
        runs: of any status; one that was resumed is one run with those that continue it.
        films: a run's folder -> its films, and those of its evaluations.
        damaged: (folder, what is wrong with it), whether the rest of the run is shown or not.
        notes: what else is to be known.
    """

    runs: list[RunRecord] = field(default_factory=list)
    films: dict[Path, list[Path]] = field(default_factory=dict)
    damaged: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def faults(self) -> dict[Path, list[str]]:
        """A run's folder -> all that is wrong with it."""
        found: dict[Path, list[str]] = {}
        for path, fault in self.damaged:
            found.setdefault(path, []).append(fault)
        return found

    @cached_property
    def labels(self) -> dict[Path, tuple[str, str]]:
        """A run's folder -> its task and its algorithm, with the settings that differ, as curves name them."""
        found: dict[Path, tuple[str, str]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # curves say the same
            for own in by_environment(self.runs).values():
                found |= {run.path: (line.panel, line.group) for line in sort_runs(own) for run in line.runs}
        return found


def by_environment(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Environment -> its runs: what is compared, and what labels tell, is of one environment."""
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(str(run.setting("env") or run.environment), []).append(run)
    return dict(sorted(found.items()))


def wanted_metric(name: str, further: Sequence[str] = ()) -> bool:
    """Whether a report reads a metric: results of tests, and what else was asked for."""
    return name.startswith("test_") or name in further


class Reader:
    """Reads folders of results again and again; a run's files only where they have changed.

    Args:
        paths: folders of runs, or above them.
        metrics: names that are read besides those of tests.
    """

    def __init__(self, paths: Sequence[str | Path], metrics: Sequence[str] = ()) -> None:
        self.paths = paths
        self._load = partial(_load, further=tuple(metrics))
        self._known: dict[Path, tuple[State, RunRecord | str]] = {}

    def read(self) -> Inventory:
        """Return what is there now.

        Raises:
            UserError: a path does not exist, or there is no run, damaged or not.
        """
        found = Inventory()
        folders = run_folders(
            self.paths, having=(*METRICS, "run.json"), told=lambda *fault: found.damaged.append(fault)
        )  # fmt: skip
        records = self._records(folders)
        found.damaged += [(folder, f"is left out ({one})") for folder, one in records if isinstance(one, str)]
        runs = [one for _, one in records if isinstance(one, RunRecord)]
        if not runs and not found.damaged:
            raise no_runs(self.paths)
        trained, evaluations = parted(runs)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found.runs = join_chains(trained, read_run)
        found.notes = [str(one.message) for one in caught]
        found.damaged += [(run.path, fault) for run in runs for fault in run.faults]
        found.damaged.sort(key=lambda one: str(one[0]))
        found.films = _films(found.runs, evaluations)
        return found

    def _records(self, folders: Sequence[Path]) -> list[tuple[Path, RunRecord | str]]:
        states = {folder: _state(folder) for folder in folders}
        changed = [folder for folder in folders if self._known.get(folder, (None,))[0] != states[folder]]
        loaded = dict(zip(changed, _map(self._load, changed), strict=True))
        self._known = {
            folder: (states[folder], loaded[folder]) if folder in loaded else self._known[folder] for folder in folders
        }
        return [(folder, one) for folder, (_, one) in self._known.items()]


def _state(folder: Path) -> State:
    """What changes when a file of the run does."""
    found: list[tuple[int, int] | None] = []
    for name in FILES:
        try:
            of = os.stat(folder / name)
            found.append((of.st_mtime_ns, of.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


def _load(folder: Path, *, further: Sequence[str]) -> RunRecord | str:
    """A run, or why it cannot be read."""
    try:
        return load_run(folder, wanted=lambda name: wanted_metric(name, further))
    except Unreadable as error:
        return str(error)


def _map(load: Callable[[Path], RunRecord | str], folders: Sequence[Path]) -> Iterable[RunRecord | str]:
    cores = len(os.sched_getaffinity(0))
    if len(folders) < SIDE_BY_SIDE or cores == 1:
        return map(load, folders)
    with ProcessPoolExecutor(min(cores, 8)) as pool:
        return list(pool.map(load, folders, chunksize=25))


def _films(runs: Iterable[RunRecord], evaluations: Iterable[RunRecord]) -> dict[Path, list[Path]]:
    of_models = {Path(str(run.info.get("models"))).name: run.path for run in runs if run.info.get("models")}
    films = {run.path: list(_films_in(run.path)) for run in runs}
    for evaluation in evaluations:
        trained = of_models.get(Path(str(evaluation.info.get("evaluated"))).parent.name)  # <models>/<step>
        if trained is not None:
            films[trained] += _films_in(evaluation.path)
    return {path: own for path, own in films.items() if own}


def _films_in(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.suffix in FILMS)
    except OSError:
        return  # the folder went while it was read


def shown_status(run: RunRecord, now: datetime) -> str:
    """The status in words: one that is RUNNING without a heartbeat for two minutes is said to be silent."""
    if run.status != "RUNNING":
        return run.status or "unknown"
    heard = time_of(run.entry.get("heartbeat")) or time_of(run.entry.get("start_time"))
    return "RUNNING" if heard is not None and (now - heard).total_seconds() <= SILENT else "RUNNING, silent"
