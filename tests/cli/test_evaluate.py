"""evaluate=True with checkpoint_path and load_step, and films."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from components.film import write_film
from experiment import Experiment

SPREAD = ["--config=vdn", "--env-config=spread", "with"]


@pytest.fixture
def run(cli):
    return cli.train("vdn", "spread", "seed=1", "t_max=800", "save_model_interval=200", "batch_size=8", "lr=0.05")


def evaluate(cli, tools, *words):
    outcome = cli(*SPREAD, *tools.TINY, "seed=3", "evaluate=true", *words)
    assert (outcome.status, outcome.err) == (0, "")
    folder = max(cli.runs(), key=lambda path: int(path.name))
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
    assert not tools.models(folder).exists()  # nothing new to save


def test_evaluate_plays_the_networks_of_the_checkpoint(cli, tools, run, monkeypatch):
    """With the seed of the run its last test cannot be repeated (its episodes are others), so compare the networks."""
    from components import checkpoint

    seen = {}
    real = Experiment.test

    def test(self, sink):
        seen.update(self.controllers["agents"].agents.state_dict())
        real(self, sink)

    monkeypatch.setattr(Experiment, "test", test)
    for path in (run, tools.models(run), tools.models(run) / "800"):  # all of them name it
        seen.clear()
        evaluate(cli, tools, f"checkpoint_path={path}")
        saved = checkpoint.read(tools.models(run) / "800", "agent.th")
        assert seen.keys() == saved.keys()
        assert all((seen[key] == saved[key]).all() for key in saved)


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
    outcome = cli("--config=coma", "--env-config=spread", "with", *tools.TINY, *words)
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
