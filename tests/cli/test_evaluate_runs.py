"""src/evaluate.py: intervals, tables of episodes, films, several runs, other seeds and maps."""

import csv
import errno
import json
import os
import shutil
from functools import partial

import numpy as np
import pytest

import evaluate
from core.data import EpisodeStats
from core.intervals import interval
from observers.gather import columns, summarise
from training import session

QUICK = ["env_args.time_limit=5", "batch_size_run=4"]


@pytest.fixture
def run(cli):
    return cli.train("coma", "spread", "seed=1", "t_max=40", "save_model_interval=20", "critic_hidden_dim=8", *QUICK)


@pytest.fixture
def command(play):
    return partial(play, evaluate)


def lines_of(out):
    """Metric -> what stands behind it."""
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("  test_")}


def test_means_with_intervals_that_the_table_of_episodes_gives_again(cli, tools, run, command):
    status, out, err = command(run, "--episodes", 12, "--csv", "new/all.csv", "--out", "one.json")
    assert (status, err) == (0, "")
    assert "12 greedy episodes with seed 1\n" in out
    rows = list(csv.DictReader((cli.folder / "new" / "all.csv").open(newline="")))
    assert [int(row["episode"]) for row in rows] == list(range(12))
    assert list(rows[0]) == ["episode", "policy", "return", "ep_length", "collisions", "occupied_landmarks"]
    assert {row["policy"] for row in rows} == {"greedy"}
    found = json.loads((cli.folder / "one.json").read_text())
    for name in ("return", "collisions"):
        column = np.array([float(row[name]) for row in rows])
        assert found["metrics"][f"test_{name}_mean"] == pytest.approx(column.mean())
        low, high = interval(column[:, None])
        assert found["intervals"][f"test_{name}_mean"] == pytest.approx([low[0], high[0]])
        assert low[0] < column.mean() < high[0]
    shown = lines_of(out)
    assert "[" in shown["test_return_mean"]
    assert "[" not in shown["test_return_std"]
    assert "95% bootstrap interval" in out


def test_sampled_episodes_other_seeds_another_task(cli, tools, run, command):
    first = command(run, "--episodes", 6)[1]
    assert lines_of(command(run, "--episodes", 6)[1]) == lines_of(first)
    other = command(run, "--episodes", 6, "with", "seed=9")[1]
    assert "with seed 9" in other
    assert lines_of(other)["test_return_mean"] != lines_of(first)["test_return_mean"]
    sampled = command(run, "--episodes", 6, "--sampled")[1]
    assert "6 sampled episodes" in sampled
    assert lines_of(sampled)["test_return_mean"] != lines_of(first)["test_return_mean"]
    assert lines_of(command(run, "with", "env_args.time_limit=3")[1])["test_ep_length_mean"].startswith("3 ")
    both = command(run, "--csv", "both.csv", "with", "test_sampled=true")[0]
    assert both == 0
    rows = list(csv.DictReader((cli.folder / "both.csv").open(newline="")))
    assert [row["policy"] for row in rows] == ["greedy"] * 4 + ["sampled"] * 4


def test_another_map_of_the_same_sizes(cli, tools, command):
    key = "env_args.key=lbforaging:Foraging-{}-2p-{}f-v3"
    words = [key.format("8x8", 3), "seed=1", "t_max=20", "env_args.time_limit=5", "batch_size_run=2", "batch_size=2"]
    run = cli.train("vdn", "gymma", *words)
    status, out, err = command(run, "with", key.format("10x10", 3))
    assert (status, err) == (0, "")
    assert "Foraging-10x10-2p-3f-v3" in out
    status, _, err = command(run, "with", key.format("10x10", 4))
    assert (status, "does not fit vdn on this gymma" in err) == (2, True)


def test_a_film(cli, run, command):
    status, out, err = command(run, "--film", "with", "replay_format=gif")
    assert (status, err) == (0, "")
    (film,) = (cli.results / "replays").iterdir()
    assert str(film) in out


def test_what_is_filed_is_what_main_files(cli, tools, run, command):
    """The same evaluation, but for the command that is recorded."""
    assert command(run, "--episodes", 3)[0] == 0
    assert cli("with", "evaluate=true", f"checkpoint_path={run}", "test_nepisode=3").status == 0
    one, other = (cli.results / "evaluations" / "coma" / "spread" / name for name in ("1", "2"))
    assert tools.read(one, "config") == tools.read(other, "config")
    values = [
        {name: column["values"] for name, column in tools.read(folder, "metrics").items()} for folder in (one, other)
    ]
    assert values[0] == values[1]
    assert "src/evaluate.py" in json.dumps(tools.read(one, "info")["provenance"]["command"])


def test_several_runs_and_folders_above_runs(cli, tools, run, command):
    second = cli.train("coma", "spread", "seed=2", "t_max=20", "critic_hidden_dim=8", *QUICK)
    status, out, err = command(run.parent, tools.models(run) / "20", "--out", "all.json", "--csv", "all.csv")
    assert (status, err) == (0, "")
    found = json.loads((cli.folder / "all.json").read_text())
    checkpoints = [tools.models(run) / "40", tools.models(second) / "20", tools.models(run) / "20"]
    assert [one["checkpoint"] for one in found] == [str(path) for path in checkpoints]
    assert [one["seed"] for one in found] == [1, 2, 1]
    table = out.split("\n\n")[-1].splitlines()
    assert len(table) == 1 + 3
    assert table[0].split() == ["run", "algorithm", "task", "episodes", "metric", "mean", "95%", "interval"]
    assert all("coma" in line and "test_return_mean" in line for line in table[1:])
    rows = list(csv.DictReader((cli.folder / "all.csv").open(newline="")))
    assert [row["run"] for row in rows] == [str(path) for path in checkpoints for _ in range(4)]


