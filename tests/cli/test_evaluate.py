"""evaluate=True with checkpoint_path and load_step, and films."""

import csv
import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

from components.film import write_film
from training.experiment import Experiment

UNDRAWN = """
from mpe2.simple_spread_v3 import parallel_env as spread


def parallel_env(max_cycles=5):
    env = spread(max_cycles=max_cycles, render_mode="rgb_array")
    env.render = lambda: None
    return env
"""


@pytest.fixture
def run(cli):
    return cli.train("vdn", "spread", "seed=1", "t_max=800", "save_model_interval=200", "batch_size=8", "lr=0.05")


def evaluate(cli, tools, *words, options=()):
    """Without --config and --env-config: the checkpoint knows them."""
    outcome = cli(*options, "with", "evaluate=true", *words)
    assert (outcome.status, outcome.err) == (0, "")
    runs = (path.parent for path in cli.folder.glob("results/evaluations/*/*/*/run.json"))
    folder = max(runs, key=lambda path: int(path.name))
    assert f"Results: {folder}" in outcome.out
    return folder, outcome


@pytest.mark.parametrize(("given", "used"), [("0", 800), ("200", 200), ("520", 600), ("99999", 800)])
def test_evaluate_tests_the_chosen_step_and_trains_nothing(cli, tools, run, monkeypatch, given, used):
    monkeypatch.setattr(Experiment, "iterate", lambda *rest: pytest.fail("this is training"))
    folder, outcome = evaluate(cli, tools, f"checkpoint_path={tools.models(run)}", f"load_step={given}")
    assert tools.read(folder, "run")["status"] == "COMPLETED"
    metrics = tools.read(folder, "metrics")
    assert {name.startswith("test_") for name in metrics} == {True}
    assert {tuple(column["steps"]) for column in metrics.values()} == {(used,)}
    assert f"{tools.models(run) / str(used)}" in outcome.out
    assert tools.read(folder, "run")["result"] == metrics["test_return_mean"]["values"][0]
    assert tools.read(folder, "info")["evaluated"] == str(tools.models(run) / str(used))
    assert len(list((cli.results / "models").iterdir())) == 1  # nothing new to save


def test_evaluate_plays_the_networks_of_the_checkpoint(cli, tools, run, monkeypatch):
    """With the seed of the run its last test cannot be repeated (its episodes are others), so compare the networks."""
    from components import checkpoint

    seen = {}
    real = Experiment.test

    def test(self, sink):
        seen.update(self.controllers["agents"].agents.state_dict())
        return real(self, sink)

    monkeypatch.setattr(Experiment, "test", test)
    for path in (run, tools.models(run), tools.models(run) / "800"):  # all of them name it
        seen.clear()
        evaluate(cli, tools, f"checkpoint_path={path}")
        saved = checkpoint.read(tools.models(run) / "800", "agent.th")
        assert seen.keys() == saved.keys()
        assert all((seen[key] == saved[key]).all() for key in saved)


def test_all_metrics_are_printed_with_episodes_and_seed(cli, tools, run):
    folder, outcome = evaluate(cli, tools, f"checkpoint_path={run}", "test_sampled=true")
    assert "4 greedy and 4 sampled episodes with seed 1\n" in outcome.out
    metrics = tools.read(folder, "metrics")
    assert {"test_return_std", "test_collisions_mean", "test_sampled_return_mean"} <= metrics.keys()
    shown = [line.split()[:2] for line in outcome.out.splitlines() if line.startswith("  test_")]
    assert {name: value.replace(",", "") for name, value in shown} == {
        name: f"{column['values'][0]:.4g}" for name, column in metrics.items()
    }
    for words, wanted in (
        (["test_nepisode=2", "seed=9"], "2 greedy episodes with seed 9\n"),
        (["test_greedy=false"], "4 sampled episodes with seed 1\n"),
    ):
        assert wanted in evaluate(cli, tools, f"checkpoint_path={run}", *words)[1].out


def test_settings_are_those_of_the_checkpoint_and_given_ones_win(cli, tools, run):
    config = tools.read(run, "config")
    folder, _ = evaluate(cli, tools, f"checkpoint_path={run}", "test_nepisode=2", "env_args.time_limit=7")
    found = tools.read(folder, "config")
    words = {"test_nepisode": 2, "evaluate": True, "checkpoint_path": str(run)}
    assert found == config | words | {"env_args": config["env_args"] | {"time_limit": 7}}
    named, _ = evaluate(cli, tools, f"checkpoint_path={run}", options=["--config=vdn", "--env-config=spread"])
    assert tools.read(named, "config") == config | words | {"test_nepisode": 4}
    elsewhere = cli("--env-config=matrix_game", "with", f"checkpoint_path={run}", "evaluate=True")
    assert elsewhere.status == 2
    assert "env='spread' there and 'matrix_game' here" in elsewhere.err


