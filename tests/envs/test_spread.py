import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from envs.particle.spread import Spread, SpreadArgs
from envs.particle.spread_kernels import score
from mpe2_oracle import mpe2_step

mpe2_spread = pytest.importorskip("mpe2.simple_spread_v3")


def play(env, seeds, actions):
    """Reset all worlds and play ``actions`` [T, N, A]; returns copies of what was seen, stacked over time."""
    step = env.reset(np.arange(env.n_envs), np.asarray(seeds, np.uint64))
    seen = [(step.teams[0].obs.copy(), step.teams[0].rewards.copy(), step.truncated.copy())]
    for action in actions:
        step = env.step((action,), np.ones(env.n_envs, bool))
        seen.append((step.teams[0].obs.copy(), step.teams[0].rewards.copy(), step.truncated.copy()))
    return [np.stack(part) for part in zip(*seen, strict=True)]


@pytest.mark.parametrize(("n_agents", "local_ratio"), [(2, 0.5), (3, 0.5), (3, 0.2), (5, 0.5)])
def test_one_step_equals_mpe2_from_the_same_state(n_agents, local_ratio):
    worlds, generator = 60, np.random.default_rng(n_agents)
    env = Spread(worlds, SpreadArgs(n_agents=n_agents, local_ratio=local_ratio))
    env.reset(np.arange(worlds), np.arange(worlds, dtype=np.uint64))
    env.positions[: worlds // 2] *= 0.3  # many contacts
    env.velocities[:, :n_agents] = generator.normal(0, 0.7, (worlds, n_agents, 2))
    oracle = mpe2_spread.raw_env(N=n_agents, local_ratio=local_ratio, max_cycles=10**9)
    oracle.reset(seed=0)
    rewards, collided = np.zeros(n_agents), 0
    for _ in range(4):
        before = env.positions.copy(), env.velocities.copy()
        actions = generator.integers(0, 5, (worlds, n_agents))
        team = env.step((actions,), np.ones(worlds, bool)).teams[0]
        for k in range(worlds):
            pos, vel, expected, obs = mpe2_step(oracle, before[0][k], before[1][k], actions[k])
            obs = np.array(obs)
            np.testing.assert_allclose(env.positions[k], pos, atol=1e-12, rtol=0)
            np.testing.assert_allclose(env.velocities[k], vel, atol=1e-12, rtol=0)
            collided += score(env.positions[k], env.worlds.bodies[k], local_ratio, rewards)[0]
            np.testing.assert_allclose(rewards, expected, atol=1e-12, rtol=0)
            np.testing.assert_allclose(team.rewards[k], expected, rtol=2e-7)
            np.testing.assert_allclose(team.obs[k], obs.astype(np.float32), atol=1e-12, rtol=2e-7)
    assert collided > 20


def test_layout_follows_the_contract():
    env = Spread(2, SpreadArgs())
    spec = env.spec.teams[0]
    assert (spec.n_agents, spec.n_actions, spec.obs_dim, spec.state_dim, spec.reward_dim) == (3, 5, 18, 54, 3)
    step = env.reset(np.arange(2), np.array([1, 2], np.uint64))
    team = step.teams[0]
    assert team.obs.dtype == np.float32
    assert np.shares_memory(team.obs, team.state)
    assert team.available.all()
    np.testing.assert_array_equal(team.obs[0, 1, 2:4], env.positions[0, 1].astype(np.float32))
    assert np.abs(env.positions).max() <= 1
    assert not team.rewards.any()


def test_episode_is_truncated_at_its_limit_and_reports():
    env = Spread(1, SpreadArgs(n_agents=2, time_limit=3))
    env.reset(np.array([0]), np.array([9], np.uint64))
    # agent 0 rests on landmark 2 and never moves, agent 1 overlaps it a little in the beginning
    env.positions[0] = [[0.0, 0.0], [0.29, 0.0], [0.0, 0.0], [0.9, 0.9]]
    for t in range(3):
        step = env.step((np.zeros((1, 2), int),), np.ones(1, bool))
        assert not step.terminated[0]
        assert step.truncated[0] == (t == 2)
    assert step.info["collisions"][0] == 1  # positions move first: they part in the second step
    assert step.info["occupied_landmarks"][0] == 1
    env.reset(np.array([0]), np.array([9], np.uint64))
    assert not env.step((np.zeros((1, 2), int),), np.ones(1, bool)).truncated[0]


def test_reward_by_hand():
    env = Spread(1, SpreadArgs(n_agents=2, local_ratio=0.25))
    env.reset(np.array([0]), np.array([0], np.uint64))
    env.positions[0] = [[0.0, 0.0], [0.2, 0.0], [0.0, 0.3], [0.6, 0.0]]
    team = env.step((np.zeros((1, 2), int),), np.ones(1, bool)).teams[0]
    np.testing.assert_allclose(team.rewards[0], 0.75 * -(0.3 + 0.4) + 0.25 * -1, rtol=1e-6)


@given(
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=5),
    actions_seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
@settings(deadline=None, max_examples=25)
def test_worlds_are_independent_of_their_order_and_number(seeds, actions_seed, data):
    order = data.draw(st.permutations(range(len(seeds))))
    actions = np.random.default_rng(actions_seed).integers(0, 5, (30, len(seeds), 3))
    together = play(Spread(len(seeds), SpreadArgs()), seeds, actions)
    permuted = play(Spread(len(seeds), SpreadArgs()), np.array(seeds, np.uint64)[order], actions[:, order])
    alone = play(Spread(1, SpreadArgs()), seeds[:1], actions[:, :1])
    for all_worlds, moved, single in zip(together, permuted, alone, strict=True):
        np.testing.assert_array_equal(all_worlds[:, order], moved)
        np.testing.assert_array_equal(all_worlds[:, :1], single)


def test_same_seed_gives_the_same_episode_and_another_seed_another():
    env, actions = Spread(2, SpreadArgs()), np.random.default_rng(0).integers(0, 5, (25, 2, 3))
    first = play(env, [4, 5], actions)
    again = play(env, [4, 5], actions)  # after another episode in the same slots
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0][0, 0], first[0][0, 1])


