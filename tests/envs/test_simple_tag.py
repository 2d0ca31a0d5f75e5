import math

import numpy as np
import pytest
from particle_tools import make, put, random_moves, step

from core.errors import UserError
from envs.particle.simple_tag_kernels import bound, score
from mpe2_oracle import mpe2_step
from training.options import resolve

mpe2_tag = pytest.importorskip("mpe2.simple_tag_v3")


@pytest.mark.parametrize(("p", "q", "obstacles"), [(3, 1, 2), (2, 3, 1), (1, 1, 0)])
def test_one_step_equals_mpe2_from_the_same_state(p, q, obstacles):
    worlds, generator = 60, np.random.default_rng(p)
    env = make("simple_tag", worlds, n_predators=p, n_preys=q, n_obstacles=obstacles)
    env.positions[:20] *= 0.1  # many contacts
    env.positions[20:40] *= 1.6  # many beyond the bound
    env.velocities[:, : p + q] = generator.normal(0, 0.7, (worlds, p + q, 2))
    oracle = mpe2_tag.raw_env(num_good=q, num_adversaries=p, num_obstacles=obstacles, max_cycles=10**9)
    oracle.reset(seed=0)
    rewards, caught, outside = (np.zeros(p), np.zeros(q)), 0, 0
    for _ in range(4):
        before = env.positions.copy(), env.velocities.copy()
        moves = random_moves(env, generator)
        teams = env.step(moves, np.ones(worlds, bool)).teams
        for k in range(worlds):
            actions = np.concatenate([move[k] for move in moves])
            pos, vel, expected, obs = mpe2_step(oracle, before[0][k], before[1][k], actions)
            np.testing.assert_allclose(env.positions[k], pos, atol=1e-12, rtol=0)
            np.testing.assert_allclose(env.velocities[k], vel, atol=1e-12, rtol=0)
            caught += score(env.positions[k], env.worlds.bodies[k], *rewards)
            np.testing.assert_allclose(np.concatenate(rewards), expected, atol=1e-12, rtol=0)
            outside += (expected[p:] % 10 != 0).any()
            shown = np.concatenate([teams[0].rewards[k], teams[1].rewards[k]])
            np.testing.assert_allclose(shown, expected, rtol=2e-7)
            for row, one in zip([*teams[0].obs[k], *teams[1].obs[k]], obs, strict=True):
                np.testing.assert_allclose(row, one.astype(np.float32), atol=1e-12, rtol=2e-7)
    assert caught > 5
    assert outside > 20


@pytest.mark.parametrize(
    ("x", "penalty"), [(0, 0), (0.89, 0), (0.9, 0), (0.95, 0.5), (1.0, 1.0), (1.5, math.e), (2.0, math.e**2), (3.0, 10)]
)
def test_penalty_of_the_bound(x, penalty):
    assert bound(x) == pytest.approx(penalty)


def test_rewards_by_hand():
    env = make("simple_tag", n_predators=2, n_preys=2, n_obstacles=0)
    put(env, [[0.0, 0.0], [0.05, 0.1], [0.1, 0.0], [-0.95, 0.3]])
    out = step(env)
    assert out.teams[0].rewards[0].tolist() == [20, 20]  # two overlapping pairs, shared
    assert out.teams[1].rewards[0].tolist() == pytest.approx([-20, -0.5])


def test_layout_follows_the_contract():
    env = make("simple_tag", 2)
    predator, prey = env.spec.teams
    assert [team.name for team in env.spec.teams] == ["predator", "prey"]
    assert (predator.n_agents, predator.obs_dim, predator.state_dim, predator.reward_dim) == (3, 16, 48, 3)
    assert (prey.n_agents, prey.obs_dim, prey.state_dim, prey.reward_dim) == (1, 14, 14, 1)
    for team in (predator, prey):
        assert env.args.columns(team.name)["prey_velocities"].stop == team.obs_dim
    assert np.abs(env.positions).max() <= 1
    assert np.abs(env.positions[:, 4:]).max() <= 0.9


def test_episode_is_truncated_at_its_limit_and_reports_contacts():
    env = make("simple_tag", n_predators=1, n_obstacles=0, time_limit=2)
    put(env, [[0.0, 0.0], [0.12, 0.0]])
    assert not step(env).truncated[0]
    out = step(env)
    assert out.truncated[0]
    assert not out.terminated[0]
    assert out.info["contacts"][0] == 1  # positions move first: they part in the second step
    env.reset(np.array([0]), np.array([0], np.uint64))
    assert not step(env).truncated[0]


def test_render_shows_both_teams():
    env = make("simple_tag", n_obstacles=0)
    put(env, [[0.6, 0.6], [0.6, 0.6], [0.6, 0.6], [-0.6, -0.6]])
    frame = env.render()
    assert (frame.shape, frame.dtype) == ((400, 400, 3), np.uint8)
    red, blue = ((frame[..., c] > frame[..., 2 - c] + 80.0).reshape(2, 200, 2, 200).sum((1, 3)) for c in (0, 2))
    assert np.argwhere(red > 50).tolist() == [[0, 1]]  # up and right
    assert np.argwhere(blue > 50).tolist() == [[1, 0]]
    env.positions[0, 0] = 1e5
    assert env.render().shape == (400, 400, 3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("n_predators=0", "greater than or equal to 1"),
        ("n_preys=0", "greater than or equal to 1"),
        ("n_obstacles=-1", "greater than or equal to 0"),
        ("time_limit=0", "greater than or equal to 1"),
        ("num_good=1", "Unknown setting 'env_args.num_good'"),
    ],
)
def test_wrong_settings_are_a_users_error(word, message):
    with pytest.raises(UserError, match=message):
        resolve("asae", "simple_tag", [f"env_args.{word}"])