def test_what_a_run_showed_is_not_asked_for_again(cli, tools):
    words = ["t_max=200", "seed=1", "quiet=true", "save_replay=true", "env_args.time_limit=5", "replay_episodes=1"]
    run = cli.train("vdn", "spread", *words)
    (film,) = (cli.results / "replays").iterdir()
    _, outcome = evaluate(cli, tools, f"checkpoint_path={run}")
    assert "4 greedy episodes" in outcome.out
    assert list((cli.results / "replays").iterdir()) == [film]


def test_a_film_that_fails_does_not_take_the_training_with_it(cli, tmp_path, monkeypatch):
    (tmp_path / "undrawn.py").write_text(UNDRAWN)
    monkeypatch.chdir(tmp_path)
    words = ["env_args.key=undrawn", "t_max=20", "test_nepisode=1", "save_replay=true", "replay_episodes=1"]
    outcome = cli("--config=vdn", "--env-config=pettingzoo", "with", "hidden_dim=8", "test_interval=400", *words)
    assert (outcome.status, "COMPLETED" in outcome.out) == (0, True)
    assert "render() gave None" in outcome.err


def test_evaluations_are_no_training_runs(cli, tools, run):
    from analysis.runs import find_runs

    folder, _ = evaluate(cli, tools, f"checkpoint_path={run}")
    assert cli.runs() == [run]
    assert folder == cli.results / "evaluations" / "vdn" / "spread" / "1"
    assert [record.path.resolve() for record in find_runs([cli.results])] == [run]


def test_teams_of_the_checkpoint_play_unless_others_are_asked_for(cli, tools):
    words = [*tools.TINY, "seed=1", "t_max=100", "critic_hidden_dim=8", "env_args.time_limit=10", "batch_size_run=2"]
    trained = cli("--config=coma", "--env-config=predator_prey", "--team", "prey=iql", "with", *words)
    assert (trained.status, trained.err) == (0, "")
    (run,) = cli.runs()
    for options, plays in (([], "iql"), (["--team", "prey=fleeing"], "scripted:fleeing")):
        folder, outcome = evaluate(cli, tools, f"checkpoint_path={run}", options=options)
        assert tools.read(folder, "config")["team"]["prey"]["plays"] == plays
        assert "test_prey_return_mean" in outcome.out


def test_a_frozen_team_plays_the_networks_of_the_checkpoint(cli, tools, monkeypatch):
    from components import checkpoint

    words = [*tools.TINY, "seed=1", "t_max=100", "critic_hidden_dim=8", "env_args.time_limit=10", "batch_size_run=2"]
    cli("--config=coma", "--env-config=predator_prey", "with", *words)
    (first,) = cli.runs()
    team = ["--team", f"prey=checkpoint:{first}"]
    cli("--config=coma", "--env-config=predator_prey", *team, "with", *words, "local_results_path=second")
    (second,) = (run for run in cli.runs() if run != first)
    (folder,) = tools.models(second).iterdir()
    frozen = checkpoint.read(folder, "prey_agent.th")
    first.parents[3].rename(cli.folder / "gone")  # what it was read from is not needed any more
    seen = {}
    real = Experiment.test

    def test(self, sink):
        seen.update(self.controllers["prey"].agents.state_dict())
        return real(self, sink)

    monkeypatch.setattr(Experiment, "test", test)
    outcome = cli("with", f"checkpoint_path={second}", "evaluate=true")
    assert (outcome.status, outcome.err) == (0, "")
    assert seen.keys() == frozen.keys()
    assert all((seen[key] == frozen[key]).all() for key in frozen)


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_the_results_as_a_file(cli, tools, run, suffix):
    out = cli.folder / "new" / f"results.{suffix}"
    folder, outcome = evaluate(cli, tools, f"checkpoint_path={run}", "load_step=400", options=["--out", out])
    assert f"written: {out}\n" in outcome.out
    values = {name: column["values"][0] for name, column in tools.read(folder, "metrics").items()}
    about = {"checkpoint": str(tools.models(run) / "400"), "step": 400, "task": "spread", "name": "vdn"}
    about |= {"env": "spread", "seed": 1, "episodes": 4}
    if suffix == "json":
        found = json.loads(out.read_text(), parse_constant=pytest.fail)
        bounds = found.pop("intervals")
        assert found == about | {"metrics": values}
        assert bounds.keys() == {name for name in values if name.endswith("_mean")}
        return
    (row,) = csv.DictReader(out.open(newline=""))
    bounds = [f"{name}_{end}" for name in sorted(values) if name.endswith("_mean") for end in ("low", "high")]
    assert list(row) == [*about, *sorted(values), *bounds]
    assert {key: row[key] for key in about} == {key: str(value) for key, value in about.items()}
    assert {key: float(row[key]) for key in values} == values


