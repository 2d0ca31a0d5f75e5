import importlib

import numpy as np
import pytest

from core.errors import UserError
from envs.adapters.pettingzoo_env import PettingZoo
from envs.conformance import check_env
from envs.workers.worker import MAX_DEATHS_IN_A_ROW


def make(n_envs=1, **env_args):
    return PettingZoo(n_envs, PettingZoo.Args(**env_args))


def toy(n_envs=1, **env_args):
    return make(n_envs, key="toy_envs", **env_args)


@pytest.fixture
def closing():
    envs = []
    yield lambda env: envs.append(env) or env
    for env in envs:
        env.close()


def rollout(env, steps, seed=7):
    """Play all zeros; return copies of (obs, available, rewards, terminated, truncated) of slot 0, reset first."""
    zeros = np.zeros((env.n_envs, env.spec.teams[0].n_agents), np.int64)
    rows = []
    for t in range(steps + 1):
        out = (
            env.step([zeros], np.ones(env.n_envs, bool)) if t else env.reset(np.array([0]), np.array([seed], np.uint64))
        )
        team = out.teams[0]
        row = (team.obs[0], team.available[0], team.rewards[0], out.terminated[0], out.truncated[0])
        rows.append([np.array(x) for x in row])
    return rows


def test_sizes_are_padded_and_masked(closing):
    env = closing(toy())
    team = env.spec.teams[0]
    assert (team.name, team.n_agents, team.n_actions, team.obs_dim, team.reward_dim) == ("agents", 3, 4, 4, 3)
    assert (team.state_dim, team.state_is_joint_obs, env.spec.episode_limit) == (12, True, 10)
    obs, available, rewards, *_ = rollout(env, 0)[0]
    assert obs.tolist() == [[7, 0, 0, 0], [7, 7, 7, 7], [7, 7, 7, 0]]
    # Uneven forbids the action whose number is the clock
    assert available.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]]
    assert not rewards.any()


def test_masks_in_observations(closing):
    by_info, by_obs = closing(toy()), closing(toy(masks="obs"))
    for a, b in zip(rollout(by_info, 3), rollout(by_obs, 3), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("end", "flags"), [("terminate", (True, False)), ("truncate", (False, True))])
def test_agents_that_end_one_after_another(closing, end, flags):
    rows = rollout(closing(toy(end=end)), 3)
    assert [row[2].tolist() for row in rows] == [[0, 0, 0], [1, 10, 100], [0, 10, 100], [0, 0, 100]]
    assert [(bool(row[3]), bool(row[4])) for row in rows] == [(False, False)] * 3 + [flags]
    obs, available = rows[1][:2]
    assert obs.tolist() == [[0, 0, 0, 0], [8, 8, 8, 8], [8, 8, 8, 0]], "the dead see nothing"
    assert available.tolist() == [[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]], "and can only choose action 0"
    obs, available = rows[3][:2]
    assert obs.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [10, 10, 10, 0]], "the last one's view counts in the bootstrap"
    assert available.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]


def test_one_agent_stopped_by_the_clock_makes_a_truncation(closing):
    last = rollout(closing(toy(end="truncate", together=True)), 3)[-1]
    assert (bool(last[3]), bool(last[4])) == (False, True)
    assert last[2].tolist() == [1, 10, 100]
    assert last[0][:, 0].tolist() == [10, 10, 10]


def test_the_time_limit_truncates(closing):
    env = closing(toy(time_limit=2))
    assert env.spec.episode_limit == 2
    rows = rollout(env, 2)
    assert [(bool(row[3]), bool(row[4])) for row in rows] == [(False, False), (False, False), (False, True)]
    assert rows[-1][2].tolist() == [0, 10, 100]


def test_own_state(closing):
    env = closing(toy(state="env"))
    assert (env.spec.teams[0].state_dim, env.spec.teams[0].state_is_joint_obs) == (2, False)
    out = env.reset(np.array([0]), np.array([7], np.uint64))
    assert out.teams[0].state.tolist() == [[0, 1]]
    out = env.step([np.zeros((1, 3), np.int64)], np.ones(1, bool))
    assert out.teams[0].state.tolist() == [[1, 1]]


