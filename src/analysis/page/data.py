"""What the page shows, as plain JSON: the table of runs, their settings, and the numbers of every chapter."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from analysis.chapters import Chapter, called
from analysis.inventory import Inventory, shown_status
from analysis.records import RunRecord
from analysis.scores import TAUS, Band, Score
from core.comparing import flattened

DIGITS = 5  # significant ones of a number on the page
FILES = ("config.json", "cout.txt", "info.json", "metrics.json", "metrics.jsonl", "run.json")


def rounded(values: Any) -> Any:
    """Numbers with :data:`DIGITS` digits, None where they are not finite ([...] -> the same shape in lists)."""
    if isinstance(values, np.ndarray) and values.ndim:
        return [rounded(value) for value in values.tolist()]
    if isinstance(values, list):
        return [rounded(value) for value in values]
    value = float(values)
    short = float(f"{value:.{DIGITS}g}")
    return None if not np.isfinite(value) else int(short) if short.is_integer() else short


def page_data(
    inventory: Inventory,
    chapters: Sequence[Chapter],
    notes: Sequence[str],
    *,
    title: str,
    out: Path,
    now: datetime,
    renewed: float | None = None,
    files: Sequence[str] = (),
    counted: str = "",
) -> dict[str, Any]:
    """Return all that the page shows.

    Args:
        inventory: what was found.
        chapters: of the runs that count.
        notes: of the chapters.
        title: of the page.
        out: the page's folder, from which links go.
        now: when it is made.
        renewed: seconds between two renewals; None where it is made once.
        files: exports beside the page, from its folder.
        counted: which runs the numbers are of, in words.
    """
    rows = _rows(inventory, list(dict.fromkeys(chapter.metric for chapter in chapters)), out, now)
    return {
        "title": title,
        "made": now.isoformat(timespec="seconds"),
        "renewed": renewed,
        "counted": counted,
        "files": list(files),
        "damaged": [[str(path), fault] for path, fault in inventory.damaged],
        "notes": list(dict.fromkeys([*inventory.notes, *notes])),
        "runs": rows,
        "settings": _settings([run.config for run in inventory.runs]),
        "metrics": {
            chapter.metric: called(chapter.metric) for chapter in chapters
        },
        "chapters": [_chapter(chapter) for chapter in chapters],
    }  # fmt: skip


# -- runs ------------------------------------------------------------------------------------------------------------


def _rows(inventory: Inventory, metrics: Sequence[str], out: Path, now: datetime) -> list[dict[str, Any]]:
    rows = []
    for run in inventory.runs:
        task, group = inventory.labels[run.path]
        rows.append({
            "algorithm": group, "task": task, "seed": _plain(run.setting("seed")), "status": shown_status(run, now),
            "steps": run.reached, "t_max": _plain(run.setting("t_max")),
            "last": {metric: last for metric in metrics if (last := _last(run, metric)) is not None},
            "speed": None if (own := run.speed) is None else rounded(own),
            "label": str(run.setting("label") or ""),
            "started": str(run.entry.get("start_time") or "")[:19],
            "path": str(run.path), "href": _href(run.path, out),
            "files": [name for name in FILES if (run.path / name).is_file()],
            "films": [[film.name, _href(film, out)] for film in inventory.films.get(run.path, ())],
            "faults": inventory.faults.get(run.path, []),
        })  # fmt: skip
    return rows


def _last(run: RunRecord, metric: str) -> Any:
    values = run.metrics[metric][1] if metric in run.metrics else np.zeros(0)
    good = values[np.isfinite(values)]
    return rounded(good[-1]) if len(good) else None


def _plain(value: Any) -> Any:
    number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if value is None or number or isinstance(value, str) else str(value)


def _href(path: Path, out: Path) -> str:
    return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())


def _settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that all runs have alike, once; of the others every value once, and for each run which one it has."""
    every = [{key: json.dumps(value) for key, value in flattened(config).items()} for config in configs]
    keys = sorted({key for one in every for key in one})
    values = {key: list(dict.fromkeys(one.get(key) for one in every)) for key in keys}
    differing = [key for key in keys if len(values[key]) > 1]
    places = {key: {value: i for i, value in enumerate(values[key])} for key in differing}
    return {
        "same": {key: values[key][0] for key in keys if len(values[key]) == 1},
        "differing": {key: values[key] for key in differing},
        "of": [[places[key][one.get(key)] for key in differing] for one in every],
    }


# -- chapters --------------------------------------------------------------------------------------------------------


def _chapter(chapter: Chapter) -> dict[str, Any]:
    suite = chapter.suite
    found: dict[str, Any] = {
        "environment": chapter.environment,
        "metric": chapter.metric,
        "final": "mean over the last tenth of the steps" if chapter.share else "last test",
        "lines": [
            {
                "task": curve.panel, "group": curve.group, "seeds": curve.n_seeds, "steps": rounded(curve.steps),
                "center": rounded(curve.center), "low": rounded(curve.low), "high": rounded(curve.high),
                "counts": curve.counts.tolist(), "values": rounded(curve.values),
            }
            for curve in chapter.curves
        ],
        "scores": [_score(score) for score in chapter.scores],
        "suite": None,
    }  # fmt: skip
    if suite is not None:
        x, in_steps, efficiency = chapter.efficiency
        found["suite"] = {
            "tasks": suite.tasks, "groups": suite.groups, "left_out": suite.left_out, "normalised": suite.normalised,
            "seeds": {group: [len(suite.finals[task, group]) for task in suite.tasks] for group in suite.groups},
            "aggregates": {group: _band(band) for group, band in chapter.aggregates.items()},
            "improvements": [[x, y, *(rounded(v[0]) for v in band)] for (x, y), band in chapter.improvements.items()],
            "taus": rounded(TAUS),
            "profiles": {group: _band(band) for group, band in chapter.profiles.items()},
            "x": rounded(x), "in_steps": in_steps,
            "efficiency": {group: _band(band) for group, band in efficiency.items()},
        }  # fmt: skip
    return found


def _band(band: Band) -> list[Any]:
    return [rounded(one) for one in band]


def _score(score: Score) -> dict[str, Any]:
    return {
        "task": score.task, "group": score.group, "step": score.step, "late": score.late,
        "seeds": list(score.seeds), "values": rounded(score.values), "median": rounded(np.median(score.values)),
        "iqm": [rounded(one[0]) for one in score.band],
    }  # fmt: skip
