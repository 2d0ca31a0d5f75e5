"""Search for settings by Optuna: trials are runs of a set, proposed by TPE, ended early by median pruning.

The trials are kept in search.db in the results folder. Which of their runs are finished and which are continued is
known by :mod:`studies.run_set`, as of any others. Optuna is an extra: requirements-search.txt.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from analysis.runs import read_run
from core.errors import UserError
from studies.metric import check_metric, missing
from studies.planning import Plan, check, parted
from studies.run_set import RunSet
from studies.runs import Run
from studies.watching import Watch

FILE = "search.db"
SHOWN = 5  # of the best trials
RANGE = re.compile(r"(?P<low>[^,]+?)\.\.(?P<high>[^,:]+)(?P<log>:log)?")


def check_installed() -> None:
    """Check that Optuna is there.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError("--search optuna needs Optuna: python -m pip install -r requirements-search.txt")


def read_space(words: Sequence[str]) -> dict[str, Any]:
    """Read key=low..high, key=low..high:log and key=a,b,c into Optuna's distributions.

    Raises:
        UserError: a word is none of these.
    """
    space: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not key or not equals or not text or key in space:
            raise UserError(
                f"Cannot read --space {word}: give each setting once, lr=0.0001..0.01:log or epochs=2,5,10."
            )
        try:
            space[key] = _distribution(text)
        except (ValueError, OverflowError) as error:
            raise UserError(f"Cannot read --space {word}: {error}") from error
    return space


def _distribution(text: str) -> Any:
    from optuna import distributions

    found = RANGE.fullmatch(text)
    if found is None:
        values = [value.strip() for value in parted(text)]
        if "" in values or len(set(values)) < 2:
            raise ValueError("it takes low..high, or at least two values a,b.")
        return distributions.CategoricalDistribution(values)
    low, high, log = found["low"], found["high"], found["log"] is not None
    if not all(math.isfinite(float(end)) for end in (low, high)) or float(low) >= float(high):
        raise ValueError("the first number must be below the second.")
    if all(end.removeprefix("-").isdecimal() for end in (low, high)):
        return distributions.IntDistribution(int(low), int(high), log=log)
    return distributions.FloatDistribution(float(low), float(high), log=log)


