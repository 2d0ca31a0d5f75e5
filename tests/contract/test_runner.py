"""Runners: whole episodes, the same ones whatever the number of slots, none lost unnoticed."""

import tracemalloc

import numpy as np
import pytest
import torch

from contract_helpers import Recorder
from core.seeding import episode_seed
from runners.parallel_runner import EpisodeRunner, ParallelRunner, Rewards
from runners.storage import Episodes
from toy_vec_envs import ToyArgs, ToyVecEnv
from training.filming import film


class Scripted:
    """A controller whose actions follow from what it sees and from the steps since its last restart."""

    def __init__(self):
        self.restarts = []

    def begin(self, n_envs):
        self.time = np.zeros(n_envs, np.int64)
        self.restarts.append(np.arange(n_envs))

    def restart(self, slots):
        self.time[slots] = 0
        self.restarts.append(slots.copy())

    def played(self):
        return None

    def act(self, step, *, t_env, greedy_policy=False):
        weight = np.arange(1, step.obs.shape[-1] + 1)
        wish = (np.abs(step.obs @ weight) * 10).astype(np.int64) + self.time[:, None]
        order = (wish[..., None] + np.arange(4)) % 4
        allowed = np.take_along_axis(step.available, order, -1)
        self.time += 1
        return np.take_along_axis(order, allowed.argmax(-1)[..., None], -1)[..., 0]


def seed_of(k):
    return episode_seed(3, "train_env", k)


def make(n_envs, runner=ParallelRunner, rewards=None, **args):
    env = ToyVecEnv(n_envs, ToyArgs(**args))
    return runner(env, seed_of=seed_of, rewards=rewards or Rewards())


def collect(runner, n_episodes, **kwargs):
    teams = {team.name: Scripted() for team in runner.spec.teams}
    return runner.collect(teams, n_episodes, t_env=0, **kwargs)


def assert_same(first, second):
    assert first.keys() == second.keys()
    for team in first:
        for key, value in first[team].tensors().items():
            assert torch.equal(value, getattr(second[team], key)), (team, key)


@pytest.mark.parametrize("n_teams", [1, 2])
@pytest.mark.parametrize("n_envs", [1, 2, 3, 7, 10, 13])
@pytest.mark.parametrize("ends", ["mixed", "terminated", "truncated"])
def test_the_number_of_slots_changes_nothing(n_envs, ends, n_teams):
    args = {"ends": ends, "n_teams": n_teams, "limit": 6}
    batches, stats = collect(make(n_envs, **args), 10)
    reference, expected = collect(make(1, EpisodeRunner, **args), 10)
    assert_same(batches, reference)
    for team, returns in stats.returns.items():
        np.testing.assert_array_equal(returns, expected.returns[team])
    np.testing.assert_array_equal(stats.lengths, expected.lengths)
    np.testing.assert_array_equal(stats.info["hits"], expected.info["hits"])


@pytest.mark.parametrize("n_envs", [1, 3, 8])
def test_episodes_are_whole_and_as_the_environment_played_them(n_envs):
    runner = make(n_envs, limit=6)
    batches, stats = collect(runner, 8)
    batch, env = batches["agents"], runner.env
    assert env.seeds_seen == [seed_of(k) for k in range(8)]
    for k in range(8):
        seed = seed_of(k)
        length = env.length(seed)
        assert stats.lengths[k] == length
        assert batch.mask[k].tolist() == [t < length for t in range(batch.n_steps)]
        assert batch.terminated[k].tolist() == [length < 6 and t == length - 1 for t in range(batch.n_steps)]
        hits = 0.0
        for t in range(length + 1):
            right = env.right_actions(seed, t, 0)
            np.testing.assert_array_equal(batch.obs[k, t, :, :4].argmax(-1), right)
            assert batch.obs[k, t, 0, 4] == np.float32(t / 6)
            assert batch.obs[k, t, 0, 5] == np.float32(hits / 10)  # the observation follows the reward
            np.testing.assert_array_equal(batch.state[k, t, :-1].view(3, 4).argmax(-1), right)
            assert batch.available[k, t].gather(-1, torch.from_numpy(right).unsqueeze(-1)).all()
            if t < length:
                paid = float((batch.actions[k, t].numpy() == right).sum())
                assert batch.rewards[k, t, 0] == paid
                hits += paid
        assert stats.returns["agents"][k, 0] == hits == stats.info["hits"][k]
        for key in ("obs", "state"):
            assert (getattr(batch, key)[k, length + 1 :] == 0).all()
        assert batch.available[k, length + 1 :].all()
        assert (batch.actions[k, length:] == 0).all()
        assert (batch.rewards[k, length:] == 0).all()
    assert batch.n_steps == stats.lengths.max()


def test_slots_are_restarted_when_they_play_again():
    runner = make(2, limit=4)
    controller = Scripted()
    runner.collect({"agents": controller}, 9, t_env=0)
    assert sum(len(slots) for slots in controller.restarts) == 9
    runner.collect({"agents": controller}, 2, t_env=0)
    assert runner.launched == 11
    assert runner.env.seeds_seen[-2:] == [seed_of(9), seed_of(10)]


