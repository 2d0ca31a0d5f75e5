"""The sink: intervals and names, against values computed by hand."""

import numpy as np
import pytest
import torch

from core.data import EpisodeStats
from core.metrics import Later
from observers.sink import Sink


class Run:
    """As much of a Sacred run as the sink uses."""

    observers = ()

    def __init__(self):
        self.points = []

    def log_scalar(self, name, value, step):
        assert type(value) is float
        self.points.append((name, step, value))

    def of(self, name):
        return [(step, value) for key, step, value in self.points if key == name]


def stats(returns, lengths, dropped=0, **info):
    return EpisodeStats(
        returns={team: np.array(column, np.float64) for team, column in returns.items()},
        lengths=np.array(lengths, np.int64),
        info={key: np.array(column, np.float64) for key, column in info.items()},
        dropped=dropped,
    )


def test_learner_metrics_are_those_of_the_update_at_which_they_are_due():
    run, computed = Run(), []
    sink = Sink(run=run, learner_log_interval=100)
    for t, loss in ((10, 1.0), (60, 2.0), (109, 3.0), (110, 7.0), (150, 5.0), (215, 6.0)):
        later = Later(lambda t: computed.append(t) or torch.tensor(t), t)
        sink.learner({"loss": torch.tensor(loss), "lr": 0.5, "later": later}, t)
        if t == 10:
            sink.learner({}, 10)
    assert run.of("loss") == [(10, 1.0), (110, 7.0), (215, 6.0)]
    assert run.of("lr") == [(10, 0.5), (110, 0.5), (215, 0.5)]
    assert run.of("later") == [(10, 10.0), (110, 110.0), (215, 215.0)]
    assert computed == [10, 110, 215]
    sink.close()
    sink.close()
    assert len(run.of("loss")) == 3


def test_an_iteration_that_learns_nothing_is_not_the_one_that_is_due():
    run = Run()
    sink = Sink(run=run, learner_log_interval=100)
    sink.learner({}, 10)
    sink.learner({"loss": 1.0}, 20)
    assert run.of("loss") == [(20, 1.0)]


def test_learners_of_several_teams_have_names():
    run = Run()
    sink = Sink(run=run, teams=("hunter", "prey"), learner_log_interval=1)
    sink.learner({"loss": 1.0}, 5, team="hunter")
    sink.learner({"loss": 2.0}, 5, team="prey")
    assert run.points == [("hunter_loss", 5, 1.0), ("prey_loss", 5, 2.0)]


def test_what_is_not_written_is_not_kept():
    import weakref

    sink = Sink(learner_log_interval=100)
    for t in (0, 50, 100):
        loss, seen = torch.tensor(1.0), torch.ones(3)
        gone = [weakref.ref(loss), weakref.ref(seen)]
        sink.learner({"loss": loss, "later": Later(torch.sum, seen)}, t)
        del loss, seen
        assert [one() for one in gone] == [None, None], t


def test_a_metric_is_one_number():
    with pytest.raises(ValueError, match=r"'q' has shape \(2,\)"):
        Sink().write({"q": torch.zeros(2)}, 0)
    sink = Sink()
    sink.write({"a": np.float32(0.5), "b": torch.ones(1, 1), "c": torch.tensor(True), "d": 3}, 0)
    assert sink.latest == {"a": 0.5, "b": 1.0, "c": 1.0, "d": 3.0}


def test_episodes_of_one_team():
    run = Run()
    sink = Sink(run=run, runner_log_interval=100)
    sink.episodes(stats({"agents": [[1.0], [3.0]]}, [10, 20], battle_won=[0, 1]), 30)
    assert {name: value for name, _, value in run.points} == {
        "return_mean": 2.0, "return_std": 1.0, "ep_length_mean": 15.0, "battle_won_mean": 0.5, "dropped_episodes": 0.0
    }  # fmt: skip
    sink.episodes(stats({"agents": [[5.0]]}, [30], battle_won=[1], dropped=1), 60)
    sink.episodes(stats({"agents": [[1.0], [3.0]]}, [10, 20], battle_won=[1, 1], dropped=1), 130)
    assert run.of("return_mean") == [(30, 2.0), (130, 3.0)]  # of 5, 1, 3
    assert run.of("return_std")[1][1] == pytest.approx(np.sqrt(8 / 3))
    assert run.of("dropped_episodes")[1] == (130, 2.0)