def _study(file: Path, asked: str, *, minimize: bool) -> Any:
    """Open the file's study, or make one; one in which no trial has ended well is made anew if another was asked for.

    Raises:
        UserError: it is of another search, or no such file.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    given: dict[str, Any] = {"storage": f"sqlite:///{file}", "study_name": "search"}
    direction: Literal["minimize", "maximize"] = "minimize" if minimize else "maximize"
    try:
        study = optuna.create_study(**given, load_if_exists=True, direction=direction)
        if study.user_attrs.get("asked", asked) != asked:
            state = optuna.trial.TrialState
            if study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED)):
                raise UserError(f"{file} is of another search: give the same command, or other --results.")
            optuna.delete_study(**given)
            study = optuna.create_study(**given, direction=direction)
        study.set_user_attr("asked", asked)
        return study
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise UserError(
            f"{file} cannot be used ({reason}): move it away, or give other --results. Runs that have completed there "
            "are not lost."
        ) from error


@dataclass
class _Going:
    """A trial whose run is going on; ``before`` are the results of its earlier seeds."""

    trial: Any
    run: Run
    before: list[float]
    told: int = 0  # of the run's tests
    pruned: bool = False


class Search:
    """One search.

    Args:
        runs: where its runs are filed; locked.
        plan: of one algorithm in one environment, with the seeds of every trial.
        space: what :func:`read_space` gave.
        metric: the last value counts, of several seeds the mean.
        minimize: the smallest is wanted.
        watch: that keeps the metric's values.
        say: where lines about progress go.

    Raises:
        UserError: the folder is another search's, or settings are wrong.
    """

    def __init__(
        self,
        runs: RunSet,
        plan: Plan,
        space: Mapping[str, Any],
        *,
        metric: str,
        minimize: bool,
        watch: Watch,
        say: Callable[[str], None],
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._states = optuna.trial.TrialState
        self._runs, self._plan, self._space, self._metric = runs, plan, dict(space), metric
        self._watch, self._say = watch, say
        self._going: dict[int, _Going] = {}
        self._asking, self._reporting = threading.Lock(), threading.Lock()
        self._told = False  # that the metric is missing
        for params in self._corners():
            check(self._made(params), fit=True)
            check_metric(self._made(params)[0], metric)
        asked = json.dumps([str(plan), plan.configs, plan.envs, plan.words, plan.teams, metric, minimize, str(space)])
        self.study = _study(runs.results / FILE, asked, minimize=minimize)
        self.study.sampler = optuna.samplers.TPESampler(seed=len(self.study.trials), constant_liar=True)
        self.study.pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)

    def _corners(self) -> list[dict[str, Any]]:
        """Settings at the ends of all ranges, and every value once: what cannot be is told before anything runs."""
        ends = {
            key: list(one.choices) if hasattr(one, "choices") else [one.low, one.high]
            for key, one in self._space.items()
        }
        return [{key: values[min(i, len(values) - 1)] for key, values in ends.items()} for i in
                range(max(map(len, ends.values())))]  # fmt: skip

    def _made(self, params: Mapping[str, Any]) -> list[Run]:
        """The runs of a trial."""
        grid = {key: (value if isinstance(value, str) else repr(value),) for key, value in params.items()}
        return replace(self._plan, grid=grid).runs()

    def play(self, trials: int, *, jobs: int) -> list[str]:
        """Play until so many trials are done, ``jobs`` at once; messages of those that failed.

        Raises:
            UserError: the metric does not exist.
        """
        self._again()
        end, failures = threading.Event(), list[str]()
        pruning = threading.Thread(target=self._prune, args=(end,), daemon=True)
        pruning.start()
        pool = ThreadPoolExecutor(jobs)
        try:
            for future in as_completed([pool.submit(self._work, trials) for _ in range(jobs)]):
                failures += future.result()
        except BaseException:
            self._runs.stop()
            raise
        finally:
            pool.shutdown()
            end.set()
            pruning.join()
        return failures

    def _again(self) -> None:
        """Begin trials again that an earlier call left: their runs go on where they were."""
        for left in self.study.get_trials(states=(self._states.RUNNING,)):
            self.study.tell(left.number, state=self._states.FAIL)
            self.study.enqueue_trial(left.params, user_attrs={"again": left.number})

    def _ask(self, trials: int) -> Any:
        """The next trial; None where there are as many as were asked for."""
        with self._asking:
            every = self.study.get_trials(deepcopy=False)
            again = {trial.user_attrs["again"] for trial in every if "again" in trial.user_attrs}
            waiting = [trial for trial in every if trial.state == self._states.WAITING]
            if sum(trial.number not in again for trial in every) - len(waiting) >= trials:
                return None
            return self.study.ask(self._space)

    def _work(self, trials: int) -> list[str]:
        """Play one trial after another."""
        failures = []
        while not self._runs.stopped and (trial := self._ask(trials)) is not None:
            failures += self._play(trial)
        return failures

    def _play(self, trial: Any) -> list[str]:
        about = f"trial {trial.number}: {' '.join(f'{key}={value}' for key, value in trial.params.items())}"
        values: list[float] = []
        for run in self._made(trial.params):
            self._watch.add(run, run.options().experiment.t_max)
            self._going[trial.number] = going = _Going(trial, run, values)
            error = self._runs.one(run)[1]
            with self._reporting:
                del self._going[trial.number]
            folder = self._runs.completed(run)
            if folder is None and (self._runs.stopped and not going.pruned):
                return []  # it goes on in the next call
            if folder is None:
                state = self._states.PRUNED if going.pruned else self._states.FAIL
                self.study.tell(trial, state=state)
                self._say(f"{about}: {state.name}")
                return [f"{about}: {error}"] if error else []
            values.append(self._value(folder))
        self.study.tell(trial, statistics.mean(values))
        self._say(f"{about}: {self._metric} {statistics.mean(values):.6g}")
        return []

    def _value(self, folder: Path) -> float:
        record = read_run(folder)
        if record is None or self._metric not in record.metrics:
            known = ", ".join(sorted(name for name in (record.metrics if record else ()) if name.startswith("test_")))
            raise UserError(f"{folder} has no metric '{self._metric}' (--metric). It has: {known}.")
        return float(record.metrics[self._metric][1][-1])

    def _prune(self, end: threading.Event) -> None:
        """Report tests as they come, and stop runs that are worse than the others were after as many."""
        while not end.wait(1.0):
            self._look()

    def _look(self) -> None:
        self._watch.look()
        for number, going in list(self._going.items()):
            with self._reporting:  # a trial whose end was told cannot be reported on
                if self._going.get(number) is going:
                    self._report(going)

    def _report(self, going: _Going) -> None:
        s = going.run.options().experiment
        kept = self._watch.rows[going.run].kept
        for step, value in kept[going.told :]:
            tests = len(going.before) * (s.t_max // s.test_interval + 1) + step // s.test_interval
            if math.isfinite(value):
                going.trial.report(statistics.mean([*going.before, value]), tests)
        if not self._told and (told := missing(self._metric, self._watch.rows[going.run], s.test_interval)):
            self._told = True
            self._say(told)
        fresh, going.told = len(kept) > going.told, len(kept)
        if fresh and not going.pruned and going.trial.should_prune():
            going.pruned = True
            self._runs.stop(going.run)

    def best(self) -> list[str]:
        """The best trials, in words."""
        done = self.study.get_trials(states=(self._states.COMPLETE,))
        sign = 1 if self.study.direction.name == "MINIMIZE" else -1
        lines = [f"{len(done)} trials completed, {len(self.study.get_trials(states=(self._states.PRUNED,)))} pruned"]
        for trial in sorted(done, key=lambda trial: sign * (trial.value or 0.0))[:SHOWN]:
            words = " ".join(f"{key}={value}" for key, value in trial.params.items())
            lines.append(f"{self._metric} {trial.value:.6g}  {words}")
        return lines
