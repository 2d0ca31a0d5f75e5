"""A user's mistakes: one clear message, exit status 2, no traceback, nothing left behind or lost."""

import errno
import json
import os

import numpy as np
import pytest
import torch

from analysis.runs import find_runs
from components import checkpoint
from core.errors import UserError
from observers import metric_files
from training.experiment import Experiment

SPREAD = ["--config=qmix", "--env-config=spread", "with"]
ASAE = ["--config=asae", "--env-config=spread", "with"]
MAPPO = ["--config=mappo", "--env-config=spread", "with"]
MAT = ["--config=mat", "--env-config=spread", "with"]
MF_AC = ["--config=mf_ac", "--env-config=battle", "with"]
GYMMA = ["--config=qmix", "--env-config=gymma", "with"]
ZOO = ["--config=qmix", "--env-config=pettingzoo", "with"]

MISTAKES = {
    "nothing given": ([], ["--config", "missing", "--list", "--help"]),
    "no algorithm": (["--env-config=spread"], ["--config=ALGORITHM", "missing"]),
    "no environment": (["--config=qmix"], ["--env-config=ENVIRONMENT", "missing"]),
    "unknown algorithm": (["--config=qmxi", "--env-config=spread"], ["qmxi", "Did you mean 'qmix'", "asae", "vdn"]),
    "unknown environment": (["--config=qmix", "--env-config=spred"], ["spred", "Did you mean 'spread'", "gymma"]),
    "no word with =": (["asae", "spread"], ["asae", "key=value"]),
    "spaces around =": ([*SPREAD, "lr", "=", "1e-3"], ["'lr = 1e-3'", "without spaces", "lr=1e-3."]),
    "a space before =": ([*SPREAD, "lr", "=1e-3"], ["'lr =1e-3'", "without spaces", "lr=1e-3."]),
    "a space after =": ([*SPREAD, "lr=", "1e-3"], ["'lr= 1e-3'", "without spaces", "lr=1e-3."]),
    "a value in two words": ([*SPREAD, "label=a", "b", "c"], ["'b c'", "quotes around all of it: 'label=a b c'"]),
    "dashes before a setting": (["--seed=1", *SPREAD], ["--seed=1", "after 'with'", "with seed=1"]),
    "dashes before env_args": (["--env_args.n_agents=4", *SPREAD], ["with env_args.n_agents=4"]),
    "dashes before a foreign setting": (["--use_cuda", *SPREAD], ["--use_cuda", "device=cuda"]),
    "foreign option": (["--alg=qmix", "--env-config=spread"], ["--alg=qmix", "--config=<algorithm>"]),
    "option misspelt": (["--env_config=spread", "--config=qmix"], ["Did you mean --env-config=spread?"]),
    "environment's key outside": ([*SPREAD, "local_ratio=1"], ["'local_ratio'", "env_args.local_ratio"]),
    "run's key inside": ([*SPREAD, "env_args.seed=1"], ["env_args.seed", "setting of the run", "seed=..."]),
    "foreign key": ([*SPREAD, "learning_rate=1"], ["learning_rate", "Give lr."]),
    "no file": (["--config=my/own.yaml", "--env-config=spread"], ["my/own.yaml", "no such file"]),
    "a file of ours": (["--config=qmix.yaml", "--env-config=spread"], ["qmix.yaml", "--config=qmix is one of ours"]),
    "true is no number": ([*SPREAD, "t_max=true"], ["t_max=true", "valid integer"]),
    "quotes in a text": ([*SPREAD, "name='/'"], ["name='/'", "quotes arrived"]),
    "unknown key": ([*SPREAD, "epsilon_strt=1"], ["epsilon_strt", "command line", "Did you mean 'epsilon_start'"]),
    "key of another part": ([*SPREAD, "eps_clip=0.2"], ["eps_clip", "asae_learner", "does not use"]),
    "no number": ([*SPREAD, "lr=abc"], ["lr=abc", "command line", "valid number", "Learning rate"]),
    "no value": ([*SPREAD, "lr="], ["lr=null", "valid number"]),
    "no truth": ([*SPREAD, "use_rnn=maybe"], ["use_rnn=maybe", "valid boolean"]),
    "half a step": ([*SPREAD, "t_max=1.5"], ["t_max=1.5", "valid integer"]),
    "out of range": ([*SPREAD, "lr=-1"], ["lr=-1", "greater than 0"]),
    "not a number": ([*SPREAD, "lr=nan"], ["lr=nan", "finite"]),
    "no such choice": ([*SPREAD, "optimizer=adm"], ["optimizer=adm", "'adam' or 'rmsprop'"]),
    "large seed": ([*SPREAD, "seed=99999999999"], ["seed=99999999999", "4294967296"]),
    "sharing": ([*SPREAD, "parameter_sharing=half"], ["parameter_sharing=half", "full", "none", "[0, 0, 1]"]),
    "groups": ([*SPREAD, "parameter_sharing=[0,1]"], ["parameter_sharing=[0, 1]", "2 entries", "3 agents"]),
    "unknown types": ([*SPREAD, "parameter_sharing=types"], ["parameter_sharing=types", "[0, 0, 1]"]),
    "one network in turn": (
        ["--config=happo", "--env-config=spread", "with", "parameter_sharing=full"],
        ["happo_learner", "parameter_sharing=full", "one network", "parameter_sharing=none", "[0, 0, 1]"],
    ),
    "one type in turn": (
        ["--config=hatrpo", "--env-config=battle", "with", "parameter_sharing=types"],
        ["hatrpo_learner", "parameter_sharing=types", "one network", "parameter_sharing=none", "[0, 0, 1]"],
    ),
    "agents that decide one after another": (
        ["--config=iql", "--env-config=spread", "with", "mac=mat_mac", "use_rnn=false"],
        ["mac=mat_mac", "one after another", "q_learner", "independent policies", "leave mac out", "--config=mat"],
    ),
    "too many minibatches": (
        [*MAPPO, "batch_size_run=4", "num_mini_batch=5"],
        ["num_mini_batch=5", "4 episodes", "lower it, or raise batch_size_run"],
    ),
    "a minibatch of nothing": ([*MAPPO, "num_mini_batch=0"], ["num_mini_batch=0", "greater than or equal to 1"]),
    "normalised twice": (
        [*MAPPO, "standardise_rewards=scale"],
        ["value_norm=True and standardise_rewards=scale", "give one of them", "standardise_rewards=false"],
    ),
    "too many partners": (
        ["--config=asae", "--env-config=battle", "with", "env_args.map_name=8m", "marginal=exact"],
        ["marginal=exact", "exact_limit=1024", "use marginal=mc"],
    ),
    "a residual of all actions": (
        [*ASAE, "advantage=doubly_robust", "own_action=expected"],
        ["own_action=expected", "advantage=doubly_robust", "own_action=sampled, or advantage=critic"],
    ),
    "a bound below 1": ([*ASAE, "partner_ratio_bound=0.5"], ["partner_ratio_bound=0.5", "greater than 1", "1 / bound"]),
    "heads": ([*MAT, "n_heads=3"], ["n_heads=3", "width 64", "give one that does"]),
    "a critic's heads": (
        ["--config=mat_dec", "--env-config=spread", "with", "critic_n_heads=3"],
        ["critic_n_heads=3", "width 64", "give one that does"],
    ),
    "one transformer": ([*MAT, "parameter_sharing=none"], ["parameter_sharing=none", "give parameter_sharing=full"]),
    "a transformer's memory": ([*MAT, "use_rnn=true"], ["use_rnn=True", "without memory", "give use_rnn=false"]),
    "greedy actors": (
        [*MAPPO, "action_selector=epsilon_greedy"],
        ["action_selector=epsilon_greedy", "ppo_learner", "give action_selector=soft_policies"],
    ),
    "a radius without places": (
        ["--config=mf_q", "--env-config=matrix_game", "with", "neighbours=radius", "neighbour_radius=2"],
        ["neighbours=radius", "does not say where its agents are", "give neighbours=all"],
    ),
    "places of another state": (
        [*MF_AC, "neighbours=nearest", "neighbour_count=2", "env_args.obs_instead_of_state=true"],
        ["neighbours=nearest", "does not say where its agents are", "give neighbours=all"],
    ),
    "no radius": ([*MF_AC, "neighbours=radius"], ["neighbours=radius needs neighbour_radius", "or neighbours=all"]),
    "a count for all": ([*MF_AC, "neighbour_count=2"], ["neighbour_count=2 belongs to neighbours=nearest"]),
    "half a schedule": (
        [*ASAE, "recommended=false", "entropy_anneal_time=9"],
        ["entropy_coef_finish", "entropy_anneal_time", "both"],
    ),
    "half of another": (
        [*ASAE, "recommended=false", "entropy_coef_finish=0"],
        ["entropy_coef_finish", "entropy_anneal_time", "both"],
    ),
    "two mistakes": ([*SPREAD, "lr=-1", "gamma=2"], ["lr=-1", "gamma=2", "less than or equal to 1"]),
    "environment's key": ([*SPREAD, "env_args.n_agent=3"], ["env_args.n_agent", "Did you mean 'n_agents'"]),
    "environment's type": ([*SPREAD, "env_args.n_agents=two"], ["env_args.n_agents=two", "valid integer"]),
    "one agent": ([*SPREAD, "env_args.n_agents=1"], ["env_args.n_agents=1", "at least 2"]),
    "flat env_args": ([*SPREAD, "env_args=3"], ["env_args", "key: value"]),
    "no name": ([*SPREAD, "env_args.=3"], ["'env_args.=3'", "env_args.key=value"]),
    "capitals": ([*SPREAD, "LR=3"], ["'LR'", "Did you mean 'lr'"]),
    "other nesting": ([*SPREAD, "foo.bar=3"], ["foo.bar=3", "only env_args"]),
    "unknown controller": ([*SPREAD, "mac=basic"], ["basic", "Did you mean 'basic_mac'"]),
    "unknown learner": ([*SPREAD, "learner=qlearner"], ["qlearner", "Did you mean 'q_learner'"]),
    "unknown runner": ([*SPREAD, "runner=paralel"], ["paralel", "Did you mean 'parallel'"]),
    "mixed parts": (
        [*SPREAD, "learner=asae_learner"],
        ["'mixer', 'double_q'", "q_learner", "does not use", "'buffer_size'"],
    ),
    "unknown keys": (
        [*SPREAD, "learning_rate=1", "epsilon_strt=1", "env_args.n_agent=3", "env_args.nope=1", "lr=-1"],
        ["Give lr.", "'epsilon_start'", "env_args.n_agent'", "'n_agents'", "env_args.nope", "lr=-1"],
    ),
    "small buffer": ([*SPREAD, "buffer_size=4"], ["buffer_size=4", "batch_size=32"]),
    "individual rewards": ([*SPREAD, "common_reward=false"], ["q_learner", "common_reward", "iql"]),
    "no cuda": ([*SPREAD, "device=cuda"], ["device=cuda", "not usable here", "give cpu"]),
    "no device": ([*SPREAD, "device=gpu"], ["device=gpu", "not usable here", "give cpu"]),
    "unknown game": (
        ["--config=qmix", "--env-config=matrix_game", "with", "env_args.game=climb"],
        ["env_args.game=climb", "Did you mean 'climbing'"],
    ),
    "a part that has moved": (
        [*ZOO, "env_args.key=pettingzoo.mpe.simple_spread_v3"],
        ["env_args.key=mpe2.simple_spread_v3"],
    ),
    "EPyMARL's key": ([*GYMMA, "env_args.key=pz-mpe-simple-spread-v3"], ["env_args.key=mpe2.simple_spread_v3"]),
    "EPyMARL's package": (
        [*GYMMA, "env_args.key=matrixgames:penalty-25-nostate-v0"],
        ["matrixgames", "env_args.game=penalty env_args.k=-25"],
    ),
    "EPyMARL's argument": ([*GYMMA, "env_args.pretrained_wrapper=PretrainedTag"], ["--team prey=fleeing"]),
    "EPyMARL's algorithm": (["--config=iql_ns", "--env-config=spread"], ["parameter_sharing=none"]),
    "EPyMARL's controller": ([*SPREAD, "mac=non_shared_mac"], ["parameter_sharing=none"]),
    "no package": ([*ZOO, "env_args.key=nosuch.thing"], ["nosuch", "not installed"]),
    "no module": ([*ZOO, "env_args.key=mpe2.simple_spred_v3"], ["simple_spred_v3", "Did you mean 'simple_spread_v3'"]),
    "no agents' argument": ([*ZOO, "env_args.n_agents=3"], ["env_args.n_agents", "mpe2.simple_spread_v3"]),
    "one agent in pettingzoo": ([*ZOO, "env_args.key=mpe2.simple_v3"], ["mpe2.simple_v3", "1 agent"]),
    "no id": ([*GYMMA, "env_args.key=lbforaging:Foragin-8x8-2p-3f-v3"], ["Did you mean 'Foraging-8x8-2p-3f-v3'"]),
    "one agent in gymma": ([*GYMMA, "env_args.key=CartPole-v1"], ["CartPole-v1", "one agent"]),
    "cannot draw": (
        ["--config=qmix", "--env-config=matrix_game", "with", "save_replay=true"],
        ["matrix_game", "cannot draw", "save_replay"],
    ),
    "empty resume": (["with", "resume="], ["resume= is empty", "results/"]),
    "resume of nothing": (["with", "resume=nonsense"], ["nonsense", "results/models"]),
    "evaluate what": ([*SPREAD, "evaluate=true"], ["evaluate", "checkpoint_path="]),
    "no checkpoint": ([*SPREAD, "evaluate=true", "checkpoint_path=nowhere"], ["nowhere", "results/models"]),
    "load_step alone": ([*SPREAD, "load_step=100"], ["load_step=100", "checkpoint_path"]),
    "results below a file": ([*SPREAD, "local_results_path=file/x"], ["file/x", "local_results_path"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_message_and_nothing_left(cli, tmp_path, mistake):
    (tmp_path / "file").write_text("")
    words, expected = MISTAKES[mistake]
    outcome = cli(*words)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")  # and of worker processes there is nothing either
    assert "Traceback" not in outcome.err
    lines = {"two mistakes": 2, "mixed parts": 2, "unknown keys": 5}.get(mistake, 1)
    assert len(outcome.err.strip().splitlines()) == lines
    assert [word for word in expected if word not in outcome.err] == []
    assert cli.runs() == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_starcraft(cli, tmp_path, monkeypatch):
    """What else can be missing there: tests/sc2/test_needs.py."""
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    outcome = cli("--config=qmix", "--env-config=sc2")
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: StarCraft II is not there")
    assert [word for word in ("nowhere", "install_sc2.sh", "SC2PATH") if word not in outcome.err] == []
    assert len(outcome.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--confg=qmix"], ["--config"], ["--what"]])
def test_unknown_options_end_with_status_2(cli, words):
    outcome = cli(*words)
    assert outcome.status == 2
    assert words[0] in outcome.err


@pytest.mark.parametrize("package", ["PIL", "tensorboard", "imageio"])
def test_a_missing_optional_package_is_told_before_training(cli, monkeypatch, package):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest))
    words = {"PIL": "save_replay=true", "tensorboard": "use_tensorboard=true", "imageio": "replay_format=mp4"}[package]
    outcome = cli(*SPREAD, words, "render=true" if package == "imageio" else "quiet=true")
    assert outcome.status == 2
    assert {"PIL": "pillow"}.get(package, package) in outcome.err
    assert "pip install" in outcome.err
    assert not cli.results.exists()


def test_a_settings_file_that_is_not_yaml(cli, tmp_path, monkeypatch):
    from core import settings

    for content, words in (("a: [1", "Cannot read"), ("- 1", "key: value"), ("lr: 1\nlr: 2", "given twice")):
        (tmp_path / "algs").mkdir(exist_ok=True)
        (tmp_path / "algs" / "mine.yaml").write_text(content)
        monkeypatch.setattr(settings, "CONFIG_DIR", tmp_path)
        with pytest.raises(UserError, match=words):
            settings.read_yaml(settings.config_path("algs", "mine"))


# -- checkpoints that do not fit -------------------------------------------------------------------------------------


@pytest.fixture
def trained(cli, tools):
    words = ["t_max=200", "seed=1", "mixing_embed_dim=4", "hypernet_embed=8", "keep_replay_buffer=true"]
    return tools.models(cli.train("qmix", "spread", *words))


SAME = ["hidden_dim=8", "mixing_embed_dim=4", "hypernet_embed=8"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config=asae", "--env-config=spread", "with", "hidden_dim=8"], ["qmix", "asae"]),
        (["--config=vdn", "--env-config=spread", "with", "hidden_dim=8"], ["checkpoint of qmix", "vdn"]),
        ([*SPREAD, *SAME, "mixer=vdn"], ["mixer='qmix' there and 'vdn' here"]),
        ([*SPREAD, *SAME, "env_args.n_agents=4"], ["env_args.n_agents=3 there and 4 here"]),
        ([*SPREAD, *SAME[1:], "hidden_dim=16"], ["hidden_dim=8 there and 16 here"]),
        (["--config=qmix", "--env-config=matrix_game", "with", *SAME], ["env='spread' there and 'matrix_game' here"]),
    ],
)
@pytest.mark.parametrize("evaluate", ["true", "false"])
def test_a_checkpoint_of_something_else(cli, trained, words, expected, evaluate):
    runs = cli.runs()
    outcome = cli(*words, f"checkpoint_path={trained}", f"evaluate={evaluate}")
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert [word for word in expected if word not in outcome.err] == []
    assert cli.runs() == runs


def test_a_checkpoint_of_another_critic(cli, tools):
    short = "env_args.episode_length=3"
    expected = {
        ("asae", "mappo"): ["checkpoint of asae", "'asae_learner' there and 'ppo_learner' here", "Give one of mappo"],
        ("asae", "asae", "critic_hidden_dim=8"): ["critic.th does not fit asae", "critic_hidden_dim=64 there"],
        ("mappo", "ippo", "critic_lr=0.1", "critic_updates=3"): [
            "critic.th does not fit ippo", "Different: critic_input='state_obs' there and 'obs' here."],
        ("mat", "mat_dec"): ["checkpoint of mat", "'mat_dec_learner' here", "Give one of mat_dec"],
        ("mat", "mat", "n_blocks=2"): ["agent.th does not fit mat", "n_blocks=1 there and 2 here"],
    }  # fmt: skip
    trained = {
        name: tools.models(cli.train(name, "matrix_game", "t_max=20", "batch_size_run=2", short))
        for name in ("asae", "mappo", "mat")
    }
    runs = cli.runs()
    for (there, here, *words), parts in expected.items():
        for more in ([], ["evaluate=true"]):
            other = [f"--config={here}", "--env-config=matrix_game"]
            outcome = cli(*other, "with", "hidden_dim=8", short, f"checkpoint_path={trained[there]}", *words, *more)
            assert outcome.status == 2, (there, here)
            assert len(outcome.err.splitlines()) == 1
            told = [f"checkpoint of {there}", f"give --config={there}"] if more and there != here else parts
            assert [part for part in told if part not in outcome.err] == [], outcome.err
    assert cli.runs() == runs


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04", "half", "pickle", "list"])
@pytest.mark.parametrize("name", ["settings.pt", "agent.th", "state.pt", "replay.pt"])
def test_a_damaged_checkpoint(cli, trained, name, content):
    path = trained / "200" / name
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "pickle":
        torch.save({"code": os.system}, path)  # reading it must not run code
    elif content == "list":
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    runs = cli.runs()
    outcome = cli("with", f"resume={trained}", "t_max=400")
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert str(trained / "200") in outcome.err
    assert cli.runs() == runs


def test_a_part_of_a_checkpoint_is_missing(cli, trained):
    (trained / "200" / "mixer.th").unlink()
    outcome = cli("with", f"resume={trained}", "t_max=400")
    assert outcome.status == 2
    assert "mixer.th" in outcome.err
    assert "agent.th" in outcome.err  # what there is


# -- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["OSError", "RuntimeError"])
def test_a_full_disk_costs_a_checkpoint_and_one_warning(cli, tools, monkeypatch, how):
    """PyTorch tells a full disk as an OSError or, from its own writer, as a RuntimeError."""
    real, calls = checkpoint.torch.save, []

    def save(content, file):
        calls.append(file.name)
        if "/.400." in file.name or "/.600." in file.name:
            file.write(b"half a file")
            if how == "OSError":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")
        return real(content, file)

    monkeypatch.setattr(checkpoint.torch, "save", save)
    words = ["t_max=1000", "save_model_interval=200", "seed=1", "batch_size=8"]
    outcome = cli("--config=qmix", "--env-config=spread", "with", *tools.TINY, *words)
    assert outcome.status == 0
    (warning,) = outcome.err.splitlines()  # of two that failed in a row
    assert "400" in warning
    assert "Training goes on" in warning
    assert "Traceback" not in outcome.out
    (folder,) = cli.runs()
    assert tools.read(folder, "run")["status"] == "COMPLETED"
    assert tools.steps(folder) == [200, 800, 1000]
    assert [path.name for path in tools.models(folder).iterdir() if path.name.startswith(".")] == []


def test_the_former_checkpoint_stays_usable(cli, tools, monkeypatch):
    real = checkpoint.torch.save

    def save(content, file):
        if "/.400." in file.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(content, file)

    monkeypatch.setattr(checkpoint.torch, "save", save)
    words = ["t_max=400", "save_model_interval=200", "seed=1", "batch_size=8"]
    outcome = cli("--config=qmix", "--env-config=spread", "with", *tools.TINY, *words)
    assert (outcome.status, len(outcome.err.splitlines())) == (0, 2)  # it failed, and so this run ends without one
    (folder,) = cli.runs()
    assert tools.steps(folder) == [200]
    monkeypatch.undo()
    monkeypatch.chdir(cli.folder)
    assert tools.steps(cli.resume(folder, "t_max=600")) == [400, 600]


def test_points_that_wait_for_room_are_in_the_checkpoint_and_come_with_the_resumed_run(cli, tools, monkeypatch):
    """From 600 steps on records cannot be written, checkpoints can; the disk is mended after the run's end."""
    words = ["t_max=1000", "save_model_interval=200", "seed=1", "batch_size=8"]
    whole = cli.train("qmix", "spread", *words)
    real, iterate, state = metric_files.append, Experiment.iterate, {"full": False}

    def append(path, data):
        if state["full"] and path.name == "metrics.jsonl":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    def going(self, sink):
        state["full"] = self.t_env >= 600
        iterate(self, sink)

    monkeypatch.setattr(metric_files, "append", append)
    monkeypatch.setattr(metric_files.MetricFiles, "_write_json", lambda self: None)
    monkeypatch.setattr(Experiment, "iterate", going)
    assert cli("--config=qmix", "--env-config=spread", "with", *tools.TINY, *words).status == 0
    (cut,) = set(cli.runs()) - {whole}
    assert tools.read(cut, "run")["status"] == "INTERRUPTED"
    assert (tools.models(cut) / "1000" / "replay.pt").exists()
    monkeypatch.undo()
    monkeypatch.chdir(cli.folder)
    resumed = cli.resume(cut)
    runs = {run.path: run for run in find_runs([cli.results / "sacred"])}
    assert runs.keys() == {whole, resumed}
    for name, (steps, values) in runs[whole].metrics.items():
        if "per_second" not in name:
            assert runs[resumed].metrics[name][0].tolist() == steps.tolist(), name
            np.testing.assert_array_equal(runs[resumed].metrics[name][1], values, err_msg=name)


# -- errors while the run goes on ------------------------------------------------------------------------------------


def test_a_users_error_within_the_run_closes_it_as_failed(cli, tools, monkeypatch):
    real = Experiment.iterate

    def iterate(self, sink):
        if self.t_env >= 400:
            raise UserError("The game has gone away: start it again.")
        real(self, sink)

    monkeypatch.setattr(Experiment, "iterate", iterate)
    outcome = cli("--config=coma", "--env-config=spread", "with", *tools.TINY)
    assert outcome.status == 2
    assert outcome.err == "error: The game has gone away: start it again.\n"
    assert "Traceback" not in outcome.out
    assert "FAILED after 500 steps" in outcome.out
    (folder,) = cli.runs()
    assert tools.read(folder, "run")["status"] == "FAILED"
    assert tools.read(folder, "metrics")["return_mean"]["steps"][-1] == 500  # what was pending is written


def test_a_bug_keeps_its_traceback(cli, tools, monkeypatch):
    monkeypatch.setattr(Experiment, "iterate", lambda self, sink: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli("--config=coma", "--env-config=spread", "with", *tools.TINY)
    (folder,) = cli.runs()
    entry = json.loads((folder / "run.json").read_text())
    assert entry["status"] == "FAILED"
    assert "ZeroDivisionError" in "".join(entry["fail_trace"])


GROWING = """
from pathlib import Path

from mpe2.simple_spread_v3 import parallel_env as spread


def parallel_env():
    before = Path("built").exists()
    Path("built").touch()
    return spread(N=4 if before else 3, max_cycles=5)
"""


def test_an_environment_whose_sizes_differ_in_tests(cli, tmp_path, monkeypatch):
    (tmp_path / "growing.py").write_text(GROWING)
    monkeypatch.chdir(tmp_path)
    one = ["batch_size_run=1", "test_nepisode=1", "env_args.n_workers=1"]
    outcome = cli("--config=iql", "--env-config=pettingzoo", "with", "env_args.key=growing", *one)
    assert outcome.status == 2
    assert "sizes differ from copy to copy" in outcome.err
    assert "Traceback" not in outcome.err