def test_individual_rewards_and_several_teams():
    run = Run()
    sink = Sink(run=run, teams=("hunter", "prey"))
    sink.episodes(stats({"hunter": [[1.0, 2.0], [3.0, 6.0]], "prey": [[-1.0], [-2.0]]}, [4, 6]), 10, prefix="test_")
    assert {name: value for name, _, value in run.points} == {
        "test_hunter_return_mean": 6.0, "test_hunter_return_std": 3.0, "test_hunter_agent_0_return_mean": 2.0,
        "test_hunter_agent_1_return_mean": 4.0, "test_prey_return_mean": -1.5, "test_prey_return_std": 0.5,
        "test_ep_length_mean": 5.0, "test_dropped_episodes": 0.0,
    }  # fmt: skip


def test_tests_are_written_at_once_and_do_not_mix_with_training():
    run = Run()
    sink = Sink(run=run, runner_log_interval=1000)
    sink.episodes(stats({"agents": [[1.0]]}, [1]), 0)
    sink.episodes(stats({"agents": [[2.0]]}, [1]), 5)
    sink.episodes(stats({"agents": [[50.0]]}, [1]), 5, prefix="test_")
    sink.episodes(stats({"agents": [[60.0]]}, [1]), 6, prefix="test_")
    assert run.of("test_return_mean") == [(5, 50.0), (6, 60.0)]
    assert run.of("return_mean") == [(0, 1.0)]
    sink.episodes(stats({"agents": np.zeros((0, 1))}, [], dropped=3), 7, prefix="test_")  # all died
    assert run.of("test_dropped_episodes")[-1] == (7, 3.0)


def feed(sink, times):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(1000, 3)).astype(np.float32)
    for t in times:
        sink.learner({"loss": torch.tensor(values[t, 0])}, t)
        sink.episodes(stats({"agents": values[t, 1:, None]}, [t, t + 1], won=[0, 1], dropped=t % 2), t)


def test_a_saved_half_goes_on_bit_for_bit():
    options = {"runner_log_interval": 70, "learner_log_interval": 90}
    whole, first, second = Run(), Run(), Run()
    feed(Sink(run=whole, **options), range(1000))
    half = Sink(run=first, **options)
    feed(half, range(444))
    state = half.state_dict()
    other = Sink(run=second, **options)
    other.load_state_dict(state)
    assert other.latest == half.latest
    feed(other, range(444, 1000))
    assert first.points + second.points == whole.points
    feed(half, range(444, 1000))  # saving changes nothing for the one who saves
    assert first.points == whole.points


def test_a_checkpoint_of_former_versions_is_read_without_its_learners_sums():
    old, run = Sink(), Run()
    old.learner({"loss": 1.0}, 10)
    sink = Sink(run=run)
    sink.load_state_dict(old.state_dict() | {"learners": {"agents": {"loss": [12.0, 3]}}})
    sink.learner({"loss": 2.0}, 10_009)
    sink.learner({"loss": 3.0}, 10_010)
    assert run.of("loss") == [(10_010, 3.0)]


def test_tensorboard_has_the_values(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = Sink(tensorboard=tmp_path / "tb")
    sink.write({"loss": 0.5, "return_mean": 3}, 10)
    sink.write({"loss": 0.25}, 20)
    sink.close()
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 0.5), (20, 0.25)]
    assert [(event.step, event.value) for event in events.Scalars("return_mean")] == [(10, 3.0)]


def test_tensorboard_that_cannot_be_written_is_told_once_and_ends_no_run(tmp_path, caplog):
    (tmp_path / "tb").write_text("a file")
    sink = Sink(tensorboard=tmp_path / "tb")
    for step in range(3):
        sink.write({"loss": 0.5}, step)
    sink.close()
    assert sink.latest == {"loss": 0.5}
    assert caplog.text.count("TensorBoard's files cannot be written") == 1


def test_tables_come_at_their_interval():
    class Fake:
        tables = ()

        def progress(self, t_env, metrics):
            pass

        def table(self, t_env, metrics):
            self.tables = (*self.tables, t_env)

        def close(self, **how):
            self.how = how

    console = Fake()
    sink = Sink(console=console, log_interval=100)
    sink.progress(0)  # nothing to show yet
    sink.write({"loss": 1.0}, 1)
    for t in range(0, 301, 50):
        sink.progress(t)
    sink.close(status="INTERRUPTED", results="here")
    assert console.tables == (0, 100, 200, 300)
    assert console.how == {"status": "INTERRUPTED", "results": "here", "metrics": {"loss": 1.0}}
