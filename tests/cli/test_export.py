"""src/export.py: files, what they say of themselves, messages; docs/using_a_policy.md's example as it stands."""

import contextlib
import importlib.util
import io
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import export
from components import checkpoint, portable
from controllers.basic_controller import BasicController
from core.data import TeamStep
from training import snapshot
from training.experiment import Experiment
from training.options import resolve
from training.resuming import models_folder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "using_a_policy.md").read_text()
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
QUICK = ["seed=1", "t_max=40", "batch_size_run=4", "test_nepisode=0", "env_args.time_limit=5", "hidden_dim=8"]


@pytest.fixture
def train(cli):
    def make(config, env, *words, options=()):
        before = set(cli.runs())
        outcome = cli(f"--config={config}", f"--env-config={env}", *options, "with", *QUICK, *words)
        assert (outcome.status, outcome.err) == (0, "")
        (folder,) = set(cli.runs()) - before
        return folder

    return make


@pytest.fixture
def command(play):
    return partial(play, export)


def load(path):
    kind = next(kind for kind, suffix in portable.SUFFIXES.items() if path.suffix == suffix)
    return portable.Portable(path.read_bytes(), kind)


@pytest.mark.parametrize(("out", "options"), [("new/p.onnx", ["--format", "onnx"]), ("new/p.pt", [])])
def test_one_file_that_says_what_it_is(cli, tools, train, command, out, options):
    run = train("coma", "spread", "use_rnn=true", "parameter_sharing=full", "save_model_interval=20")
    status, said, err = command(run, "--out", out, *options, "with", "load_step=20")
    assert (status, err) == (0, "")
    assert said.startswith(f"{out}  ")
    (path,) = (cli.folder / "new").iterdir()
    about = load(path).about
    arguments = tools.read(run, "config")["env_args"]
    assert about == {
        "format": 1, "algorithm": "coma", "environment": "spread", "task": "spread", "env_args": arguments,
        "team": "agents", "agents": [0, 1, 2], "form": "decentralised", "n_agents": 3, "n_actions": 5,
        "observation_size": 18, "observation_type": "float32", "observation_unit": 1, "state_size": 8,
        "uses_last_action": about["uses_last_action"], "uses_agent": about["uses_agent"],
        "network_input": about["network_input"], "logits": "logits", "step": 20, "seed": 1, "torch": torch.__version__,
    }  # fmt: skip
    parts = dict(about["network_input"])
    assert ("last_action" in parts, "agent" in parts) == (about["uses_last_action"], about["uses_agent"])
    documented = re.search(r"as JSON.*?\n\n", PAGE, re.DOTALL).group()
    assert [key for key in about if f"`{key}`" not in documented] == []
    assert not (cli.results / "evaluations").exists()


def test_a_file_for_every_network(cli, train, command):
    run = train("vdn", "spread", "parameter_sharing=[0, 1, 0]", "use_rnn=false", "batch_size=4")
    status, said, _ = command(run, "--out", "p.onnx")
    assert status == 0
    assert [line.split()[0] for line in said.splitlines()] == ["p_0.onnx", "p_1.onnx"]
    abouts = [load(cli.folder / f"p_{k}.onnx").about for k in (0, 1)]
    assert [about["agents"] for about in abouts] == [[0, 2], [1]]
    assert {(about["logits"], about["state_size"]) for about in abouts} == {("q_values", 0)}


def test_a_file_for_every_team_that_has_networks(cli, train, command):
    run = train("coma", "predator_prey", "critic_hidden_dim=8", "parameter_sharing=full")
    status, said, _ = command(run, "--out", "p.pt")
    assert status == 0
    assert [line.split()[0] for line in said.splitlines()] == ["p_predator.pt", "p_prey.pt"]
    (cli.folder / "p_predator.pt").unlink()
    assert command(run, "--out", "q.pt", "--team", "preys")[0] == 0
    assert [path.name for path in cli.folder.glob("q*.pt")] == ["q_prey.pt"]
    assert load(cli.folder / "q_prey.pt").about["team"] == "prey"
    status, _, err = command(run, "--team", "pray")
    assert (status, "Did you mean 'prey'?" in err) == (2, True)
    against = train("coma", "predator_prey", "critic_hidden_dim=8", options=["--team", "prey=random"])
    assert command(against, "--out", "r.pt")[1].startswith("r_predator")
    status, _, err = command(against, "--team", "prey")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "a script has no networks" in err


