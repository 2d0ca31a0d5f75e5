"""What a run gives a learner that trains on replayed episodes beside the new ones."""

import pytest

from contract_helpers import Recorder
from core.errors import UserError


def watched(make_experiment, *words):
    """An experiment, and how many episodes were new and replayed in every iteration (None: none were)."""
    experiment = make_experiment("dop", "batch_size=10", "buffer_size=14", *words)
    learner, seen = experiment.teams["agents"].learner, []
    train = learner.train

    def spy(batch, *, t_env, replayed=None):
        seen.append((batch.n_episodes, replayed and replayed.n_episodes))
        return train(batch, t_env=t_env, replayed=replayed)

    learner.train = spy
    sink = Recorder()
    for _ in range(5):
        experiment.iterate(sink)
    return experiment, seen, sink


def test_replayed_episodes_come_beside_the_new_ones_once_there_are_enough(make_experiment):
    experiment, seen, sink = watched(make_experiment)
    assert seen == [(4, None)] * 2 + [(4, 10)] * 3
    assert len(sink.learner_metrics) == 5
    replay = experiment.teams["agents"].replay
    assert (replay.size, replay.capacity) == (14, 14)


def test_a_guides_episodes_are_replayed_later(make_experiment):
    """They are off-policy, which tree backup allows."""
    guided = ["warm_start=scripted:random", "warm_start_episodes=8", "warm_start_epochs=1"]
    _, seen, sink = watched(make_experiment, *guided)
    assert seen == [(4, 10)] * 3
    assert ["imitation_loss" in numbers for _, _, numbers in sink.learner_metrics] == [True] * 2 + [False] * 3


def test_a_buffer_that_is_too_small_is_refused(make_experiment):
    with pytest.raises(UserError, match="buffer_size=3 must hold at least batch_size=2 and batch_size_run=4"):
        make_experiment("dop", "buffer_size=3", "batch_size=2")
    with pytest.raises(UserError, match=r"buffer_memory=1e-06 \(GiB\) allows: lower buffer_size"):
        make_experiment("dop", "buffer_size=5000", "batch_size=2", "buffer_memory=0.000001")
