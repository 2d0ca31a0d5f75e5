"""Search for settings: TPE, median pruning, continuing, mistakes. Runs that end at once stand for real ones."""

import copy
import itertools
import json
import math
from pathlib import Path

import pytest

import sweep
from contract_helpers import Recorder
from core.errors import UserError
from observers.gather import summarise
from studies import run_set, searching
from studies.metric import missing
from studies.placing import Ended
from studies.planning import Plan
from studies.run_set import RunSet
from studies.runs import Run
from studies.searching import Search, read_space
from studies.watching import Row, Watch
from training.experiment import Experiment
from training.options import resolve
from training.provenance import environment
from training.testing import metrics_of_tests

optuna = pytest.importorskip("optuna", reason="pip install -r requirements-search.txt")

METRIC = "test_return_mean"
GAME = ["--config", "iql", "--env-config", "matrix_game", "--search", "optuna", "--space", "lr=0.0001..0.1:log"]


def worth(options):
    """A return with its best lr at 0.01."""
    return -abs(math.log10(options.learner.lr) + 2)


class Valued:
    """A placer whose runs complete at once, with a return that their learning rate decides."""

    def __init__(self, results):
        self.results, self.commands, self.stopped = results, [], False
        self.numbers = itertools.count(1)

    def place(self, command):
        self.commands.append(command)
        config, env = (word.partition("=")[2] for word in command[2:4])
        placed = copy.copy(self)
        placed.options = resolve(config, env, command[command.index("with") + 1 :])
        placed.number = next(self.numbers)
        return placed

    def wait(self):
        folder = self.results / f"sacred/iql/game/{self.number}"
        folder.mkdir(parents=True)
        contents = {
            "config": self.options.flat(),
            "info": {"provenance": {"environment": environment(self.options)}},
            "run": {"status": "COMPLETED"},
            "metrics": {METRIC: {"steps": [0, 100], "values": [-9.0, worth(self.options)]}},
        }
        for name, content in contents.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        return Ended(0)

    def stop(self):
        self.stopped = True


def plan(seeds=(1,), *words):
    return Plan(configs=("iql",), envs=("matrix_game",), seeds=seeds, grid={}, words=("t_max=1000", *words))


@pytest.fixture
def search(tmp_path):
    """Make a search; ``made.placer`` are its runs."""

    def made(placer=None, seeds=(1,), space=("lr=0.0001..0.1:log",), words=(), **others):
        runs = RunSet(tmp_path, say=lambda text: None)
        runs.place(placer or Valued(tmp_path))
        watch = Watch(tmp_path, {}, keep=METRIC)
        runs.report(lambda text: None, watch.hear)
        given = {"metric": METRIC, "minimize": False, "watch": watch, "say": lambda text: None} | others
        one = Search(runs, plan(seeds, *words), read_space(space), **given)
        one.placer = runs._placer
        return one

    return made


def states(study):
    return [trial.state.name for trial in study.trials]


def test_trials_of_all_seeds_come_near_the_best_value(search):
    one = search(seeds=(1, 2))
    assert one.play(12, jobs=2) == []
    assert states(one.study) == ["COMPLETE"] * 12
    assert len(one.placer.commands) == 24
    assert one.study.best_value > -0.3
    best = one.best()
    assert best[0] == "12 trials completed, 0 pruned"
    assert best[1].startswith(f"{METRIC} -0.")
    assert "lr=0.0" in best[1]
    assert len(best) == 6
    again = search(seeds=(1, 2))
    assert again.play(12, jobs=1) == []
    assert again.placer.commands == []


def test_the_smallest_value_may_be_wanted(search):
    one = search(minimize=True)
    one.play(5, jobs=1)
    assert one.study.best_value == min(trial.value for trial in one.study.trials)