@pytest.mark.parametrize("words", [["mat"], ["mf_q", "batch_size=4"]], ids=lambda words: words[0])
def test_teams_that_act_as_one_are_exported_so_unless_that_will_not_do(cli, train, command, words):
    config, *settings = words
    run = train(config, "spread", *settings)
    status, _, err = command(run, "--decentralised")
    assert (status, len(err.splitlines())) == (2, 1)
    assert err.startswith(f"error: {config} cannot act decentralised")
    status, said, _ = command(run, "--out", "p.pt")
    assert (status, "all together" in said) == (0, True)
    about = load(cli.folder / "p.pt").about
    assert (about["form"], about["agents"]) == ("joint", [0, 1, 2])
    assert (about["uses_last_action"], about["logits"]) == (
        (True, "q_values") if config == "mf_q" else (False, "logits")
    )


def test_a_controller_that_decides_by_more_than_its_networks(cli, train, command, monkeypatch):
    def last_available(self, available, select):
        return available.shape[-1] - 1 - available.flip(-1).int().argmax(-1)

    run = train("vdn", "spread", "batch_size=4", "use_rnn=false")
    monkeypatch.setattr(BasicController, "_choose", last_available)
    status, _, err = command(run, "--out", "p.pt")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "BasicController cannot act decentralised as a file" in err
    assert list(cli.folder.glob("*.pt")) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "p.txt"], "p.txt must end in .onnx or .pt"),
        (["--out", "p.pt", "--format", "onnx"], "p.pt is torchscript's"),
        (["--out", "file/p.pt"], "'file/p.pt' cannot be written"),
        (["--team", "prey", "--out", "p.pt"], "There is no team 'prey'"),
        (["--otu", "p.pt"], "Did you mean --out?"),
        (["--out", "p.pt", "with", "nosuch=1"], "nosuch"),
        (["--out", "p.pt", "with", "env_args.n_agents=4"], "env_args.n_agents=3 there and 4 here"),
    ],
)
def test_bad_words(cli, train, command, words, expected):
    run = train("vdn", "spread", "batch_size=4")
    (cli.folder / "file").write_text("")
    status, _, err = command(run, *words)
    assert (status, len(err.splitlines())) == (2, 1)
    assert expected in err


def test_a_run_without_a_checkpoint(train, command):
    status, _, err = command(train("vdn", "spread", "save_model=false", "batch_size=4"), "--out", "p.pt")
    assert (status, len(err.splitlines())) == (2, 1)
    assert err.startswith("error: No checkpoint in ")


def test_a_missing_package_names_the_line_that_installs_it(train, command, monkeypatch):
    run = train("vdn", "spread", "batch_size=4")
    real = importlib.util.find_spec
    missing = ("onnx", "onnxruntime")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in missing else real(name, *rest))
    status, _, err = command(run, "--out", "p.onnx")
    assert (status, len(err.splitlines())) == (2, 1)
    assert f"onnx and onnxruntime, not installed here. Mend it: {portable.sys.executable} -m pip install -r " in err
    requirements = Path(err.split("-r ")[1].strip())
    assert {line.partition("==")[0] for line in requirements.read_text().splitlines()} >= set(missing)
    assert command(run, "--out", "p.pt")[0] == 0  # which needs neither


@pytest.mark.parametrize(
    "words",
    [["coma", "use_rnn=true", "obs_last_action=true"], ["mat"], ["mf_q", "batch_size=4"]],
    ids=lambda words: words[0],
)
def test_the_example_of_the_docs_plays_as_the_checkpoint_does(cli, train, command, words):
    assert 18 <= len(EXAMPLE.splitlines()) <= 24
    config, *settings = words
    run = train(config, "spread", *settings)
    assert command(run, "--out", "policy.onnx")[0] == 0
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(EXAMPLE, "example", "exec"), {})
    assert shown.getvalue() == f"return {played_by_the_checkpoint(run):.2f}\n"


def played_by_the_checkpoint(run):
    """The same episode by the controller."""
    from mpe2.simple_spread_v3 import parallel_env

    options = resolve(None, None, [f"checkpoint_path={run}", "evaluate=true", "test_nepisode=1"])
    experiment = Experiment(options)
    controller = experiment.controllers["agents"]
    snapshot.load_networks(experiment, checkpoint.find(models_folder(run)))
    experiment.close()
    env = parallel_env(N=3, max_cycles=25)
    observations, _ = env.reset(seed=1)
    names, total = env.agents, 0.0
    controller.begin(1)
    while env.agents:
        obs = np.stack([observations[name] for name in names])[None].astype(np.float32)
        step = TeamStep(obs=obs, state=np.zeros((1, 54)), available=np.ones((1, 3, 5), bool), rewards=np.zeros((1, 1)))
        (actions,) = controller.act(step, t_env=None, greedy_policy=True)
        observations, rewards, *_ = env.step(dict(zip(names, actions.tolist(), strict=True)))
        total += sum(rewards.values())
    return total
