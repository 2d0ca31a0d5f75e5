"""What the command line prints, and what its runs leave."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.settings import config_names

SOURCE = Path(__file__).parents[2] / "src"
ALGORITHMS = ["asae", "coma", "coma_pymarl", "coma_tuned", "iql", "qmix", "vdn"]
WORKERS = {"pettingzoo": "env_args.key=mpe2.simple_spread_v3", "gymma": "env_args.key=lbforaging:Foraging-5x5-2p-1f-v3"}


def test_help_and_list_are_quick_because_they_import_nothing_heavy():
    code = (
        "import sys, main\n"
        "main.main(['--list'])\n"
        "try: main.main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print('HEAVY:', *sorted({'torch', 'sacred', 'numba', 'gymnasium', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "HEAVY:", done.stderr
    for word in [*ALGORITHMS, "spread", "matrix_game", "--print-config", "with", "resume=", "env_args."]:
        assert word in done.stdout


def test_list(cli):
    outcome = cli("--list")
    assert outcome.status == 0
    blocks = {block.splitlines()[0]: block.splitlines()[1:] for block in outcome.out.strip().split("\n\n")}
    algorithms, environments, recommended, games, maps, scripts = (
        [line.split()[0] for line in lines] for lines in blocks.values()
    )
    assert algorithms == config_names("algs")
    assert {"spread", "matrix_game", "pettingzoo", "gymma", "sc2"} <= set(environments)
    assert "spread" in recommended
    assert (games[0], maps[0], len(maps), scripts[0]) == ("climbing", "3m", 23, "random")
    for lines in blocks.values():
        assert len({re.match(r"  .*?\S  +(?=\S)", line).end() for line in lines}) == 1  # aligned, each with words
        assert max(map(len, lines)) <= 140
    assert (
        "  5m_vs_6m          5 marines against 6 marines, 70 steps"
        in blocks["maps of battle and sc2 (env_args.map_name=)"]
    )


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "main.py", "--list"]
    with subprocess.Popen(command, cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def table(text):
    """--print-config -> key -> (value, layer)."""
    rows = [line.split(" = ", 1) for line in text.splitlines() if " = " in line and not line.startswith("#")]
    layers = (
        "command line",
        "default.yaml",
        "envs/spread.yaml",
        "algs/asae.yaml",
        "recommended/spread.yaml",
        "built-in",
    )
    found = {}
    for key, rest in rows:
        value, end = json.JSONDecoder().raw_decode(rest)
        (layer,) = [name for name in layers if rest[end:].strip().startswith(name)]
        found[key.strip()] = (value, layer)
    return found


def test_print_config_gives_every_key_with_its_value_and_layer(cli):
    from training.options import resolve

    words = ["lr=1e-3", "use_rnn=false", "parameter_sharing=[0,0,1]", "env_args.local_ratio=0.25", "label=a b"]
    words += ["seed=3"]
    outcome = cli("--config=asae", "--env-config=spread", "--print-config", "with", *words)
    assert outcome.status == 0
    found = table(outcome.out)
    flat = resolve("asae", "spread", words).flat()
    flat |= {f"env_args.{key}": value for key, value in flat.pop("env_args").items()}
    assert {key: value for key, (value, _) in found.items()} == flat
    assert found["lr"] == (0.001, "command line")
    assert found["use_rnn"] == (False, "command line")
    assert found["parameter_sharing"] == ([0, 0, 1], "command line")
    assert found["env_args.local_ratio"] == (0.25, "command line")
    assert found["label"] == ("a b", "command line")
    assert found["n_samples"] == (10, "algs/asae.yaml")
    assert found["env_args.n_agents"] == (3, "envs/spread.yaml")
    assert found["t_max"][1] == "default.yaml"
    assert found["gamma"] == (0.95, "envs/spread.yaml")
    assert found["optim_alpha"] == (0.99, "built-in")
    assert not cli.results.exists()


@pytest.mark.parametrize(
    ("words", "wanted", "unwanted"),
    [
        (["--print-config", "epsilon"], {"epsilon_start", "epsilon_finish"}, {"lr", "seed"}),
        (["--print-config=LEARNING"], {"lr", "critic_lr"}, {"seed"}),
        (["--print-config", "env_args"], {"env_args.n_agents"}, {"lr"}),
        (["--print-config", "environment"], {"env_args.n_agents", "t_max"}, {"lr"}),
        (["--print-config", "asae"], {"eps_clip"}, {"n_samples", "t_max"}),
        (["--print-config"], {"lr", "seed", "env_args.n_agents"}, set()),
    ],
)
@pytest.mark.parametrize("front", [True, False])
def test_print_config_filtered_by_a_word(cli, words, wanted, unwanted, front):
    """Neither "with" nor a setting is taken for the word."""
    rest = ["--config=asae", "--env-config=spread"]
    outcome = cli(*(words + rest if front else rest + words), "with", "lr=0.5")
    assert outcome.status == 0
    found = table(outcome.out)
    assert wanted <= found.keys()
    assert not unwanted & found.keys()
    assert "lr" not in found or found["lr"] == (0.5, "command line")


def test_print_config_takes_no_setting_for_its_word(cli):
    outcome = cli("--config=asae", "--env-config=spread", "--print-config", "lr=0.5")
    assert table(outcome.out)["lr"] == (0.5, "command line")
    outcome = cli("--config=asae", "--env-config=spread", "--print-config", "epsilonn")
    assert (outcome.status, outcome.out) == (2, "")
    assert "'epsilonn'" in outcome.err


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("lr", ["Learning rate", "a number, above 0", "0.0005", "learner q_learner", "qmix 0.0005", "asae 0.0005"]),
        ("team.prey.lr", ["Learning rate"]),
        ("seed", ["a whole number, at least 0", "or null", "every run", "default.yaml"]),
        ("mixer", ["qmix or vdn or none", "vdn vdn"]),
        ("parameter_sharing", ["full or none or types or seps or a list of whole numbers", "controller basic_mac"]),
        ("env_args.local_ratio", ["environment spread", "spread 0.5"]),
        ("n_agents", ["env_args.n_agents", "environment spread", "environment spread_paper"]),
    ],
)
def test_help_setting(cli, asked, expected):
    outcome = cli("--help-setting", asked)
    assert (outcome.status, outcome.err) == (0, "")
    assert [word for word in expected if word not in outcome.out] == []


@pytest.mark.parametrize(
    ("asked", "expected"), [("learning_rate", "Give lr."), ("n_agnts", "'n_agents'"), ("epsilon_strt", "epsilon_start")]
)
def test_help_setting_of_none(cli, asked, expected):
    outcome = cli("--help-setting", asked)
    assert (outcome.status, outcome.out) == (2, "")
    assert expected in outcome.err


@pytest.mark.parametrize("word", ["with", "-with", "--with", None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_with_may_be_missing_or_have_dashes_and_settings_stand_anywhere(cli, word, place):
    words = ["--config=asae", "--env-config=spread"]
    words[place:place] = ["env_args.n_agents=4", *([word] if word else []), "gamma=0.5"]
    outcome = cli(*words, "--print-config", "lr=0.5")
    assert outcome.status == 0, outcome.err
    found = table(outcome.out)
    assert found["env_args.n_agents"] == (4, "command line")
    assert found["lr"] == (0.5, "command line")


@pytest.mark.parametrize(
    ("env", "words", "sizes"),
    [
        ("spread", ["env_args.n_agents=4"], (4, 5, 24, 96, 25)),
        ("matrix_game", ["env_args.game=qtran"], (2, 3, 1, 1, 25)),
        ("pettingzoo", [WORKERS["pettingzoo"], "env_args.N=2"], (2, 5, 12, 24, 25)),
        ("gymma", [WORKERS["gymma"]], (2, 6, 9, 18, 50)),
    ],
)
def test_env_info_is_one_json_object(cli, env, words, sizes):
    outcome = cli(f"--env-config={env}", "--env-info", "with", *words)
    assert outcome.status == 0, outcome.err
    info = json.loads(outcome.out)
    keys = ("n_agents", "n_actions", "obs_dim", "state_dim", "episode_limit")
    assert tuple(info[key] for key in keys) == sizes
    (team,) = info["teams"]
    assert team["n_agents"] == sizes[0]
    assert team["name"] == "agents"


def test_a_run_records_the_settings_that_ran(cli, tools):
    folder = cli.train(
        "qmix", "spread", "t_max=200", "lr=1e-3", "use_rnn=false", "parameter_sharing=[0,0,1]", "env_args.time_limit=10"
    )
    config = tools.read(folder, "config")
    assert (config["lr"], config["use_rnn"], config["parameter_sharing"]) == (0.001, False, [0, 0, 1])
    assert config["env_args"] == {
        "n_agents": 3, "time_limit": 10, "local_ratio": 0.5, "integrator": "position_first"
    }  # fmt: skip
    assert isinstance(config["seed"], int)  # drawn, and recorded
    assert config["mixing_embed_dim"] == 32  # a default that no file names
    metrics = tools.read(folder, "metrics")
    assert set(metrics["ep_length_mean"]["values"]) == {10.0}
    from components import checkpoint

    nets = {int(key.split(".")[1]) for key in checkpoint.read(models_of(tools, folder), "agent.th")}
    assert nets == {0, 1}  # two groups of agents: two networks


def models_of(tools, folder):
    return tools.models(folder) / str(tools.steps(folder)[-1])


def test_options_and_settings_in_any_order(cli):
    words = ["with", "lr=0.5", "--config=asae", "seed=3", "--print-config", "--env-config=spread", "gamma=0.5"]
    found = table(cli(*words).out)
    assert [found[key] for key in ("lr", "seed", "gamma")] == [(v, "command line") for v in (0.5, 3, 0.5)]


def test_two_runs_have_two_seeds_unless_one_is_given(cli, tools):
    first, second = (cli.train("iql", "matrix_game", "t_max=1", "test_nepisode=0") for _ in range(2))
    assert tools.read(first, "config")["seed"] != tools.read(second, "config")["seed"]
    assert (first.name, second.name) == ("1", "2")


RUNNER = {"return_mean", "return_std", "ep_length_mean"}
Q = {"loss", "grad_norm", "td_error_abs", "q_taken_mean", "target_mean"}
PG = {"critic_loss", "critic_grad_norm", "td_error_abs", "q_taken_mean", "target_mean", "advantage_mean", "pg_loss"}
METRICS = dict.fromkeys(["iql", "vdn", "qmix"], Q) | dict.fromkeys(
    ["coma", "coma_pymarl", "coma_tuned", "asae"], PG | {"agent_grad_norm", "pi_max"}
)


@pytest.mark.parametrize("env", ["spread", "matrix_game"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_runs_and_leaves_epymarls_files_and_metrics(cli, tools, algorithm, env):
    words = ["batch_size=8"] if algorithm in ("iql", "vdn", "qmix") else []
    outcome = cli(f"--config={algorithm}", f"--env-config={env}", "with", *tools.TINY, "t_max=401", *words)
    assert (outcome.status, outcome.err) == (0, "")
    (folder,) = cli.runs()
    task = {"spread": "spread", "matrix_game": "matrix_game-climbing"}[env]
    assert folder == cli.results / "sacred" / algorithm / task / "1"
    assert {"config.json", "run.json", "cout.txt", "metrics.json", "info.json"} <= {p.name for p in folder.iterdir()}
    assert tools.read(folder, "run")["status"] == "COMPLETED"
    metrics = tools.read(folder, "metrics")
    wanted = RUNNER | {f"test_{key}" for key in RUNNER} | METRICS[algorithm]
    assert wanted <= metrics.keys()
    for column in metrics.values():
        assert column.keys() == {"steps", "values", "timestamps"}
        assert None not in column["values"]  # no NaN anywhere
    tested = metrics["test_return_mean"]["steps"]
    assert tested[0] == 0
    assert tested[-1] == max(metrics["return_mean"]["steps"]) >= 401  # whole episodes, and a test at the end
    last = outcome.out.splitlines()
    last = last[: last.index(f"Results: {folder}") + 1]
    assert last[-2].startswith(f"COMPLETED after {tested[-1]:,} steps in")
    assert f"test_return_mean {metrics['test_return_mean']['values'][-1]:.4g}" in last[-3]  # the last values
    assert (folder / "cout.txt").read_text() == outcome.out
    assert models_of(tools, folder).name == str(tested[-1])
    files = {path.name for path in models_of(tools, folder).iterdir()}
    assert {"agent.th", "settings.pt", "state.pt"} <= files
    assert ("critic.th" in files) == (algorithm not in ("iql", "vdn", "qmix"))
    assert "replay.pt" not in files  # the run has completed


@pytest.mark.parametrize(("env", "key"), WORKERS.items())
@pytest.mark.parametrize("algorithm", ["asae", "qmix"])
def test_environments_in_worker_processes(cli, tools, algorithm, env, key):
    sizes = ["batch_size_run=2", "test_nepisode=1", "n_envs=2", "test_n_envs=1"]
    words = ["batch_size=2"] if algorithm == "qmix" else []
    folder = cli.train(algorithm, env, key, "env_args.time_limit=10", *sizes, "t_max=60", *words)
    assert folder.parent.name == f"{env}-{key.split('=')[1]}"
    assert tools.read(folder, "run")["status"] == "COMPLETED"
    assert len(tools.read(folder, "metrics")["test_return_mean"]["values"]) >= 2


@pytest.mark.parametrize("sharing", ["full", "none", "[0,0,1]"])
@pytest.mark.parametrize("algorithm", ["asae", "coma_pymarl", "qmix"])
def test_parameter_sharing_of_every_kind_of_algorithm(cli, tools, algorithm, sharing):
    folder = cli.train(algorithm, "spread", "t_max=200", f"parameter_sharing={sharing}", "test_nepisode=1")
    assert tools.read(folder, "run")["status"] == "COMPLETED"


def test_parameter_sharing_by_the_types_of_a_battle(cli, tools):
    folder = cli.train("asae", "battle", "env_args.map_name=2s3z", "t_max=60", "parameter_sharing=types")
    for name in ("agent", "critic"):
        (path, *_) = sorted(tools.models(folder).glob(f"*/{name}.th"))
        kept = torch.load(path, weights_only=True)
        assert {key.split(".")[1] for key in kept if key.startswith("nets.")} == {"0", "1"}


def test_sampled_tests_and_quiet_and_the_episode_runner(cli, tools):
    words = ["runner=episode", "test_sampled=true", "quiet=true", "t_max=50", "batch_size_run=2", "save_model=false"]
    before = cli("--config=coma", "--env-config=spread", "with", *tools.TINY, *words)
    assert (before.status, before.out, before.err) == (0, "", "")
    (folder,) = cli.runs()
    metrics = tools.read(folder, "metrics")
    assert "test_sampled_return_mean" in metrics
    assert not tools.models(folder).exists()  # save_model=false


def test_individual_rewards_with_iql(cli, tools):
    folder = cli.train("iql", "spread", "t_max=200", "common_reward=false")
    metrics = tools.read(folder, "metrics")
    total = sum(metrics[f"test_agent_{i}_return_mean"]["values"][-1] for i in range(3))
    assert total == pytest.approx(metrics["test_return_mean"]["values"][-1])


def test_tensorboard_is_a_switch(cli):
    cli.train("iql", "matrix_game", "t_max=1", "use_tensorboard=true")
    assert list((cli.results / "tb_logs").glob("*/events*"))
    assert not list((cli.results / "tb_logs").glob("*:*"))


def test_tests_do_not_change_training(cli, tools):
    runs = [cli.train("coma", "spread", "seed=5", "t_max=1000", *words) for words in ([], ["test_interval=100000"])]
    returns = [tools.read(run, "metrics")["return_mean"]["values"] for run in runs]
    assert returns[0] == returns[1]


def test_the_page_of_all_settings_is_current(cli):
    page = Path(__file__).resolve().parents[2] / "docs" / "all_settings.md"
    assert cli("--all-settings").out == page.read_text(), "make it anew by the line that it begins with"