@given(active=st.lists(st.booleans(), min_size=4, max_size=4), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_inactive_slots_are_untouched(active, seed):
    env = Spread(4, SpreadArgs(time_limit=2))
    play(env, range(4), np.zeros((1, 4, 3), int))
    step, active = env._time_step, np.array(active)
    arrays = [
        env.positions,
        env.velocities,
        env.worlds.clock,
        env.worlds.contacts,
        step.teams[0].obs,
        step.teams[0].rewards,
    ]
    arrays += [step.truncated, *step.info.values()]
    for array in arrays[:2]:
        array[:, :3] += 0.01
    before = [array.copy() for array in arrays]
    env.step((np.random.default_rng(seed).integers(0, 5, (4, 3)),), active)
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old[~active], new[~active])
    assert (env.worlds.clock == 1 + active).all()
    before = [array.copy() for array in arrays]
    env.reset(np.flatnonzero(active), np.full(active.sum(), seed, np.uint64))
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old[~active], new[~active])


def test_integrator_setting_changes_the_positions():
    actions = np.full((1, 1, 3), 2)
    first = play(Spread(1, SpreadArgs(integrator="position_first")), [3], actions)[0]
    second = play(Spread(1, SpreadArgs(integrator="velocity_first")), [3], actions)[0]
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])


def test_coincident_agents_keep_everything_finite():
    env = Spread(1, SpreadArgs())
    env.reset(np.array([0]), np.array([0], np.uint64))
    env.positions[0] = 0.0
    for _ in range(10):
        team = env.step((np.zeros((1, 3), int),), np.ones(1, bool)).teams[0]
        assert np.isfinite(team.obs).all()
        assert np.isfinite(team.rewards).all()


def test_render_shows_the_world():
    env = Spread(2, SpreadArgs())
    env.reset(np.arange(2), np.array([1, 2], np.uint64))
    frame = env.render(1)
    assert frame.shape == (400, 400, 3)
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, env.render(1))
    env.positions[1, 0] += 0.1
    assert (frame != env.render(1)).any(axis=-1).sum() > 50
    env.positions[1, 0] = 1e6
    assert env.render(1).shape == (400, 400, 3)
    env.close()
    env.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_agents": 1}, "spread needs at least 2 agents"),
        ({"time_limit": 0}, "greater than or equal to 1"),
        ({"local_ratio": 1.5}, "less than or equal to 1"),
        ({"integrator": "euler"}, "position_first"),
        ({"agents": 3}, "[Ee]xtra"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SpreadArgs(**settings)


def test_wrong_shapes_and_slots_are_refused():
    env = Spread(2, SpreadArgs())
    with pytest.raises(ValueError, match="actions must be"):
        env.step((np.zeros((2, 2), int),), np.ones(2, bool))
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        env.reset(np.array([2]), np.array([0], np.uint64))
    with pytest.raises(ValueError, match="slots and seeds"):
        env.reset(np.array([0]), np.array([0, 1], np.uint64))
    with pytest.raises(ValueError, match="at least 1 world"):
        Spread(0, SpreadArgs())
