"""What a run records of the code, the command, the packages and the environment's version, and what hangs on it."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from training import provenance
from training.options import resolve
from training.provenance import environment, same_environment

ROOT = Path(__file__).parents[2]
OWN = ["spread", "spread_paper", "predator_prey", "simple_tag", "matrix_game", "battle"]
LBF = "lbforaging:Foraging-5x5-2p-1f-v3"


def test_a_run_records_what_made_it(cli, tools):
    folder = cli.train("iql", "matrix_game", "t_max=1", "label=two words")
    made = tools.read(folder, "info")["provenance"]
    assert made["command"].startswith("python src/main.py --config=iql --env-config=matrix_game with hidden_dim=8 ")
    assert made["command"].endswith(" 'label=two words'")
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "numba")}
    assert made["versions"] == versions | {"python": sys.version.split()[0], "project": "0.1.0"}
    assert made["environment"] == {"name": "matrix_game", "version": 1}
    assert made.keys() == {"command", "commit", "changed", "versions", "environment"}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, as the project's root."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "code.py").write_text("")

    def git(*words):
        author = ["-c", "user.name=me", "-c", "user.email=me"]
        done = subprocess.run(["git", "-C", tmp_path, *author, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return git


def code():
    return provenance._code.__wrapped__()


def test_the_commit_and_whether_the_code_was_changed(checkout, tmp_path):
    commit = checkout("rev-parse", "HEAD")
    assert len(commit) == 40
    (tmp_path / "curves.png").write_text("not code")
    assert code() == {"commit": commit, "changed": False}
    (tmp_path / "src" / "code.py").write_text("1")
    assert code() == {"commit": commit, "changed": True}
    checkout("checkout", "-q", "src")
    (tmp_path / "src" / "new.py").write_text("")
    assert code() == {"commit": commit, "changed": True}


def test_without_a_checkout_nothing_is_claimed(checkout, tmp_path, monkeypatch):
    nothing = {"commit": None, "changed": None}
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "src")  # unpacked within another project's checkout
    assert code() == nothing
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "nowhere")
    assert code() == nothing
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", "")  # no git
    assert code() == nothing


@pytest.mark.parametrize("env", OWN)
def test_our_simulators_have_a_version(env):
    assert environment(resolve("iql", env, [])) == {"name": env, "version": 1}


@pytest.mark.parametrize(
    ("env", "key", "name"),
    [
        ("gymma", LBF, "lbforaging"),
        ("gymma", "CartPole-v1", "gymnasium"),
        ("pettingzoo", "mpe2.simple_spread_v3", "mpe2"),
        ("pettingzoo", "yaml.thing", "yaml"),  # the module's package has another name
    ],
)
def test_others_have_that_of_their_package(env, key, name):
    version = metadata.version({"yaml": "PyYAML"}.get(name, name))
    assert environment(resolve("iql", env, [f"env_args.key={key}"])) == {"name": name, "version": version}


def test_a_module_of_ones_own_has_none():
    found = environment(resolve("iql", "pettingzoo", ["env_args.key=my_env"]))
    assert found == {"name": "my_env", "version": None}


@pytest.mark.parametrize(
    ("recorded", "now", "same"),
    [
        (None, 1, True),  # runs from before the version was recorded
        (None, 2, False),
        (None, "2.0.0", True),
        (None, None, True),
        (1, 1, True),
        (1, 2, False),
        ("2.0.0", "2.0.0", True),
        ("2.0.0", "2.1.0", False),
    ],
)
def test_which_environments_are_the_same(recorded, now, same):
    before = None if recorded is None else {"name": "x", "version": recorded}
    assert same_environment(before, {"name": "x", "version": now}) == same


@pytest.mark.parametrize(
    ("env", "words", "folder"),
    [
        ("spread", [], "spread"),
        ("matrix_game", ["env_args.game=penalty"], "matrix_game-penalty"),
        ("battle", ["env_args.map_name=3m"], "battle-3m"),
        ("gymma", [f"env_args.key={LBF}"], f"gymma-{LBF}"),
        ("pettingzoo", ["env_args.key=a/b"], "pettingzoo-a_b"),
    ],
)
def test_the_folder_names_environment_and_task(env, words, folder):
    options = resolve("iql", env, words)
    assert options.experiment.task(options.env_args.model_dump(mode="json")) == folder


def test_a_run_that_began_under_the_older_name_goes_on(cli, tools):
    """results/sacred/<name>/<task>/<id>: resumed, read as one run, moved as a whole."""
    from analysis.runs import find_runs

    run = cli.train("coma", "matrix_game", "t_max=200", "seed=1")
    old = run.parent.parent / "climbing" / "1"
    old.parent.mkdir()
    run.rename(old)
    resumed = cli.resume(old, "t_max=400")
    assert resumed.parent.name == "matrix_game-climbing"
    info = tools.read(resumed, "info") | {"resumed_from_run": str(old)}  # as it was called when it was written
    for place in ("results", "moved"):
        (resumed / "info.json").write_text(json.dumps(info))
        (one,) = find_runs([resumed])
        assert one.metrics["test_return_mean"][0][0] == 0
        if place == "results":
            cli.results.rename(cli.folder / "moved")
            resumed = cli.folder / "moved" / resumed.relative_to(cli.results)
