"""How many episodes replay buffers hold: what memory allows, what was asked for, what a resumed run had."""

import dataclasses

import numpy as np
import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder
from core.errors import UserError
from training import room, snapshot
from training.experiment import Experiment
from training.options import resolve

EACH = 6 * 3 * 6 * 4 + 6 * 3 * 4 + 5 * 3 + 5 * 4 + 6 * 13 * 4 + 5  # bytes of a stored episode of the toy environment
GIB = 2**30
TINY = ["seed=1", "hidden_dim=8", "test_nepisode=0", "batch_size_run=4"]
QMIX = ["mixing_embed_dim=4", "hypernet_embed=4", "batch_size=4"]


@pytest.fixture
def make(toy_env, monkeypatch):
    """make(words, machine=episodes that all the machine's memory would take)."""
    made = []

    def make(*words, machine=10**9, algorithm="qmix", resume_from=None):
        monkeypatch.setattr(room, "machine_memory", lambda: machine * EACH)
        front = [] if resume_from else [algorithm, "toy"]
        small = [] if resume_from else TINY + QMIX * (algorithm == "qmix")
        options = resolve(*(front or [None, None]), [*small, *words])
        made.append(Experiment(options))
        return made[-1]

    yield make
    for experiment in made:
        experiment.close()


def capacity(experiment):
    return {name: team.replay.capacity for name, team in experiment.teams.items()}


def gib(episodes):
    return f"buffer_memory={(episodes + 0.5) * EACH / GIB!r}"


def test_a_buffer_that_fits_is_as_asked(make):
    assert capacity(make()) == {"agents": 5000}


def test_a_quarter_of_the_machine_but_never_more_than_the_most(make, monkeypatch):
    assert capacity(make(machine=41)) == {"agents": 10}
    monkeypatch.setattr(room, "MOST", 7 * EACH)
    assert capacity(make(machine=41)) == {"agents": 7}


def test_where_the_system_does_not_say_how_much_there_is(make, monkeypatch):
    monkeypatch.setattr(room, "MOST", 7 * EACH)
    make()
    monkeypatch.setattr(room, "machine_memory", lambda: None)
    assert room.make_room(resolve("qmix", "toy", [*TINY, *QMIX]), *parts(make())) == {"agents": 7}


def parts(experiment):
    return experiment.spec, experiment.rewards


def test_the_budget_lowers_the_default(make):
    assert capacity(make(gib(20), machine=41)) == {"agents": 20}


def test_half_precision_has_room_for_more(make):
    floats = 6 * 3 * 6 + 6 * 13
    experiment = make(gib(20), "buffer_dtype=float16")
    assert capacity(experiment) == {"agents": int(20.5 * EACH / (EACH - 2 * floats))}
    assert experiment.teams["agents"].replay.arrays["obs"].dtype == np.float16
    sink = Recorder()
    for _ in range(3):
        experiment.iterate(sink)
    assert all(np.isfinite(metrics["loss"]) for _, _, metrics in sink.learner_metrics)
    assert sink.learner_metrics


def test_a_number_of_the_command_line_is_kept_or_refused(make):
    assert capacity(make("buffer_size=30", machine=41)) == {"agents": 30}  # more than a quarter
    with pytest.raises(
        UserError, match="takes 35 KiB, more than the 34 KiB that this process may have: lower buffer_size"
    ):
        make("buffer_size=42", machine=41)
    with pytest.raises(
        UserError, match=r"more than the 17 KiB that buffer_memory=1.*e-05 \(GiB\) allows: lower buffer_size"
    ):
        make("buffer_size=30", gib(20))


def test_too_few_episodes_for_a_batch_are_refused(make):
    with pytest.raises(UserError, match=r"memory for 3 of buffer_size=5,000.*batch_size=4.*raise buffer_memory"):
        make(gib(3))
    with pytest.raises(UserError, match="buffer_size=3 must hold at least batch_size=4 and batch_size_run=4"):
        make("buffer_size=3")


def test_half_precision_is_offered_where_it_helps(make):
    for words, offered in (([], True), (["buffer_dtype=float16"], False), (["env_args.kind=image"], False)):
        for more in (gib(0), "buffer_size=1000000"):
            with pytest.raises(UserError) as told:
                make(*words, more, machine=40)
            assert ("buffer_dtype=float16" in str(told.value)) == offered


def test_several_teams_share(make):
    """Both have as many episodes, and together they keep to the budget; a fixed one is served first."""
    experiment = make(gib(20), "env_args.n_teams=2")
    assert set(capacity(experiment).values()) == {capacity(experiment)["red"]}
    total = sum(team.replay.n_bytes for team in experiment.teams.values())
    assert 19 * EACH < total <= 20.5 * EACH
    fixed = make(gib(20), "env_args.n_teams=2", "team.red.buffer_size=12")
    assert capacity(fixed)["red"] == 12
    assert 4 < capacity(fixed)["blue"] < 5000
    assert sum(team.replay.n_bytes for team in fixed.teams.values()) <= 20.5 * EACH


def test_who_needs_no_buffer_has_none(make):
    assert make(machine=41, algorithm="coma").teams["agents"].replay is None
    tested = make().options.experiment.model_copy(update={"evaluate": True})
    assert room.make_room(dataclasses.replace(make().options, experiment=tested), *parts(make())) == {}


def test_a_gathered_batch_that_can_never_fit_is_refused(make):
    with pytest.raises(UserError, match=r"batch_size_run=4 episodes of up to 5 steps.*lower batch_size_run"):
        make(machine=4, algorithm="coma")


def test_a_resumed_run_keeps_what_it_had(make, tmp_path):
    """On a machine with less memory or more; as long as it can be at all."""
    first = make(machine=81)
    sink = Recorder()
    for _ in range(8):  # 32 episodes: it goes round
        first.iterate(sink)
    models = tmp_path / "models"
    folder = checkpoint.save(models, first.t_env, snapshot.parts(first, sink={}, run="results/1"))
    assert checkpoint.read_settings(folder)["buffer_size"] == 5000  # as asked: the same experiment elsewhere
    for machine in (21, 10**9):
        second = make(f"resume={folder}", machine=machine, resume_from=folder)
        snapshot.restore(second, folder)
        assert capacity(second) == capacity(first) == {"agents": 20}
    first.iterate(sink)
    second.iterate(Recorder())
    for key, value in first.teams["agents"].replay.state_dict()["arrays"].items():
        assert torch.equal(value, second.teams["agents"].replay.state_dict()["arrays"][key]), key
    with pytest.raises(UserError, match="resume it where there is more"):
        make(f"resume={folder}", machine=19, resume_from=folder)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["batch_steps=7"], r"learning from 7 steps at once.*: lower batch_steps\.$"),
        (["batch_steps=null"], r"learning from 4 episodes at once.*: lower batch_size\.$"),
    ],
)
def test_an_update_that_takes_too_much_memory_is_told_by_what_it_draws(make, monkeypatch, words, said):
    experiment = make(*words, "batch_size=4", algorithm="maddpg")
    monkeypatch.setattr(experiment.teams["agents"].learner, "train", raising)
    with pytest.raises(UserError, match=said):
        experiment.iterate(Recorder())


def raising(*_, **__):
    raise MemoryError("unable to allocate")