def test_who_gave_no_number_is_named(closing, capfd):
    env = closing(toy(state="env", end="nan"))
    for k in range(MAX_DEATHS_IN_A_ROW):
        env.reset(np.array([0]), np.array([k], np.uint64))
        assert env.step([np.zeros((1, 3), np.int64)], np.ones(1, bool)).failed.all()
    with pytest.raises(UserError, match=r"the last time the state is nan after the reset \(entry 1\)"):
        env.reset(np.array([0]), np.array([7], np.uint64))
    env = closing(toy(end="nan obs"))
    env.reset(np.array([0]), np.array([7], np.uint64))
    capfd.readouterr()
    assert env.step([np.zeros((1, 3), np.int64)], np.ones(1, bool)).failed.all()
    assert "the observation of agent b is nan in step 1 (entry 0)" in capfd.readouterr().err


def test_rendering(closing):
    env = closing(toy())
    rollout(env, 1)
    assert env.spec.can_render
    assert env.render().shape == (2, 3, 3)


def test_conformance(closing):
    check_env(closing(toy(3)), other=closing(toy(1)))
    check_env(closing(make(3)), other=closing(make(2, n_workers=1)), episodes=4)


@pytest.mark.parametrize("name", ["simple_spread_v3", "simple_speaker_listener_v4"])
def test_equal_to_mpe2_stepped_directly(closing, name):
    direct = importlib.import_module(f"mpe2.{name}").parallel_env()
    env = closing(make(2, key=f"mpe2.{name}"))
    agents = direct.possible_agents
    rng = np.random.default_rng(3)
    obs, _ = direct.reset(seed=11)
    out = env.reset(np.arange(2), np.array([5, 11], np.uint64))
    for t in range(26):
        for i, agent in enumerate(agents):
            size = len(obs[agent])
            np.testing.assert_array_equal(out.teams[0].obs[1, i, :size], obs[agent])
            assert not out.teams[0].obs[1, i, size:].any()
            assert out.teams[0].available[1, i].sum() == direct.action_space(agent).n
        if t == 25:
            break
        assert not out.truncated.any()
        actions = np.array([[rng.integers(direct.action_space(agent).n) for agent in agents] for _ in range(2)])
        obs, rewards, *_ = direct.step(dict(zip(agents, actions[1].tolist(), strict=True)))
        out = env.step([actions], np.ones(2, bool))
        np.testing.assert_allclose(out.teams[0].rewards[1], [rewards[agent] for agent in agents], rtol=1e-6)
    assert out.truncated.all()
    assert not out.terminated.any()


def test_arguments_reach_the_environment(closing):
    env = closing(make(key="mpe2.simple_spread_v3", N=4, max_cycles=7))
    assert (env.spec.teams[0].n_agents, env.spec.episode_limit) == (4, 7)
    env = closing(make(key="toy_envs:Uneven", max_cycles=5))
    assert env.spec.episode_limit == 5


@pytest.mark.parametrize(
    ("env_args", "reason"),
    [
        ({"key": "mpe2.simple_spread_v3", "max_cycle": 9}, r"env_args.max_cycle .* Did you mean 'max_cycles'\? .* N, "),
        ({"key": "mpe2.simple_spread_v3", "N": "many"}, "refuses its arguments"),
        ({"key": "mpe2.simple_sprad_v3"}, r"no module 'simple_sprad_v3' in 'mpe2'. Did you mean 'simple_spread_v3'"),
        ({"key": "nowhere.at_all"}, "package 'nowhere' is not installed"),
        ({"key": "pettingzoo.mpe.simple_spread_v3"}, "mpe2"),
        ({"key": "json"}, "has no 'parallel_env'"),
        ({"key": ""}, "env_args.key= names no module"),
        ({"key": "envs.my_env"}, "'envs' is a module of this project, which hides"),
        ({"key": "plot"}, "'plot' is a module of this project, which hides"),
        ({"key": "toy_needs_ours"}, "'envs' is a module of this project, which hides"),
        ({"key": "toy_envs:Unever"}, "Did you mean 'Uneven'"),
        ({"key": "toy_envs:Lonely"}, "1 agent"),
        ({"key": "toy_envs:Continuous"}, "only Discrete"),
        ({"key": "toy_envs:Endless"}, "env_args.time_limit"),
        ({"key": "json:JSONDecoder"}, "no PettingZoo environment"),
    ],
)
def test_what_the_user_can_mend(env_args, reason):
    with pytest.raises(UserError, match=reason):
        make(**env_args)
