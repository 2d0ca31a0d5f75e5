"""Numbers whose names are known when an episode reports them: from a worker to the log."""

import numpy as np
import pytest

import envs.workers.notices
from core.data import EpisodeStats
from envs.conformance import check_env
from envs.workers.numbers import Numbers
from envs.workers.worker import WorkerArgs, WorkerVecEnv
from observers.gather import Episodes, summarise
from runners.parallel_runner import ParallelRunner, Rewards


class Idle:
    """A controller that does nothing."""

    def begin(self, n_envs):
        pass

    def restart(self, slots):
        pass

    def played(self):
        return None

    def act(self, step, *, t_env, greedy_policy=False):
        return np.ones(step.available.shape[:2], np.int64)


@pytest.fixture
def make():
    envs = []

    def build(n_envs, n_workers, wanted=None, limit=20):
        numbers = Numbers(n_envs, name="toy", wanted=wanted, limit=limit)
        toy = {"name": "toy", "factory": "toy_envs:Toy", "kwargs": {"reports": True}, "numbers": numbers}
        envs.append(WorkerVecEnv(n_envs, WorkerArgs(n_workers=n_workers), **toy))
        return envs[-1]

    yield build
    for env in envs:
        env.close()


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(envs.workers.notices, "SAID", set())


def columns(wanted=None, limit=20, **reported):
    numbers = Numbers(2, name="toy", wanted=wanted, limit=limit)
    numbers.store(1, reported)
    return numbers.columns


def stats(lengths, **info):
    info = {key: np.array(column, np.float64) for key, column in info.items()}
    return EpisodeStats(returns={"agents": np.zeros((len(lengths), 1))}, lengths=np.array(lengths), info=info)


@pytest.mark.parametrize(("n_envs", "n_workers"), [(1, 1), (3, 2)])
def test_from_the_worker_to_the_statistics(make, n_envs, n_workers):
    env = make(n_envs, n_workers)
    runner = ParallelRunner(env, seed_of=[1, 2, 3, 4, 6].__getitem__, rewards=Rewards())
    info = runner.play({"agents": Idle()}, 5, t_env=None).info
    assert list(info) == ["won", "seed", "thirds"]
    assert info["won"].tolist() == [1, 0, 1, 0, 0]
    assert info["seed"].tolist() == [1, 2, 3, 4, 6]
    np.testing.assert_array_equal(info["thirds"], [np.nan, np.nan, 1, np.nan, 2])


def test_conformance(make):
    check_env(make(3, 2), other=make(1, 1))


def test_a_slot_forgets_its_last_episode(make):
    env = make(1, 1)
    for seed, expected in ((3, 1.0), (4, np.nan)):
        step = env.reset(np.array([0]), np.array([seed], np.uint64))
        for _ in range(4):
            step = env.step([np.ones((1, 2), np.int64)], np.ones(1, bool))
        np.testing.assert_array_equal(step.info["thirds"], [expected])


def test_all_are_kept_up_to_a_limit(capsys):
    assert {key: column[1] for key, column in columns(a=1.0, b=2.0, limit=2).items()} == {"a": 1, "b": 2}
    assert capsys.readouterr().err == ""
    assert list(columns(a=1.0, b=2.0, c=3.0, d=4.0, limit=2)) == ["a", "b"]
    said = capsys.readouterr().err
    assert "2 are logged (env_args.info_limit), not c, d. env_args.info_keys=[c] would choose" in said
    columns(a=1.0, b=2.0, c=3.0, d=4.0, limit=2)
    assert capsys.readouterr().err == "", "said once, though there are environments for tests as well"


def test_those_that_were_chosen(capsys):
    assert list(columns(wanted=["b"], limit=0, a=1.0, b=2.0)) == ["b"]
    assert columns(wanted=[], a=1.0) == {}
    assert capsys.readouterr().err == ""
    assert columns(wanted=["sucess"], success=1.0) == {}
    assert "has no number 'sucess' (env_args.info_keys). Did you mean 'success'? It has: success." in (
        capsys.readouterr().err
    )


def test_means_are_over_the_episodes_that_report():
    values = summarise(stats([1, 2, 3], success=[1, np.nan, 0], never=[np.nan] * 3, ep_length=[9, 9, 9]))
    assert values["success_mean"] == 0.5
    assert "never_mean" not in values
    assert values["ep_length_mean"] == 2, "a number called like a metric does not replace it"
    assert summarise(stats([1], test_return=[9])).keys() >= {"info_test_return_mean", "return_mean"}


def test_episodes_with_other_numbers_are_joined():
    episodes = Episodes()
    for one in (stats([1, 1], a=[1, 3]), stats([1], b=[5]), stats([1], a=[5], b=[7])):
        episodes.add(one)
    state = episodes.state_dict()
    np.testing.assert_array_equal(state["info"]["a"], [1, 3, np.nan, 5])
    restored = Episodes()
    restored.load_state_dict(state)
    for which in (episodes, restored):
        values = which.take()
        assert (values["a_mean"], values["b_mean"]) == (3, 6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_counts_as_not_reported(value):
    numbers = Numbers(2, name="toy", wanted=None, limit=3)
    numbers.store(0, {"time_to_goal": value, "success": 0.0})
    assert numbers.columns.keys() == {"success"}
    numbers.store(1, {"time_to_goal": 7.0, "success": 1.0})
    numbers.store(0, {"time_to_goal": value, "success": 0.0})
    np.testing.assert_array_equal(numbers.columns["time_to_goal"], [np.nan, 7.0])
