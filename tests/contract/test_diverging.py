"""What no number may do to a run: it ends, and what was saved before is good."""

import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder
from core.settings import config_names, config_path, read_yaml
from learners.diverging import Diverged
from training import snapshot

ALGORITHMS = config_names("algs")
OF_LEARNERS = {read_yaml(config_path("algs", name))["learner"]: name for name in ALGORITHMS}.values()
GOOD_ITERATIONS = 3


@pytest.fixture
def train(make_experiment, tmp_path):
    """Train with a checkpoint after every iteration; ``spoil`` changes the batch of all iterations after the third."""

    def train(algorithm, spoil, *words):
        experiment, sink = make_experiment(algorithm, "save_model_interval=1", *words), Recorder()
        collect, saved = experiment.runner.collect, {}

        def collect_and_spoil(*arguments, **named):
            batches, stats = collect(*arguments, **named)
            if len(saved) >= GOOD_ITERATIONS:
                spoil(experiment, batches["agents"])
            return batches, stats

        def save():
            folder = checkpoint.save(tmp_path, experiment.t_env, snapshot.parts(experiment, sink={}, run="1"))
            saved[folder] = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "replay.pt"}

        experiment.runner.collect = collect_and_spoil
        with pytest.raises(Diverged) as error:
            experiment.run(sink, save=save)
        return sink, saved, str(error.value)

    return train


def test_every_rate_that_was_given_is_named(make_experiment):
    experiment = make_experiment("maddpg", "policy_inference=true", "critic_lr=0.1", "inference_lr=1e30")
    with pytest.raises(
        Diverged, match=r"\(lr=0\.0005, critic_lr=0\.1, inference_lr=1e\+30, .*: lower lr, critic_lr and "
    ):
        experiment.run(Recorder(), save=lambda: None)


def check_saved(saved, make_experiment, algorithm):
    """They are as they were written, there are no others, and the last one is good."""
    assert len(saved) == GOOD_ITERATIONS
    *_, last = saved
    assert checkpoint.find(last.parent) == last
    for folder, content in saved.items():
        for name, before in content.items():
            assert (folder / name).read_bytes() == before
    experiment = make_experiment(algorithm)
    snapshot.restore(experiment, last)
    for network in experiment.teams["agents"].networks().values():
        assert all(value.isfinite().all() for value in network.state_dict().values())
    experiment.iterate(sink := Recorder())
    assert all(torch.tensor(list(metrics.values())).isfinite().all() for _, _, metrics in sink.learner_metrics)


@pytest.mark.parametrize(
    ("algorithm", "key", "value", "named"),
    [(name, "rewards", torch.nan, "rewards") for name in ALGORITHMS]
    + [(name, "rewards", -torch.inf, "rewards") for name in OF_LEARNERS]
    + [(name, "obs", torch.nan, "observations") for name in ALGORITHMS],
)
def test_what_the_environment_gave(train, make_experiment, algorithm, key, value, named):
    def spoil(experiment, batch):
        getattr(batch, key)[:, 0] = value

    sink, saved, message = train(algorithm, spoil)
    assert f"The environment gave {named} that are not finite" in message
    assert "team 'agents'" in message
    assert f"at step {int([*saved][-1].name):,}" in message, "where the episodes were begun"
    for _, _, metrics in sink.learner_metrics:
        assert torch.tensor(list(metrics.values())).isfinite().all(), "none of it reaches the log"
    check_saved(saved, make_experiment, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_updates_that_are_too_large(train, make_experiment, algorithm):
    """Weights that give nan, wherever that shows first: in a loss, a gradient, or what is to be saved."""

    def spoil(experiment, batch):
        for optimizer in experiment.teams["agents"].learner.optimizers().values():
            for each in getattr(optimizer, "groups", [optimizer]):
                each._optimizer.param_groups[0]["lr"] = 1e38

    _, saved, message = train(algorithm, spoil, "env_args.ends=truncated")
    assert "lower lr" in message
    assert "lr=" in message
    check_saved(saved, make_experiment, algorithm)


def test_what_was_wrong_in_an_old_episode(make_experiment):
    experiment = make_experiment("qmix")
    experiment.iterate(Recorder())
    replay = experiment.teams["agents"].replay
    replay.arrays["obs"][: replay.size, 0] = torch.nan
    with pytest.raises(Diverged, match="gave observations that are not finite"):
        experiment.iterate(Recorder())


def test_rewards_that_were_never_learned_from_are_not_saved(make_experiment):
    """A replay that is not full enough for an update: the statistics of the rewards show it."""
    experiment = make_experiment("qmix", "batch_size=16")
    collect = experiment.runner.collect

    def spoiled(*arguments, **named):
        batches, stats = collect(*arguments, **named)
        batches["agents"].rewards[0, 0] = torch.nan
        return batches, stats

    experiment.runner.collect = spoiled
    experiment.iterate(Recorder())
    with pytest.raises(Diverged, match="rewards were not finite"):
        snapshot.parts(experiment, sink={}, run="1")
