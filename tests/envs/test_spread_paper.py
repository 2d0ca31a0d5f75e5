import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from particle_tools import make, put, random_moves, step

from core.errors import UserError
from envs.particle.spread_paper import SpreadPaperArgs
from training.options import resolve


def test_an_agent_sees_itself_and_the_landmarks_in_its_sight():
    env = make("spread_paper", n_agents=2, n_obstacles=1, sight_radius=0.5)
    put(
        env,
        [[0.0, 0.0], [0.9, 0.0], [0.3, 0.4], [0.0, -0.51], [-2.0, -2.0]],
        [[0, 0], [0, 0.2], [0, 0], [0, 0], [0, 0]],
    )
    team = step(env).teams[0]
    assert team.obs.shape == (1, 2, 10)
    np.testing.assert_allclose(team.obs[0, 0], [0, 0, 0, 0, 0.3, 0.4, 0, 0, 1, 0], atol=1e-6)  # 0.5 away: just seen
    np.testing.assert_allclose(team.obs[0, 1], [0, 0.15, 0.9, 0.02, 0, 0, 0, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize(("sight_radius", "seen"), [(None, 1), (0.0, 0), (10.0, 1)])
def test_sight_of_everything_and_of_nothing(sight_radius, seen):
    env = make("spread_paper", 4, sight_radius=sight_radius)
    obs = env.step((np.zeros((4, 3), int),), np.ones(4, bool)).teams[0].obs
    assert (obs[..., 13 - 3 :] == seen).all()
    relative = (env.positions[:, None, 3:6] - env.positions[:, :3, None]).reshape(4, 3, 6)
    np.testing.assert_allclose(obs[..., 4:10], seen * relative, atol=1e-6)


def test_the_state_has_everything():
    env = make("spread_paper", n_agents=2, n_obstacles=1, sight_radius=0)
    put(env, np.arange(10).reshape(5, 2), [[0.1, 0.2], [0.3, 0.4], [0, 0], [0, 0], [0, 0]])
    state = step(env).teams[0].state[0]
    np.testing.assert_allclose(state[[0, 1, 4, 5]], [0.01, 1.02, 2.03, 3.04], atol=1e-6)
    np.testing.assert_allclose(state[[2, 3, 6, 7]], 0.75 * np.array([0.1, 0.2, 0.3, 0.4]), atol=1e-6)
    np.testing.assert_allclose(state[8:], [4, 5, 6, 7, 8, 9])


@pytest.mark.parametrize(("form", "distances"), [("agents", 0.3 + 0.1), ("landmarks", 0.1 + 0.6)])
def test_reward_by_hand(form, distances):
    env = make("spread_paper", n_agents=2, n_obstacles=0, reward_form=form, collision_penalty=2.5)
    put(env, [[0.0, 0.0], [0.2, 0.0], [0.3, 0.0], [0.0, -0.6]])
    team = step(env).teams[0]
    assert team.rewards.shape == (1, 1)
    np.testing.assert_allclose(team.rewards[0, 0], -distances - 2.5, rtol=1e-6)  # one pair overlaps


def slow_reward(pos, args):
    n = args.n_agents
    agents, landmarks = pos[:n], pos[n : 2 * n]
    pairs = sum(np.linalg.norm(agents[i] - agents[j]) < 0.3 for i in range(n) for j in range(i))
    if args.reward_form == "agents":
        total = sum(min(np.linalg.norm(a - m) for m in landmarks) for a in agents)
    else:
        total = sum(min(np.linalg.norm(a - m) for a in agents) for m in landmarks)
    return -total - args.collision_penalty * pairs, pairs


@pytest.mark.parametrize("n_agents", [1, 3, 5])
@pytest.mark.parametrize("form", ["agents", "landmarks"])
def test_rewards_and_collisions_equal_a_slow_reference(n_agents, form):
    env = make("spread_paper", 8, n_agents=n_agents, reward_form=form, collision_penalty=0.7, time_limit=30)
    generator, pairs = np.random.default_rng(1), np.zeros(8)
    for _ in range(30):
        out = env.step(random_moves(env, generator), np.ones(8, bool))
        for k in range(8):
            reward, new = slow_reward(env.positions[k], env.args)
            pairs[k] += new
            np.testing.assert_allclose(out.teams[0].rewards[k, 0], reward, rtol=1e-6)
    assert out.truncated.all()
    assert not out.terminated.any()
    np.testing.assert_array_equal(out.info["collisions"], pairs)
    assert n_agents == 1 or pairs.sum() > 5


def test_without_obstacles_it_moves_and_pays_as_stock_spread():
    """Reward of stock spread at local_ratio 0, summed over no agent: the same number for all."""
    ours = make("spread_paper", 6, n_obstacles=0, reward_form="landmarks", collision_penalty=0)
    stock = make("spread", 6, local_ratio=0.0, time_limit=150)
    stock.positions[:] = ours.positions
    generator = np.random.default_rng(0)
    for _ in range(40):
        moves = generator.integers(0, 5, (6, 3))
        mine, other = (env.step((moves,), np.ones(6, bool)).teams[0].rewards[:, 0] for env in (ours, stock))
        np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(ours.positions, stock.positions)


@pytest.mark.parametrize("aside", [0.0, 0.01, 0.1])
def test_obstacles_are_solid_for_the_fastest(aside):
    env = make("spread_paper", n_agents=1, n_obstacles=1, obstacle_radius=0.1)
    put(env, [[-1.5, aside], [0.9, 0.9], [0.0, 0.0]])  # at speed 2 when it gets there
    nearest = [np.linalg.norm((step(env, [2]), env.positions[0, 0])[1]) for _ in range(40)]
    assert min(nearest) == pytest.approx(0.25)
    assert (env.positions[0, 0, 0] > 0) == (aside > 0)  # slides along, where it does not hit the middle
    np.testing.assert_array_equal(env.positions[0, 2], [0, 0])


@pytest.mark.parametrize(("ground", "end"), [(1.3, 1.3 - 0.15), (None, 20.0)])
def test_walls_hold_where_they_are_wanted(ground, end):
    env = make("spread_paper", n_agents=1, n_obstacles=0, ground=ground)
    put(env, [[0.9, 0.0], [0.0, 0.0]])
    for _ in range(120):
        step(env, [2])
    assert env.positions[0, 0, 0] == pytest.approx(end) if ground else env.positions[0, 0, 0] > end
    walls = (env.render() == (222, 184, 60)).all(-1).sum()
    assert (walls > 1000) == (ground is not None)


@given(seed=st.integers(0, 2**64 - 1), radius=st.sampled_from([0.05, 0.1, 0.2]))
@settings(deadline=None, max_examples=50)
def test_agents_and_landmarks_start_clear_of_obstacles(seed, radius):
    env = make("spread_paper", n_agents=5, obstacle_radius=radius)
    env.reset(np.array([0]), np.array([seed], np.uint64))
    pos = env.positions[0]
    gaps = np.linalg.norm(pos[:10, None] - pos[10:], axis=-1)
    assert gaps.min() >= 0.15 + radius  # an agent has room on every landmark
    assert np.linalg.norm(pos[10] - pos[11]) >= 2 * radius
    assert np.abs(pos[:10]).max() <= 1
    assert np.abs(pos[10:]).max() <= 0.9


def test_occupied_landmarks_are_counted_in_the_last_step():
    env = make("spread_paper", n_agents=2, n_obstacles=0, time_limit=1)
    put(env, [[0.0, 0.0], [0.5, 0.5], [0.09, 0.0], [0.5, 0.39]])
    out = step(env)
    assert out.truncated[0]
    assert out.info["occupied_landmarks"][0] == 1


def test_render_shows_sight_and_obstacles():
    env = make("spread_paper")
    frame = env.render()
    assert (frame.shape, frame.dtype) == ((400, 400, 3), np.uint8)
    far = make("spread_paper", sight_radius=None)
    far.positions[:] = env.positions
    assert (frame != far.render()).any(-1).sum() > 500  # three thin circles
    env.positions[0, 6:] = [[-0.5, -0.5], [0.5, 0.5]]
    env.positions[0, :6] = 0.0
    dark = (env.render() == (58, 66, 80)).all(-1)
    assert dark[100:140, 260:300].sum() > 300  # up and right is an obstacle, up and left is none
    assert dark[100:140, 100:140].sum() == 0


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("n_agents=0", "greater than or equal to 1"),
        ("sight_radius=-0.5", "greater than or equal to 0"),
        ("sight_radius=inf", "finite"),
        ("reward_form=sum", "'agents' or 'landmarks'"),
        ("collision_penalty=-1", "greater than or equal to 0"),
        ("n_obstacles=-1", "greater than or equal to 0"),
        ("ground=0.5", "greater than or equal to 1.25"),
        ("sight=1", "Unknown setting 'env_args.sight'"),
    ],
)
def test_wrong_settings_are_a_users_error(word, message):
    with pytest.raises(UserError, match=message) as error:
        resolve("asae", "spread_paper", [f"env_args.{word}"])
    assert word.split("=")[0] in str(error.value)


def test_the_defaults_are_the_papers():
    options = resolve("asae", "spread_paper", [])
    assert options.env_args == SpreadPaperArgs()
    assert (options.env_args.time_limit, options.env_args.reward_form, options.learner.gamma) == (150, "agents", 0.98)