def test_a_search_that_was_stopped_goes_on_with_the_same_trials(search, tmp_path):
    class Stopping(Valued):
        def wait(self):
            if len(self.commands) < 3:
                return super().wait()
            one._runs.stop()
            return Ended(143)

    one = search(Stopping(tmp_path))
    assert one.play(4, jobs=1) == []
    assert states(one.study) == ["COMPLETE", "COMPLETE", "RUNNING"]
    left = one.study.trials[2].params
    rest = search()
    rest.placer.numbers = itertools.count(3)
    assert rest.play(4, jobs=1) == []
    assert states(rest.study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert rest.study.trials[3].params == left
    assert len(rest.placer.commands) == 2
    assert f"lr={left['lr']!r}" in rest.placer.commands[0]


def test_a_run_that_is_worse_than_the_others_were_is_stopped(search, tmp_path):
    """Five trials tell of ten tests each; the sixth is the worst from its first on."""

    class Telling(Valued):
        def wait(self):
            (going,) = one._going.values()
            row = one._watch.rows[going.run]
            for step in range(0, 1000, 100):
                row.kept.append((step, -100.0 if len(self.commands) == 6 else float(len(self.commands))))
                one._report(going)
            return Ended(143) if self.stopped else super().wait()

    one = search(Telling(tmp_path))
    one._plan = plan((1,), "test_interval=100")
    assert one.play(6, jobs=1) == []
    assert states(one.study) == ["COMPLETE"] * 5 + ["PRUNED"]
    assert [len(trial.intermediate_values) for trial in one.study.trials] == [10] * 6
    assert len(one.placer.commands) == 6  # it is not tried again
    assert one.best()[0] == "5 trials completed, 1 pruned"


def test_a_run_that_has_ended_meanwhile_is_not_reported(search, monkeypatch):
    """Optuna would raise, and nothing would be pruned any more."""
    one, reported = search(), []

    def report(going):
        reported.append(going)
        one._going.pop("second", None)  # as its own thread does before it tells how it ended

    monkeypatch.setattr(one, "_report", report)
    one._going = {"first": "one", "second": "two"}
    one._look()
    assert reported == ["one"]


def test_a_trial_that_fails_is_told_and_the_others_go_on(search, tmp_path):
    class Failing(Valued):
        def wait(self):
            return Ended(2, err="error: it cannot be") if len(self.commands) == 2 else super().wait()

    one = search(Failing(tmp_path))
    (failure,) = one.play(3, jobs=1)
    assert failure.startswith("trial 1: lr=")
    assert failure.endswith("error: it cannot be")
    assert states(one.study) == ["COMPLETE", "FAIL", "COMPLETE"]


def test_spaces_as_they_are_typed():
    d = optuna.distributions
    assert read_space(["lr=1e-4..1e-2:log", "epochs=2..10", "gamma=0.9..0.99", "mixer=qmix,vdn"]) == {
        "lr": d.FloatDistribution(1e-4, 1e-2, log=True),
        "epochs": d.IntDistribution(2, 10),
        "gamma": d.FloatDistribution(0.9, 0.99),
        "mixer": d.CategoricalDistribution(["qmix", "vdn"]),
    }


@pytest.mark.parametrize(
    "word", ["lr", "lr=", "=1..2", "lr=0.1", "lr=1..x", "lr=2..1", "lr=0..1:log", "lr=1..inf", "lr=a,,b", "lr=a,a"]
)
def test_spaces_that_are_none(word):
    with pytest.raises(UserError, match="--space"):
        read_space([word])


def test_a_folder_of_another_search_is_refused(search):
    search().play(1, jobs=1)
    with pytest.raises(UserError, match="another search: give the same command, or other --results"):
        search(space=("lr=0.001..0.1:log",))


def test_a_search_in_which_no_trial_has_ended_does_not_bar_the_folder(search):
    """As after a mistyped --metric, which shows when the first run has completed: that run counts."""
    with pytest.raises(UserError, match="no metric 'los'"):
        search(metric="los").play(3, jobs=1)
    one = search(minimize=True)
    one.placer.numbers = itertools.count(2)
    assert one.play(2, jobs=1) == []
    assert states(one.study) == ["COMPLETE"] * 2
    assert one.study.direction.name == "MINIMIZE"
    assert len(one.placer.commands) == 1


@pytest.mark.parametrize("content", ["nonsense " * 999, "SQLite format 3\0 torn"])
def test_a_damaged_file_is_told(search, tmp_path, content):
    (tmp_path / "search.db").write_text(content)
    with pytest.raises(UserError, match=r"search\.db cannot be used \(.*\): move it away, or give other --results"):
        search()


def test_a_metric_that_there_is_not_ends_the_search(search):
    with pytest.raises(UserError, match=r"no metric 'los'.*It has: test_return_mean"):
        search(metric="los").play(3, jobs=1)


@pytest.mark.parametrize(
    ("metric", "words", "told"),
    [
        ("test_won_mean", [], "iql lr=.* will have no metric 'test_won_mean'.*It has: test_return_mean"),
        ("test_retrun_mean", [], "Did you mean 'test_return_mean'"),
        ("test_sampled_return_mean", [], "no metric"),
        (METRIC, ["test_nepisode=0"], "test_nepisode=0 turns tests off"),
    ],
)
def test_a_metric_that_tests_will_not_have_is_told_before_anything_runs(search, tmp_path, metric, words, told):
    with pytest.raises(UserError, match=told) as error:
        search(metric=metric, words=words)
    assert str(error.value).startswith("nothing was started: ")
    assert not (tmp_path / "search.db").exists()
    search(metric="test_sampled_return_mean", words=["test_sampled=true"])


def test_a_metric_that_is_not_there_yet_is_told_once_as_a_run_goes_on(search, tmp_path):
    """Here of a learner; it may come later, so that the run goes on."""

    class Telling(Valued):
        def wait(self):
            (going,) = one._going.values()
            row = one._watch.rows[going.run]
            for row.steps in (0, 100, 200):
                row.latest = {METRIC: -1.0, "loss": 0.5}
                one._report(going)
                heard.append(len(said))
            return super().wait()

    said, heard = [], []
    one = search(Telling(tmp_path), metric="los", say=said.append, words=["test_interval=100"])
    with pytest.raises(UserError, match="no metric 'los'"):
        one.play(3, jobs=1)
    assert heard == [0, 1, 1]
    assert "has no metric 'los' (--metric) by step 100. Did you mean 'loss'? So far: loss." in said[0]


def test_of_an_environment_of_others_the_first_test_tells():
    row = Row(Run(panel="game", line="iql", config="iql", env="matrix_game", words=()), 1000)
    assert missing("test_won_mean", row, 100) == ""
    row.latest = {"return_mean": 1.0, METRIC: 1.0}
    told = missing("test_won_mean", row, 100)
    assert "no metric 'test_won_mean' (--metric) by step 0." in told
    assert f"So far: {METRIC}. If it has none at its end, the search ends." in told
    assert missing(METRIC, row, 100) == ""


@pytest.mark.parametrize(
    ("env", "words", "complete"),
    [
        ("matrix_game", ["test_sampled=true"], True),
        ("spread", ["env_args.time_limit=5"], True),
        ("toy", ["common_reward=false", "env_args.individual_rewards=true", "env_args.n_teams=2"], False),
    ],
)
def test_what_tests_will_write_is_what_they_write(toy_env, env, words, complete):
    """Of teams and of agents with rewards of their own too; of an environment of others there may be more."""
    experiment = Experiment(resolve("iql", env, ["seed=1", "test_nepisode=1", *words]))
    played = experiment.test(Recorder())
    experiment.close()
    names, no_others = metrics_of_tests(experiment.options)
    assert sorted(names) == sorted(prefix + name for prefix, stats in played.items() for name in summarise(stats))
    assert no_others == complete


@pytest.fixture
def call(play, monkeypatch):
    placer = Valued(Path("results/sweep").resolve())
    monkeypatch.setattr(run_set, "Local", lambda: placer)

    return lambda *words: (*play(sweep, *words), placer.commands)


def test_from_the_command_line(call):
    status, out, err, commands = call(*GAME, "--trials", "3", "--jobs", "1", "with", "t_max=400")
    assert (status, err, len(commands)) == (0, "", 3)
    assert out.count("trial 2: lr=") == 1
    assert "3 trials completed, 0 pruned" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([*GAME[:-2]], ["--search optuna and --space", "belong together"]),
        ([*GAME[:4], "--space", "lr=1..2"], ["belong together"]),
        ([*GAME, "--grid", "gamma=0.9,0.99"], ["without --grid"]),
        ([*GAME, "--dry-run"], ["--dry-run"]),
        ([*GAME, "--trials", "0"], ["--trials", "1 or more"]),
        ([*GAME, "epochz=1..3"], ["epochz"]),
        ([*GAME, "gamma=0.5..1.5"], ["gamma", "1.5"]),
        (["--config", "iql", "vdn", *GAME[2:]], ["one algorithm"]),
    ],
)
def test_mistakes_are_told_before_anything_runs(call, tmp_path, words, expected):
    status, out, err, commands = call(*words)
    assert (status, out, commands) == (2, "", [])
    assert [word for word in expected if word not in err] == []
    assert not list(tmp_path.glob("results/sweep/*.db"))


def test_without_optuna(call, monkeypatch):
    monkeypatch.setattr(searching.importlib.util, "find_spec", lambda name: None)
    status, _, err, _ = call(*GAME)
    assert status == 2
    assert "requirements-search.txt" in err
