"""What must hold of a results folder, whatever happened to it. Every check returns what is wrong, in words."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from analysis.inventory import Reader
from analysis.records import RunRecord
from analysis.runs import Unreadable, find_runs, load_run
from comparing import content, differences
from components import checkpoint
from core.errors import UserError
from observers.tee import NewLines


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def strict(text: str | bytes) -> Any:
    """Read JSON that any reader understands."""
    return json.loads(text, parse_constant=_refuse)


def folders(results: Path) -> list[Path]:
    """Folders of runs, in the order of their numbers."""
    found = [path for path in results.glob("sacred/*/*/*") if path.name.isdigit()]
    return sorted(found, key=lambda path: (path.parent, int(path.name)))


def lines(folder: Path) -> list[bytes]:
    """The whole lines of a run's metrics.jsonl."""
    reader, found = NewLines(folder / "metrics.jsonl"), list[bytes]()
    while (folder / "metrics.jsonl").exists() and (more := reader.read()):
        found += more
    return found


def models(folder: Path) -> Path:
    """Where a run's checkpoints are; a folder that does not exist where it came to none."""
    try:
        return Path(strict((folder / "info.json").read_bytes())["models"])
    except FileNotFoundError:
        return folder / "no models"


# -- can everything be read --------------------------------------------------------------------------------------------


def unreadable(results: Path) -> list[str]:
    """Files of runs and checkpoints that cannot be read, and runs that readers do not see, or do not see whole."""
    wrong = []
    for folder in folders(results):
        for path in folder.glob("[!.]*.json"):
            wrong += _failure(path, lambda path=path: strict(path.read_bytes()))
        for line in lines(folder):
            wrong += _failure(folder / "metrics.jsonl", lambda at=line: strict(at))
        if lines(folder):
            wrong += _failure(folder, lambda at=folder: _seen_whole(at))
    for step in (path for path in results.glob("models/*/*") if path.name.isdigit()):
        for part in step.iterdir():
            wrong += _failure(part, lambda part=part: checkpoint.read(part.parent, part.name))
    return wrong + _unseen(results)


def _failure(path: Path, read: Any) -> list[str]:
    try:
        read()
    except (OSError, ValueError, KeyError, UserError, Unreadable) as error:
        return [f"{path} cannot be read: {error}"]
    return []


def _seen_whole(folder: Path) -> None:
    """The project's reader has every point that is on file."""
    run = load_run(folder)
    written = {(point["name"], float(point["step"])) for point in map(strict, lines(folder))}
    seen = {(name, step) for name, (steps, _) in run.metrics.items() for step in steps.tolist()}
    if missing := written - seen:
        raise ValueError(f"{len(missing)} of {len(written)} points on file are not shown, {min(missing)} among them")


def _unseen(results: Path) -> list[str]:
    """What the report says of the folder."""
    begun = {folder.resolve() for folder in folders(results) if lines(folder)}
    if not begun:
        return []
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = Reader([results / "sacred"]).read()
    named = [f"the report names {path} damaged: {fault}" for path, fault in found.damaged]
    return named + [f"the report notes: {note}" for note in found.notes]


# -- is it what it would have been -------------------------------------------------------------------------------------


def doubled(folder: Path) -> list[str]:
    """Points that a run has written twice."""
    count = Counter((point["name"], point["step"]) for point in map(strict, lines(folder)))
    return [f"{folder}: {name} at step {step} is there {n} times" for (name, step), n in count.items() if n > 1]


def differing(run: RunRecord, reference: RunRecord, stops: Iterable[float] = ()) -> list[str]:
    """Where a joined run is not the undisturbed one: points missing, too many, of another value.

    Args:
        run: joined of its parts.
        reference: the undisturbed run.
        stops: steps at which parts were closed in order, where they wrote the mean of an interval that had not passed.
    """
    wrong, stops = [], set(stops)
    for name in sorted({*run.metrics, *reference.metrics}):
        ours, theirs = (_points(one.metrics, name) for one in (run, reference))
        missing, more = theirs.keys() - ours.keys(), ours.keys() - theirs.keys() - stops
        other = [step for step in theirs.keys() & ours.keys() if theirs[step] != ours[step]]
        told = {"missing": missing, "too many": more, "of another value": other}
        wrong += [f"{run.path}: {name} at step {min(at):g} is {what}" for what, at in told.items() if at]
    return wrong


def _points(metrics: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str) -> dict[float, bytes]:
    steps, values = metrics.get(name, (np.zeros(0), np.zeros(0)))
    return {step: value.tobytes() for step, value in zip(steps.tolist(), values, strict=True)}


def completed(results: Path) -> dict[tuple[Any, Any], list[Path]]:
    """(algorithm, seed) -> folders of runs that have completed."""
    found: dict[tuple[Any, Any], list[Path]] = {}
    for folder in folders(results):
        if status(folder) == "COMPLETED":
            config = strict((folder / "config.json").read_bytes())
            found.setdefault((config["name"], config["seed"]), []).append(folder)
    return found


def status(folder: Path) -> str:
    """Of run.json; nothing where there is none."""
    path = folder / "run.json"
    return strict(path.read_bytes())["status"] if path.exists() else ""


def parts(folder: Path) -> list[Path]:
    """A run and those that it continues, the oldest first."""
    path = folder / "info.json"
    info = strict(path.read_bytes()) if path.exists() else {}
    older = info.get("resumed_from_run")
    return [*(parts(Path(older)) if older else []), folder]


def unlike(folder: Path, reference: Path) -> list[str]:
    """Where a completed run, joined of its parts, is not the undisturbed run: points, or the last checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = find_runs([folder.parent], unfinished=False)
    own = [run for run in found if run.path.resolve() == folder.resolve()]
    if len(own) != 1:
        return [f"{folder} is no run of its own when its folder is read"]
    chain = parts(folder)
    wrong = [fault for part in chain for fault in doubled(part)]
    stops = [float(last_step(part)) for part in chain if status(part) == "INTERRUPTED"]
    return wrong + differing(own[0], load_run(reference), stops) + differing_ends(folder, reference)


def differing_ends(folder: Path, reference: Path) -> list[str]:
    """Where the last checkpoints differ: networks, optimisers, random streams, what was about to be logged."""
    ends = [models(one) / str(checkpoint.steps(models(one))[-1]) for one in (folder, reference)]
    if ends[0].name != ends[1].name:
        return [f"{ends[0]} ends at another step than {ends[1]}"]
    return [f"{ends[0]}: {place} is not as in {ends[1]}" for place in differences(*map(content, ends))]


# -- how much was lost -------------------------------------------------------------------------------------------------


def last_step(folder: Path) -> int:
    """Of the last point on file, 0 where there is none."""
    found = lines(folder)
    return int(strict(found[-1])["step"]) if found else 0


def record_age(folder: Path, when: float) -> float:
    """Seconds from the last point on file to ``when`` (since 1970); from the start of the run where there is none."""
    found = lines(folder)
    text = strict(found[-1])["timestamp"] if found else strict((folder / "run.json").read_bytes())["start_time"]
    return when - datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def training_age(folder: Path, when: float) -> float:
    """Seconds from a run's newest checkpoint to ``when``; from its start where it has none."""
    saved = checkpoint.steps(models(folder))
    begun = models(folder) / str(saved[-1]) if saved else folder / "config.json"
    return when - begun.stat().st_mtime