def test_what_a_shell_makes_of_a_star_among_the_runs_of_a_task(run, command):
    named = sorted(run.parent.iterdir())
    assert [path.name for path in named] == ["1", "_sources"]
    status, out, err = command(*named, "--episodes", 2)
    assert (status, err) == (0, "")
    assert out.count("COMPLETED") == 1
    assert command(named[1])[0] == 2


def test_a_team_against_others(cli, tools, command):
    words = [*tools.TINY, "seed=1", "t_max=20", "critic_hidden_dim=8", "env_args.time_limit=5", "batch_size_run=2"]
    assert cli("--config=coma", "--env-config=predator_prey", "with", *words).status == 0
    (run,) = cli.runs()
    status, out, err = command(run, "--team", "prey=fleeing", "--csv", "all.csv")
    assert (status, err) == (0, "")
    assert "fleeing" in out
    (first, *_) = csv.DictReader((cli.folder / "all.csv").open(newline=""))
    assert {"predator_return", "prey_return", "ep_length"} <= first.keys()


def test_a_run_that_cannot_be_evaluated_is_told_before_any_is_played(cli, tools, run, command, monkeypatch):
    bare = cli.train("coma", "spread", "seed=3", "t_max=20", "save_model=false", "critic_hidden_dim=8", *QUICK)
    monkeypatch.setattr(session, "run", lambda *rest, **more: pytest.fail("this plays"))
    status, _, err = command(run, bare, "nowhere")
    assert status == 2
    missing, nothing = err.splitlines()
    assert missing.startswith("error: No checkpoint in ")
    assert "save_model=False" in missing
    assert nothing.startswith("There is no 'nowhere'.")


def test_one_that_fails_is_named_and_the_rest_is_played(cli, tools, run, command):
    second = cli.train("coma", "spread", "seed=2", "t_max=20", "critic_hidden_dim=8", *QUICK)
    (tools.models(run) / "40" / "agent.th").write_bytes(b"rubbish")
    status, out, err = command(run, second)
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith(f"error: {run}: Cannot read ")
    assert out.split("\n\n")[-1].count("test_return_mean") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--episodes", 0], "test_nepisode"),
        (["--epsodes", 3], "Did you mean --episodes?"),
        (["--csv", "x.txt"], "--csv x.txt must end in .csv"),
        (["--out", "x.txt"], "--out x.txt must end in .json or .csv"),
        (["with", "nosuch=1"], "nosuch"),
        (["with", "env_args.n_agents=4"], "env_args.n_agents=3 there and 4 here"),
    ],
)
def test_bad_words(run, command, words, expected):
    status, _, err = command(run, *words)
    assert (status, len(err.splitlines())) == (2, 1)
    assert expected in err


@pytest.mark.parametrize("option", ["--csv", "--out"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_played(run, command, tmp_path, option):
    taken = tmp_path / "taken.csv"
    taken.mkdir()
    status, out, err = command(run, option, taken)
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        f"error: The results cannot be written to '{taken}': {os.strerror(errno.EISDIR)}. Choose another {option}."
    ]


def test_a_folder_of_runs_is_no_models_folder(cli, run):
    """Both have folders that are numbers."""
    outcome = cli("with", "evaluate=true", f"checkpoint_path={run.parent}")
    assert outcome.status == 2
    shutil.rmtree(cli.results / "models")
    outcome = cli("--config=coma", "--env-config=spread", "with", "evaluate=true", f"checkpoint_path={run.parent}")
    assert outcome.err.startswith(f"error: No checkpoint in {run.parent}")


def test_columns_are_what_the_means_are_of():
    returns = {"a": np.array([[1.0, 2.0], [3.0, 5.0]]), "b": np.array([[1.0], [2.0]])}
    stats = EpisodeStats(
        returns=returns, lengths=np.array([4, 6]), info={"won": np.array([1.0, np.nan]), "test_x": np.array([1.0, 2.0])}
    )
    found, means = columns(stats), summarise(stats)
    assert list(found) == [
        "a_return",
        "a_agent_0_return",
        "a_agent_1_return",
        "b_return",
        "ep_length",
        "won",
        "info_test_x",
    ]
    assert {name.removesuffix("_mean") for name in means if name.endswith("_mean")} == found.keys()
    for name, column in found.items():
        assert means[f"{name}_mean"] == np.nanmean(column)
    assert means["a_return_std"] == np.std([3.0, 8.0])


def test_an_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    low, high = interval(rng.normal(3.0, 1.0, (40, 400)))  # 400 samples of 40 episodes
    assert 0.91 < np.mean((low < 3) & (high > 3)) < 0.98
    assert np.isnan(interval(np.ones((1, 2)))).all()
