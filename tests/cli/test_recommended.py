"""Recommended settings: a layer between an algorithm's file and the command line, for new runs alone."""

import pytest

from core import recommended
from core.errors import UserError
from training.options import resolve
from training.resuming import Source

CLIMBING = "env_args.game=climbing"
FILE = """\
iql: {lr: 0.007, batch_size_run: 4}
coma: {lr: 0.006}
tasks:
  clim*: {iql: {hidden_dim: 16}}
  climbing: {iql: {lr: 0.005}, vdn: {lr: 0.004}}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Put other recommended settings in the place of ours: write("spread", text)."""
    monkeypatch.setattr(recommended, "FOLDER", tmp_path / "recommended")
    (tmp_path / "recommended").mkdir()
    return lambda env, text: (tmp_path / "recommended" / f"{env}.yaml").write_text(text)


def origins(config, env, *words, teams=()):
    """Key -> (value, layer) of what is recommended."""
    options = resolve(config, env, words, teams)
    flat = options.flat()
    return {
        key: (flat[key], layer)
        for key, layer in options.origins.items()
        if layer.startswith("recommended") and key in flat
    }


def test_the_environments_then_its_tasks_and_the_command_line_wins(write):
    write("matrix_game", FILE)
    found = origins("iql", "matrix_game", CLIMBING)
    assert found == {
        "batch_size_run": (4, "recommended/matrix_game.yaml"),
        "hidden_dim": (16, "recommended/matrix_game.yaml (clim*)"),
        "lr": (0.005, "recommended/matrix_game.yaml (climbing)"),
    }
    assert origins("iql", "matrix_game", "env_args.game=qtran").keys() == {"lr", "batch_size_run"}
    assert origins("vdn", "matrix_game", "env_args.game=qtran") == {}
    assert origins("qmix", "matrix_game") == {}
    assert origins("iql", "spread") == {}
    assert origins("iql", "matrix_game", CLIMBING, "lr=0.5").keys() == {"batch_size_run", "hidden_dim"}
    assert resolve("iql", "matrix_game", ["lr=0.5"]).learner.lr == 0.5


def test_a_payoff_of_ones_own_is_none_of_our_games(write):
    write("matrix_game", FILE)
    assert origins("iql", "matrix_game", "env_args.payoff=[[1, 2], [3, 4]]").keys() == {"lr", "batch_size_run"}
    assert origins("iql", "matrix_game", "env_args.payoff=null").keys() == {"lr", "batch_size_run", "hidden_dim"}


@pytest.mark.parametrize("word", ["recommended=false", "recommended=no", "recommended=0"])
def test_switched_off(write, word):
    write("matrix_game", FILE)
    assert origins("iql", "matrix_game", word) == {}
    settings = resolve("iql", "matrix_game", [word]).flat()
    assert (settings["recommended"], settings["lr"]) == (False, 0.0003)
    assert resolve("iql", "matrix_game", []).flat()["recommended"] is True


def test_files_of_ones_own_have_none(write, tmp_path):
    write("matrix_game", FILE)
    game, mine = tmp_path / "matrix_game.yaml", tmp_path / "iql.yaml"
    game.write_text("env: matrix_game\n")
    mine.write_text("learner: q_learner\nmixer: none\naction_selector: epsilon_greedy\n")
    assert origins("iql", str(game)) == {}
    assert origins(str(mine), "matrix_game") == {}
    game.write_text("env: matrix_game\nrecommended: false\n")
    assert resolve("iql", str(game), []).experiment.recommended is False


