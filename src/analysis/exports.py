"""The numbers of a report as files: CSV, and the JSON that marl-eval reads, BenchMARL's and Mava's format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from analysis.chapters import Chapter, called
from analysis.inventory import Inventory, shown_status
from analysis.scores import TAUS, Band
from analysis.suites import Suite
from analysis.tables import as_csv, cell, csv_text

BAND = ("center", "low", "high")


def exports(inventory: Inventory, chapters: Sequence[Chapter], now: datetime) -> tuple[dict[str, str], list[str]]:
    """Return every file's content by its name, and what marl-eval's format could not take.

    Args:
        inventory: all runs.
        chapters: of those that count.
        now: when a heartbeat is judged.
    """
    metrics = list(dict.fromkeys(chapter.metric for chapter in chapters))
    files, notes = {"runs.csv": _runs(inventory, metrics, now)}, list[str]()
    for metric in metrics:
        own = [chapter for chapter in chapters if chapter.metric == metric]
        folder = called(metric)
        for name, (heading, rows) in _tables(own).items():
            files[f"{folder}/{name}.csv"] = csv_text(("environment", *heading), rows)
        files[f"{folder}/curves.csv"] = as_csv([curve for chapter in own for curve in chapter.curves])
        content, left_out = marl_eval(own)
        notes += left_out
        if content:
            files[f"{folder}/marl_eval.json"] = json.dumps(content, allow_nan=False)
    return dict(sorted(files.items())), notes


def _runs(inventory: Inventory, metrics: Sequence[str], now: datetime) -> str:
    rows = []
    for run in inventory.runs:
        task, group = inventory.labels[run.path]
        last = [run.metrics[metric][1].tolist() if metric in run.metrics else [] for metric in metrics]
        rows.append([
            group, task, run.setting("seed"), shown_status(run, now), cell(run.reached), run.setting("t_max"),
            *(cell(values[-1] if len(values) else None) for values in last), cell(run.speed), run.setting("label"),
            run.entry.get("start_time"), str(run.path), "; ".join(inventory.faults.get(run.path, [])),
        ])  # fmt: skip
    heading = ["algorithm", "task", "seed", "status", "steps", "t_max", *(f"last_{metric}" for metric in metrics)]
    return csv_text([*heading, "steps_per_second", "label", "started", "folder", "damage"], rows)


def _tables(chapters: Sequence[Chapter]) -> dict[str, tuple[Sequence[str], list[Sequence[object]]]]:
    """Name of a table -> its heading and rows, without and with the environment in front."""
    return {
        "scores": (("task", "algorithm", "step", "seeds", *BAND), list(_scores(chapters))),
        "seeds": (("task", "algorithm", "seed", "value"), list(_seeds(chapters))),
        "aggregates": (("algorithm", "tasks", *BAND), list(_aggregates(chapters))),
        "improvement": (("algorithm", "than", *BAND), list(_improvements(chapters))),
        "profiles": (("algorithm", "above", *BAND), list(_profiles(chapters))),
        "sample_efficiency": (("algorithm", "x", *BAND), list(_efficiency(chapters))),
    }


def _at(band: Band, place: int = 0) -> list[str]:
    return [cell(values[place]) for values in band]


def _scores(chapters: Sequence[Chapter]) -> Iterator[Sequence[object]]:
    for chapter in chapters:
        for one in chapter.scores:
            yield [chapter.environment, one.task, one.group, cell(one.step), len(one.values), *_at(one.band)]


def _seeds(chapters: Sequence[Chapter]) -> Iterator[Sequence[object]]:
    for chapter in chapters:
        for one in chapter.scores:
            for seed, value in zip(one.seeds, one.values, strict=True):
                yield [chapter.environment, one.task, one.group, seed, cell(value)]


def _aggregates(chapters: Sequence[Chapter]) -> Iterator[Sequence[object]]:
    for chapter in chapters:
        for group, band in chapter.aggregates.items():
            yield [chapter.environment, group, len(chapter.suite.tasks) if chapter.suite else 0, *_at(band)]


def _improvements(chapters: Sequence[Chapter]) -> Iterator[Sequence[object]]:
    for chapter in chapters:
        for (x, y), band in chapter.improvements.items():
            yield [chapter.environment, x, y, *_at(band)]


def _profiles(chapters: Sequence[Chapter]) -> Iterator[Sequence[object]]:
    for chapter in chapters:
        for group, band in chapter.profiles.items():
            yield from ([chapter.environment, group, cell(tau), *_at(band, i)] for i, tau in enumerate(TAUS))


def _efficiency(chapters: Sequence[Chapter]) -> Iterator[Sequence[object]]:
    for chapter in chapters:
        x, _, bands = chapter.efficiency
        for group, band in bands.items():
            yield from ([chapter.environment, group, cell(value), *_at(band, i)] for i, value in enumerate(x))


def marl_eval(chapters: Sequence[Chapter]) -> tuple[dict[str, Any], list[str]]:
    """Return environment -> task -> algorithm -> seed -> step -> metric, and what had to be left out.

    marl-eval wants the same algorithms, the same number of runs and of steps everywhere, so that algorithms that are
    not on all tasks, and the last seeds where some have more of them, are left out. ``absolute_metrics`` are the final
    values. Names lose their commas, which marl-eval does not take.

    Args:
        chapters: of one metric.
    """
    content: dict[str, Any] = {}
    notes = []
    for chapter in chapters:
        suite = chapter.suite
        if suite is None:
            continue
        counts = {len(values) for values in suite.finals.values()}
        if len(counts) > 1:
            notes.append(
                f"{chapter.environment}, {called(chapter.metric)}: marl_eval.json has the first {min(counts)} seeds "
                f"of every algorithm, since not all have as many ({min(counts)} to {max(counts)})"
            )
        name = called(chapter.metric)
        content[chapter.environment] = {
            _named(task): {
                _named(group): _marl_eval_runs(suite, task, group, min(counts), name) for group in suite.groups
            }
            for task in suite.tasks
        }
    return content, notes


def _marl_eval_runs(suite: Suite, task: str, group: str, count: int, metric: str) -> dict[str, Any]:
    """One algorithm on one task. Runs have the same names everywhere: seeds are names only within an algorithm."""
    found = {}
    for i in range(count):
        steps = {
            f"step_{k}": {"step_count": round(float(step)), metric: [float(value)]}
            for k, (step, value) in enumerate(zip(suite.steps[task], suite.values[task, group][i], strict=True))
        }
        found[f"run_{i + 1}"] = {**steps, "absolute_metrics": {metric: [float(suite.finals[task, group][i])]}}
    return found


def _named(name: str) -> str:
    return name.replace(",", "")