@pytest.mark.parametrize("n_envs", [1, 3, 8])
def test_failed_episodes_are_dropped_counted_and_replaced(n_envs):
    runner = make(n_envs, limit=5, fail_every=3)
    batches, stats = collect(runner, 8)
    batch, env = batches["agents"], runner.env
    assert stats.dropped == runner.launched - 8 > 0
    assert stats.dropped == sum(env.fails(seed) for seed in env.seeds_seen)
    for value in batch.tensors().values():
        assert value.float().abs().max() < 1000
    assert np.abs(stats.info["hits"]).max() < 1000
    played = sorted(seed for seed in env.seeds_seen if not env.fails(seed))
    assert sorted(stats.lengths) == sorted(env.length(seed) for seed in played)
    for k in range(8):  # nothing of the dropped episode is left behind
        length = int(stats.lengths[k])
        assert (batch.obs[k, length + 1 :] == 0).all()
        assert (batch.rewards[k, length:] == 0).all()
        assert stats.returns["agents"][k, 0] == stats.info["hits"][k]


def test_a_failure_while_all_slots_are_in_step():
    """Seed 4 dies after its first step; 14 and 19 play five."""
    results = []
    for n_envs in (1, 2):
        runner = make(n_envs, limit=5, fail_every=3)
        runner.seed_of = [14, 4, 19].__getitem__
        results.append(collect(runner, 2))
    assert [stats.dropped for _, stats in results] == [1, 1]
    assert [stats.lengths.tolist() for _, stats in results] == [[5, 5], [5, 5]]
    assert_same(results[0][0], results[1][0])


def test_a_batch_keeps_its_content_when_the_environment_goes_on():
    runner = make(4)
    batches, _ = collect(runner, 4)
    kept = {key: value.clone() for key, value in batches["agents"].tensors().items()}
    collect(runner, 4)
    for key, value in batches["agents"].tensors().items():
        assert torch.equal(value, kept[key])


def test_more_slots_than_episodes_leaves_the_rest_alone():
    runner = make(6)
    _, stats = collect(runner, 2)
    assert len(runner.env.seeds_seen) == 2
    assert runner.env.n_steps == stats.lengths.sum()


def test_every_step_can_be_seen():
    runner, seen = make(2, limit=4), []
    teams = {"agents": Scripted()}
    runner.play(teams, 5, t_env=None, on_step=lambda active: seen.append(active.copy()))
    _, stats = collect(make(2, limit=4), 5)
    assert sum(active.sum() for active in seen) == stats.lengths.sum() + 5  # every step and every reset


@pytest.mark.parametrize("n_envs", [1, 3, 10])
@pytest.mark.parametrize("args", [{}, {"n_teams": 2, "individual_rewards": True}, {"fail_every": 3}], ids=str)
def test_what_is_played_has_the_statistics_of_what_is_gathered(args, n_envs):
    rewards = Rewards(common=False)
    gathered, played = (make(n_envs, rewards=rewards, **args) for _ in range(2))
    _, expected = collect(gathered, 10)
    stats = played.play({team.name: Scripted() for team in played.spec.teams}, 10, t_env=0)
    assert stats.returns.keys() == expected.returns.keys()
    for team, returns in stats.returns.items():
        np.testing.assert_array_equal(returns, expected.returns[team])
    np.testing.assert_array_equal(stats.lengths, expected.lengths)
    np.testing.assert_array_equal(stats.info["hits"], expected.info["hits"])
    assert stats.dropped == expected.dropped
    assert played.launched == gathered.launched


def test_tests_and_films_keep_no_observations(make_experiment, tmp_path, monkeypatch):
    experiment = make_experiment("coma", "test_sampled=true", "test_nepisode=5", "replay_episodes=1")
    monkeypatch.setattr(Episodes, "__init__", lambda *rest: pytest.fail("this keeps every step"))
    sink = Recorder()
    experiment.test(sink)
    assert [len(stats.lengths) for _, _, stats in sink.tests] == [5, 5]
    assert film(experiment, tmp_path / "film.gif").exists()


def test_memory_of_a_test_does_not_grow_with_its_episodes():
    runner = make(2, limit=50, n_agents=20)
    peaks = []
    for n_episodes in (10, 40):
        tracemalloc.start()
        runner.play({"agents": Scripted()}, n_episodes, t_env=None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_episode = 51 * 20 * runner.spec.teams[0].obs_dim * 4  # bytes of its observations
    assert peaks[1] - peaks[0] < one_episode


@pytest.mark.parametrize(
    ("common", "scalarisation", "expected"),
    [(True, "sum", [[6.0], [3.0]]), (True, "mean", [[2.0], [1.0]]), (False, "sum", [[1.0, 2, 3], [0, 3, 0]])],
)
def test_rewards_made_common(common, scalarisation, expected):
    rewards = Rewards(common=common, scalarisation=scalarisation)
    np.testing.assert_array_equal(rewards(np.array([[1.0, 2, 3], [0, 3, 0]])), expected)
    np.testing.assert_array_equal(rewards(np.array([[5.0]])), [[5.0]])


@pytest.mark.parametrize("algorithm", ["asae", "coma", "iql", "qmix"])
def test_trained_policies_play_alike_in_both_runners(make_experiment, algorithm):
    """Greedy episodes of networks with memory and with their last action as input."""
    batches = []
    for words in (["runner=episode"], ["n_envs=1"], ["n_envs=3"], []):
        experiment = make_experiment(algorithm, "obs_last_action=true", "use_rnn=true", *words)
        batches.append(experiment.runner.collect(experiment.controllers, 9, t_env=None, greedy=True)[0]["agents"])
    for batch in batches[1:]:
        for key, value in batches[0].tensors().items():
            assert torch.equal(value, getattr(batch, key)), key