def test_a_team_has_those_of_its_own_algorithm(write):
    write("predator_prey", "iql: {lr: 0.007, batch_size_run: 4}\ncoma: {lr: 0.006, batch_size_run: 2}\n")
    options = resolve("iql", "predator_prey", ["team.prey.gamma=0.5"], ["prey=coma"])
    prey = options.flat()["team"]["prey"]
    assert (options.learner.lr, prey["lr"], prey["gamma"]) == (0.007, 0.006, 0.5)
    assert options.origins["team.prey.lr"] == "recommended/predator_prey.yaml"
    assert options.experiment.batch_size_run == 4  # the run's, whoever plays the others
    assert resolve("iql", "predator_prey", [], ["prey=vdn"]).flat()["team"]["prey"]["lr"] == 0.0005
    one = resolve("iql", "predator_prey", ["team.prey.gamma=0.5"]).flat()["team"]["prey"]
    assert (one["plays"], one["lr"]) == ("iql", 0.007)
    off = resolve("iql", "predator_prey", ["recommended=false"], ["prey=coma"]).flat()
    assert (off["lr"], off["team"]["prey"]["lr"]) == (0.0003, 0.0003)
    with pytest.raises(UserError, match=r"recommended is a setting of the whole run"):
        resolve("iql", "predator_prey", ["team.prey.recommended=false"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iqll: {lr: 1}", ["matrix_game.yaml: unknown algorithm 'iqll'", "Did you mean 'iql'?"]),
        ("tasks: {climbing: {iqll: {lr: 1}}}", ["matrix_game.yaml, tasks, climbing: unknown algorithm 'iqll'"]),
        ("iql: {lrr: 1}", ["'lrr' (from recommended/matrix_game.yaml)", "'lr'"]),
        ("iql: {lr: -1}", ["lr=-1 (from recommended/matrix_game.yaml)", "must be greater than 0"]),
        ("tasks: {climbing: {iql: {lr: x}}}", ["lr=x (from recommended/matrix_game.yaml (climbing))"]),
        ("iql: {eps_clip: 0.1}", ["'eps_clip' (from recommended/matrix_game.yaml)", "does not use"]),
        ("iql: 3", ["below 'iql'", "'3'"]),
        ("tasks: [1]", ["below 'tasks'"]),
    ],
)
def test_a_wrong_entry_is_one_message(cli, write, text, expected):
    write("matrix_game", text)
    outcome = cli("--config=iql", "--env-config=matrix_game")
    assert (outcome.status, len(outcome.err.splitlines())) == (2, 1)
    assert [word for word in expected if word not in outcome.err] == []


def test_a_wrong_switch_is_one_message(cli):
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", "recommended=perhaps")
    assert (outcome.status, len(outcome.err.splitlines())) == (2, 1)
    assert "recommended=perhaps (from command line)" in outcome.err


def test_a_run_that_goes_on_or_is_tested_keeps_what_it_had(cli, tools, write):
    """What was recommended has changed since."""
    write("matrix_game", "iql: {lr: 0.007}")
    run = cli.train("iql", "matrix_game", "t_max=200", "seed=1", "keep_replay_buffer=true")
    write("matrix_game", "iql: {lr: 0.1, double_q: false}")
    resumed = cli.resume(run, "t_max=400")
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", f"checkpoint_path={run}", "evaluate=true")
    assert (outcome.status, outcome.err) == (0, "")
    assert "recommended" not in outcome.out
    (tested,) = (path.parent for path in cli.folder.glob("results/evaluations/*/*/*/run.json"))
    for folder in (run, resumed, tested):
        config = tools.read(folder, "config")
        assert (config["recommended"], config["lr"], config["double_q"]) == (True, 0.007, True)
    outcome = cli("with", f"resume={run}", "t_max=600", "recommended=false")
    assert outcome.status == 2
    assert "recommended=True exactly, but recommended=False" in outcome.err


def test_a_run_from_before_there_were_any_has_none(tmp_path):
    layer = {"name": "iql", "env": "spread", "lr": 0.1}
    assert Source(tmp_path, layer, True).layer(None, None)[1]["recommended"] is False
    assert Source(tmp_path, layer | {"recommended": True}, True).layer(None, None)[1]["recommended"] is True


def test_they_are_told(cli, write):
    write("matrix_game", FILE)
    game = ["--config=iql", "--env-config=matrix_game"]
    shown = cli(*game, "--print-config").out
    assert "algs/*.yaml < recommended/*.yaml < command line" in shown
    row = next(line for line in shown.splitlines() if line.startswith("batch_size_run"))
    assert "4" in row
    assert "recommended/matrix_game.yaml" in row
    only = cli(*game, "--print-config", "recommended").out.splitlines()
    assert [line.split()[0] for line in only if " = " in line][1:] == [
        "recommended",
        "batch_size_run",
        "hidden_dim",
        "lr",
    ]
    told = cli("--help-setting", "lr").out
    assert "recommended/*.yaml matrix_game iql 0.007, matrix_game coma 0.006, matrix_game (climbing) iql 0.005" in told
    listed = [line.split(maxsplit=2) for line in cli("--list").out.splitlines()]
    assert ["matrix_game", "iql,", "coma"] in listed
    assert ["matrix_game", "(climbing)", "iql, vdn"] in listed
    header = cli(*game, "with", "t_max=1", "test_nepisode=0").out
    assert "recommended  batch_size_run=4 (recommended/matrix_game.yaml), hidden_dim=16" in header
