"""python src/sweep.py: what is planned, checked, shown, run, exported."""

import json
import shlex
from functools import partial
from pathlib import Path

import pytest

import sweep
from core.errors import UserError
from studies import estimating, filed, planning, run_set
from studies.estimating import Speed, on_file, together
from studies.placing import Ended
from studies.planning import Plan, read_grid, read_seeds
from studies.run_set import RunSet

GAMES = ["--config", "iql", "asae", "--env-config", "matrix_game", "--grid", "env_args.game=climbing,penalty"]
TINY = ["with", "t_max=400", "hidden_dim=8", "test_nepisode=2"]


@pytest.fixture
def call(play):
    return partial(play, sweep)


class Instantly:
    """A placer whose runs complete at once."""

    def __init__(self):
        self.commands = []

    def place(self, command):
        self.commands.append(command)
        return self

    def wait(self):
        return Ended(0, "COMPLETED after 400 steps")


@pytest.fixture
def instantly(monkeypatch):
    placer = Instantly()
    monkeypatch.setattr(run_set, "Local", lambda: placer)
    return placer


# -- the plan --------------------------------------------------------------------------------------------------------


def test_a_plan_is_every_combination_and_every_kind_comes_before_its_second_seed():
    plan = Plan(
        configs=("iql", "asae"), envs=("matrix_game",), seeds=(1, 2), words=("t_max=400", "lr=1"),
        grid={"env_args.game": ("climbing", "penalty"), "lr": ("0.1", "0.01")},
    )  # fmt: skip
    runs = plan.runs()
    assert str(plan) == "2 algorithms x 1 environment x 2 env_args.game x 2 lr x 2 seeds"
    assert len(runs) == len(set(runs)) == 16
    settings = [run.settings() for run in runs]
    found = {(s["name"], s["env_args"]["game"], s["lr"], s["seed"]) for s in settings}
    assert found == {
        (a, game, lr, seed)
        for a in ("iql", "asae") for game in ("climbing", "penalty") for lr in (0.1, 0.01) for seed in (1, 2)
    }  # fmt: skip
    assert [s["seed"] for s in settings] == [1] * 8 + [2] * 8
    assert {s["t_max"] for s in settings} == {400}
    assert runs[0].about == "matrix_game game=climbing: iql lr=0.1 seed=1"


def test_seeds_and_grids_as_they_are_typed():
    assert read_seeds("3") == (1, 2, 3)
    assert read_seeds("3,7,9") == (3, 7, 9)
    assert read_seeds("11-13,2") == (11, 12, 13, 2)
    assert read_grid(["lr=0.1,0.01,0.1", "parameter_sharing=full,[0,0,1],types", "label='a,b',c"]) == {
        "lr": ("0.1", "0.01"),
        "parameter_sharing": ("full", "[0,0,1]", "types"),
        "label": ("'a,b'", "c"),
    }


@pytest.mark.parametrize("text", ["0", "x", "", "3,", "5-", "7-3", "1000000", "1-99999999999", "-4"])
def test_seeds_that_are_none(text):
    with pytest.raises(UserError, match="--seeds"):
        read_seeds(text)


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config", "aase", "--env-config", "spread"], ["aase", "Did you mean 'asae'"]),
        (["--config", "iql", "--env-config", "sprea"], ["sprea", "Did you mean 'spread'"]),
        ([*GAMES, "with", "lrr=1"], ["lrr", "Did you mean 'lr'"]),
        ([*GAMES, "lrr=1,2"], ["lrr", "Did you mean 'lr'"]),
        ([*GAMES, "n_samples=1,2"], ["n_samples", "matrix_game game=climbing: iql n_samples=1"]),
        ([*GAMES, "lr=0.1,fast"], ["fast", "from command line"]),
        ([*GAMES, "env_args.time_limit=0"], ["time_limit"]),
        ([*GAMES, "lr"], ["--grid lr", "key=value,value"]),
        ([*GAMES, "lr=1,,2"], ["--grid lr=1,,2"]),
        ([*GAMES, "lr=1", "lr=2"], ["--grid lr", "twice"]),
        ([*GAMES, "--seeds", "none"], ["--seeds none"]),
        ([*GAMES, "seed=1,2"], ["--seeds"]),
        ([*GAMES, "with", "seed=1"], ["--seeds"]),
        ([*GAMES, "with", "local_results_path=x"], ["--results"]),
        ([*GAMES, "--jobs", "0"], ["--jobs", "1 or more"]),
        ([*GAMES, "--retries", "-1"], ["--retries", "0 or more"]),
        ([*GAMES, "--results", "file/x"], ["file/x", "cannot be written"]),
        ([*GAMES, "--also", "nowhere"], ["nowhere"]),
        ([*GAMES, "--export-commands", "file/x"], ["file/x", "cannot be written"]),
        (["--config", "asae", "--env-config", "gymma", "with", "env_args.key=nothing:Nothing-v0"], ["nothing"]),
        (["--config", "hatrpo", "--env-config", "matrix_game", "with", "parameter_sharing=[0,0,1]"], ["parameter_sha"]),
    ],
)
def test_mistakes_are_told_before_anything_runs(call, instantly, tmp_path, words, expected):
    (tmp_path / "file").write_text("")
    status, out, err = call(*words)
    assert (status, out, instantly.commands) == (2, "", [])
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert [word for word in expected if word not in err] == []


def test_every_wrong_kind_of_run_is_told_once_with_its_runs(call, instantly):
    _, _, err = call(*GAMES, "n_samples=0,2", "lr=1,2", "--seeds", "3")
    assert err.splitlines()[0] == "error: nothing was started: 12 kinds of runs cannot be."
    assert err.count("(matrix_game game=climbing: iql n_samples=0 lr=1; ") == 1
    assert "and 5 more)" in err
    assert "seed" not in err
    assert instantly.commands == []


