"""What a report tells of each environment and metric: curves, final values, algorithms against one another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis import scores
from analysis.curves import Curve, curves
from analysis.inventory import by_environment
from analysis.records import RunRecord
from analysis.scores import Band, Score
from analysis.suites import Suite, suite_of

USUAL = ("test_return_mean", "test_battle_won_mean")
MOST_METRICS = 4  # of those that nobody asked for


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One metric in one environment.

    Attributes:
        environment: setting "env".
        metric: its name.
        share: of the steps at the end, over which final values are averaged; 0 for the last point alone.
        curves: of all tasks and algorithms.
        suite: the algorithms that have been on all tasks; None with fewer than two.
    """

    environment: str
    metric: str
    share: float
    curves: list[Curve]
    suite: Suite | None

    @cached_property
    def scores(self) -> list[Score]:
        """Final values of every algorithm on every task."""
        return scores.scores(self.curves, share=self.share)

    @cached_property
    def aggregates(self) -> dict[str, Band]:
        """:func:`analysis.scores.aggregates` of the suite; empty without one."""
        return scores.aggregates(self.suite) if self.suite else {}

    @cached_property
    def improvements(self) -> dict[tuple[str, str], Band]:
        """:func:`analysis.scores.improvements`; empty without a suite."""
        return scores.improvements(self.suite) if self.suite else {}

    @cached_property
    def profiles(self) -> dict[str, Band]:
        """:func:`analysis.scores.profiles`; empty without a suite."""
        return scores.profiles(self.suite) if self.suite else {}

    @cached_property
    def efficiency(self) -> tuple[np.ndarray, bool, dict[str, Band]]:
        """:func:`analysis.scores.efficiency`; empty without a suite."""
        return scores.efficiency(self.suite) if self.suite else (np.zeros(0), True, {})


def called(metric: str) -> str:
    """A metric's short name: test_battle_won_mean is battle_won."""
    return metric.removeprefix("test_").removesuffix("_mean")


def metrics_of(runs: Sequence[RunRecord], asked: Sequence[str] = ()) -> list[str]:
    """Which metrics are shown: those asked for, else the return and the rate of battles won, or the teams' returns."""
    if asked:
        return list(dict.fromkeys(asked))
    names = sorted({name for run in runs for name in run.metrics})
    usual = [name for name in USUAL if name in names]
    teams = [name for name in names if name.endswith("_return_mean") and "agent_" not in name and "sampled" not in name]
    return usual or (teams or names)[:MOST_METRICS]


def chapters(
    runs: Sequence[RunRecord], metrics: Sequence[str], *, share: float = 0.0
) -> tuple[list[Chapter], list[str]]:
    """Return a chapter per metric and environment that has it, and what is to be known of them.

    Args:
        runs: those that count.
        metrics: from :func:`metrics_of`.
        share: as of :class:`Chapter`.

    Raises:
        UserError: no run has a metric.
    """
    made, notes = [], list[str]()
    for metric in metrics:
        having = {name: [run for run in own if metric in run.metrics] for name, own in by_environment(runs).items()}
        if not any(having.values()):
            curves(runs, metric)  # says which metrics there are
        for environment, own in having.items():
            if not own:
                continue
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = curves(own, metric) if any(_finite(run, metric) for run in own) else []
            notes += [f"{environment}, {called(metric)}: {one.message}" for one in caught]
            suite = suite_of(environment, found, metric, share=share)
            made.append(Chapter(environment=environment, metric=metric, share=share, curves=found, suite=suite))
    return made, list(dict.fromkeys(notes))


def _finite(run: RunRecord, metric: str) -> bool:
    return bool(np.isfinite(run.metrics[metric]).all(axis=0).any())