@pytest.mark.parametrize(
    ("out", "words", "expected"),
    [
        ("x.txt", ["evaluate=true"], ["x.txt", ".json or .csv"]),
        ("x.json", [], ["x.json", "evaluate=True"]),
        ("file/x.json", ["evaluate=true"], ["file/x.json", "--out"]),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_is_played(cli, run, out, words, expected):
    (cli.folder / "file").write_text("")
    outcome = cli("--config=vdn", "--env-config=spread", "--out", out, "with", f"checkpoint_path={run}", *words)
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert [word for word in expected if word not in outcome.err] == []
    assert cli.runs() == [run]
    assert not (cli.results / "evaluations").exists()


def test_training_can_start_from_trained_networks(cli, tools, run):
    folder = cli.train("vdn", "spread", "seed=2", "t_max=200", f"checkpoint_path={tools.models(run)}", "lr=1e-9")
    from components import checkpoint

    end, start = (
        checkpoint.read(tools.models(one) / step, "agent.th") for one, step in ((folder, "200"), (run, "800"))
    )
    assert all(np.allclose(end[key], start[key], atol=1e-6) for key in start)


def frames_of(path):
    if path.suffix == ".gif":
        return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(path))]
    import imageio.v2 as imageio

    with imageio.get_reader(path) as reader:
        return [frame for frame in reader]  # noqa: C416 (its length is infinite)


@pytest.mark.parametrize("kind", ["gif", "mp4"])
@pytest.mark.parametrize("word", ["save_replay=true", "render=true"])
def test_a_film_of_greedy_episodes(cli, tools, run, word, kind):
    words = [f"checkpoint_path={run}", word, f"replay_format={kind}", "replay_episodes=2", "env_args.time_limit=6"]
    folder, outcome = evaluate(cli, tools, *words)
    (film,) = (cli.results / "replays").iterdir()
    assert str(film) in outcome.out
    assert (folder / film.name).read_bytes() == film.read_bytes()  # an artifact of the run
    frames = frames_of(film)
    assert len(frames) == 2 * (6 + 1)  # each episode from its first state to its last
    assert {frame.shape for frame in frames} == {(400, 400, 3)}
    difference = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(frames[1:], frames[:-1], strict=True)]
    assert max(difference) > 0.5  # things move


def test_a_film_at_the_end_of_training(cli, tools):
    cli.train("coma", "spread", "t_max=200", "save_replay=true", "replay_episodes=1", "env_args.time_limit=5")
    (film,) = (cli.results / "replays").iterdir()
    assert film.name.endswith("_200.gif")
    assert len(frames_of(film)) == 6


def test_a_film_that_cannot_be_written_costs_a_warning(cli, tools):
    cli.results.mkdir()
    (cli.results / "replays").write_text("in the way")
    words = ["t_max=200", "save_replay=true", "replay_episodes=1", "env_args.time_limit=5"]
    outcome = cli("--config=coma", "--env-config=spread", "with", "hidden_dim=8", "test_interval=400", *words)
    assert outcome.status == 0
    assert outcome.err.startswith("warning: the film ")
    assert len(outcome.err.splitlines()) == 1
    (folder,) = cli.runs()
    assert tools.read(folder, "run")["status"] == "COMPLETED"


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_has_all_its_frames(tmp_path, suffix):
    frames = [np.full((33, 48, 3), 20 * k, np.uint8) for k in range(11)]
    path = write_film(frames, tmp_path / "new" / f"film{suffix}")
    found = frames_of(path)
    assert len(found) == 11
    assert found[0].shape == ((33, 48, 3) if suffix == ".gif" else (34, 48, 3))  # films have even sizes
    for given, read in zip(frames, found, strict=True):
        assert abs(int(given.mean()) - int(read.mean())) <= 6
    assert list(path.parent.iterdir()) == [path]
