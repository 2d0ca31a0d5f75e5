"""How long runs will take: by those on file, or by playing a few seconds of each kind."""

from __future__ import annotations

import heapq
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from observers.console import duration
from observers.sink import Sink
from studies.filed import Filed, Wanted
from studies.run_set import RunSet
from studies.runs import Run
from training.experiment import Experiment

START = 4.0  # seconds of a process before its run begins
TRIED = 4.0  # seconds of training in a trial
MOST_ITERATIONS = 200  # of a trial before it trains
LEVELS = ("these settings", "this task", "this environment")


@dataclass(frozen=True)
class Speed:
    """Steps a second of a kind of run, tests included, and where the number comes from."""

    steps: float
    source: str


def on_file(wanted: Wanted, filed: Iterable[Filed]) -> Speed | None:
    """The median speed of completed runs: with the same settings, else on the same task, else in the environment."""
    found: dict[int, list[float]] = {}
    for one in filed:
        if one.speed is not None and all(one.config.get(key) == wanted.settings[key] for key in ("name", "env")):
            alike = replace(wanted, settings=wanted.settings | {key: one.config.get(key) for key in ("seed", "t_max")})
            level = 0 if alike.is_in(one) else 1 if one.config["env_args"] == wanted.settings["env_args"] else 2
            found.setdefault(level, []).append(one.speed)
    if not found:
        return None
    level = min(found)
    return Speed(statistics.median(found[level]), f"{len(found[level])} on file with {LEVELS[level]}")


def measured(run: Run, clock: Callable[[], float] = time.monotonic) -> Speed:
    """Train for some seconds, and test once.

    Raises:
        UserError: the run cannot be.
    """
    experiment = Experiment(run.options())
    s, sink = experiment.settings, Sink()
    try:
        for _ in range(MOST_ITERATIONS):  # the first prepares what later ones find ready
            experiment.iterate(sink)
            if all(_learns(team) for team in experiment.teams.values()):
                break
        experiment.iterate(sink)
        before, began = experiment.t_env, clock()
        while clock() - began < TRIED:
            experiment.iterate(sink)
        training = (clock() - began) / (experiment.t_env - before)
        tested = clock()
        if s.test_nepisode:
            experiment.test(sink)
        testing = (clock() - tested) / min(s.test_interval, s.t_max)
    finally:
        experiment.close()
    return Speed(1 / (training + testing), f"measured for {TRIED:.0f} s")


def _learns(team: Any) -> bool:
    """Whether a team's replay, where it has one, holds what an update needs."""
    return team.replay is None or team.replay.can_sample(team.learner.settings.batch_size)


def together(seconds: Sequence[float], jobs: int) -> float:
    """How long runs take with so many at once, begun in their order."""
    ends = [0.0] * max(1, min(jobs, len(seconds)))
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


def estimate(runs: Sequence[Run], found: RunSet, *, jobs: int) -> list[str]:
    """How long runs will take, as lines: every kind, then all.

    What is not on file is measured, once for each algorithm and task.

    Raises:
        UserError: a run cannot be.
    """
    filed, speeds = found.filed(), dict[str, Speed]()
    seconds: list[float] = []
    kinds: dict[tuple[str, ...], int] = {}
    for run in runs:
        wanted = run.wanted()
        s = wanted.settings
        task = json.dumps([s["name"], s["env"], s["env_args"], run.teams])
        known = on_file(wanted, filed)
        if known is None and task not in speeds:
            speeds[task] = measured(run)
        speed = known or speeds[task]
        seconds.append(START + s["t_max"] / speed.steps)
        each = (f"{s['t_max']:,}", f"{speed.steps:,.0f}", duration(seconds[-1]), speed.source)
        kind = (run.panel, run.line, *each)
        kinds[kind] = kinds.get(kind, 0) + 1
    rows: list[tuple[str, ...]] = [("task", "algorithm", "runs", "steps", "steps/s", "each", "speed by")]
    rows += [(panel, line, str(number), *rest) for (panel, line, *rest), number in kinds.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows] if runs else []
    total = duration(together(seconds, jobs)) if runs else "0:00:00"
    return [*lines, f"about {total} with {jobs} at once"]