def test_two_sweeps_in_one_folder(call, instantly):
    with RunSet(Path("results/sweep")).locked():
        status, _, err = call(*GAMES)
    assert (status, instantly.commands) == (2, [])
    assert "Another process" in err


# -- without running -------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_its_time(call, instantly, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(estimating, "measured", lambda run: tried.append(run.about) or Speed(100.0, "measured"))
    status, out, err = call(*GAMES, "--seeds", "3", "--jobs", "2", "--dry-run", *TINY)
    assert (status, err, instantly.commands) == (0, "", [])
    assert out.splitlines()[0].endswith("12 runs, 0 of them completed")
    assert "matrix_game game=climbing  iql        3     400    100      0:00:08  measured" in out
    assert out.splitlines()[-1] == "about 0:00:48 with 2 at once"
    assert len(tried) == 4  # once for each algorithm and task
    assert not (tmp_path / "results").exists()


def test_the_speed_of_runs_on_file_counts_of_the_most_alike(tmp_path):
    (run,) = Plan(configs=("iql",), envs=("matrix_game",), seeds=(9,), grid={}, words=("t_max=800",)).runs()
    wanted = run.wanted()

    def one(speed, **changes):
        config = wanted.settings | {"seed": 1, "t_max": 100} | changes
        return filed.Filed(tmp_path, "COMPLETED", config, wanted.environment, speed)

    other_task = one(1.0, env_args=wanted.settings["env_args"] | {"game": "penalty"})
    other_settings = [one(10.0, lr=5.0), one(30.0, lr=5.0), one(20.0, lr=5.0)]
    assert on_file(wanted, [one(1.0, name="vdn"), one(None)]) is None
    assert on_file(wanted, [other_task]) == Speed(1.0, "1 on file with this environment")
    assert on_file(wanted, [other_task, *other_settings]) == Speed(20.0, "3 on file with this task")
    assert on_file(wanted, [other_task, *other_settings, one(7.0)]) == Speed(7.0, "1 on file with these settings")


def test_a_kind_of_run_is_measured(monkeypatch):
    (run,) = Plan(configs=("iql",), envs=("matrix_game",), seeds=(1,), grid={}, words=("batch_size=8",)).runs()
    times = iter(range(0, 100, 3))
    speed = estimating.measured(run, clock=lambda: float(next(times)))
    assert 0 < speed.steps < 1000  # of that clock
    assert speed.source == "measured for 4 s"


def test_runs_side_by_side():
    assert together([3, 2, 2], 2) == 4
    assert together([3, 2, 2], 1) == 7
    assert together([3, 2], 9) == 3


def test_commands_are_exported_one_a_line(call, instantly, tmp_path):
    status, out, err = call(*GAMES, "--export-commands", "runs.txt", "--seeds", "2", *TINY, "label=a b")
    assert (status, out, err) == (0, "8 commands: runs.txt\n", "")
    lines = (tmp_path / "runs.txt").read_text().splitlines()
    assert len(lines) == 8
    words = shlex.split(lines[0])
    assert words[:3] == ["cd", str(tmp_path), "&&"]
    assert words[4].endswith("src/main.py")
    assert words[5:9] == ["--config=iql", "--env-config=matrix_game", "with", "seed=1"]
    assert "label=a b" in words
    assert words[-1] == f"local_results_path={tmp_path / 'results/sweep'}"
    assert call(*GAMES, "--export-commands", "-", "--seeds", "2", *TINY, "label=a b")[1].splitlines() == lines
    assert instantly.commands == []


# -- running ---------------------------------------------------------------------------------------------------------


def test_a_sweep_is_run_and_told(call, instantly, tmp_path):
    status, out, err = call(*GAMES, "--seeds", "2", *TINY)
    assert (status, err) == (0, "")
    assert len(instantly.commands) == 8
    assert out.splitlines()[0] == "8 runs, 0 of them completed before"
    assert "[8/8] matrix_game game=" in out
    assert out.splitlines()[-1] == "Results: results/sweep"


def test_what_has_completed_is_not_run_again_and_a_run_that_fails_is_told(call, tmp_path, monkeypatch):
    words = ["--config", "iql", "--env-config", "matrix_game", "--seeds"]
    assert call(*words, "1", *TINY)[0] == 0
    (run,) = (tmp_path / "results/sweep/sacred/iql").glob("*/*/run.json")
    assert json.loads(run.read_text())["status"] == "COMPLETED"
    placer = Instantly()
    placer.wait = lambda: Ended(2, err="error: it cannot be")
    monkeypatch.setattr(run_set, "Local", lambda: placer)
    status, out, err = call(*words, "2", *TINY)
    assert (status, len(placer.commands)) == (1, 1)
    assert "2 runs, 1 of them completed before" in out
    assert err == "failed: matrix_game: iql seed=2: error: it cannot be\n"


def test_what_is_checked_is_every_kind_of_run_that_is_to_do(monkeypatch):
    seen = []
    monkeypatch.setattr(planning, "check_parts", seen.append)
    plan = Plan(configs=("iql", "vdn"), envs=("matrix_game",), seeds=(1, 2, 3), grid={"lr": ("1", "2")})
    planning.check(plan.runs(), fit=True)
    assert len(seen) == 4


def test_help_is_quick_because_it_imports_nothing_heavy(call):
    status, out, _ = call("--help")
    assert status == 0
    assert "--export-commands" in out
