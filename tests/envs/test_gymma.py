import gymnasium
import numpy as np
import pytest

from core.errors import UserError
from envs.adapters.gymma import Gymma
from envs.conformance import check_env

LBF = "lbforaging:Foraging-8x8-2p-3f-v3"


def make(n_envs=1, **env_args):
    return Gymma(n_envs, Gymma.Args(**env_args))


@pytest.fixture
def closing():
    envs = []
    yield lambda env: envs.append(env) or env
    for env in envs:
        env.close()


def flags(env, steps):
    """Play zeros for some steps; return the (terminated, truncated) of each."""
    env.reset(np.array([0]), np.array([1], np.uint64))
    zeros = np.zeros((1, env.spec.teams[0].n_agents), np.int64)
    return [
        (bool(out.terminated[0]), bool(out.truncated[0]))
        for out in (env.step([zeros], np.ones(1, bool)) for _ in range(steps))
    ]


def direct_lbf(**kwargs):
    return gymnasium.make(LBF, disable_env_checker=True, **kwargs).unwrapped


@pytest.mark.parametrize("seed", [3, 8])
def test_equal_to_lbf_stepped_directly(closing, seed):
    env, direct = closing(make(2)), direct_lbf()
    obs, _ = direct.reset(seed=seed)
    out = env.reset(np.arange(2), np.array([1, seed], np.uint64))
    rng = np.random.default_rng(seed)
    for t in range(1, 51):
        np.testing.assert_array_equal(out.teams[0].obs[1], np.stack(obs))
        actions = rng.integers(0, 6, (2, 2))
        obs, rewards, done, _, _ = direct.step(actions[1].tolist())
        out = env.step([actions], np.array([t == 1, True]))
        np.testing.assert_allclose(out.teams[0].rewards[1], rewards, rtol=1e-6)
        assert bool(out.terminated[1] or out.truncated[1]) == done
        if done:
            break
    assert out.truncated[1]


def fetch_all_food(direct):
    """Return joint actions that collect all food of an LBF world, found by walking agent after agent to it."""
    plan = []

    def move(i, action):
        joint = [0, 0]
        joint[i] = action
        plan.append(joint)
        return direct.step(joint)

    for _ in range(600):
        foods = np.argwhere(direct.field)
        if not len(foods):
            return plan
        food = foods[0]
        beside = []
        for i, player in enumerate(direct.players):
            away = food - np.array(player.position)
            if abs(away).sum() == 1:
                beside.append(i)
                continue
            row, column = away
            moves = ([2 if row > 0 else 1] if row else []) + ([4 if column > 0 else 3] if column else [])
            wiggle = [int(a) for a in np.random.default_rng(len(plan)).permutation([1, 2, 3, 4])]
            before = player.position
            for action in moves + wiggle:
                move(i, action)
                if player.position != before:
                    break
        if len(beside) == 2 or any(direct.players[i].level >= direct.field[tuple(food)] for i in beside):
            joint = [5 if i in beside else 0 for i in range(2)]
            plan.append(joint)
            direct.step(joint)
    raise AssertionError("the food could not be fetched")


@pytest.mark.parametrize("on_the_last_step", [False, True])
def test_lbf_terminates_with_the_last_food_alone(closing, on_the_last_step):
    """Even where it is collected in the last step that the time limit allows."""
    direct = direct_lbf(max_num_food=1, force_coop=False, min_food_level=[1], max_food_level=[1])
    direct._max_episode_steps = 10**6
    direct.reset(seed=4)
    plan = fetch_all_food(direct)
    food = {"max_num_food": 1, "force_coop": False, "min_food_level": [1], "max_food_level": [1]}
    env = closing(make(key=LBF, time_limit=len(plan) if on_the_last_step else 500, **food))
    env.reset(np.array([0]), np.array([4], np.uint64))
    for joint in plan:
        out = env.step([np.array([joint])], np.ones(1, bool))
    assert (bool(out.terminated[0]), bool(out.truncated[0])) == (True, False)
    assert out.teams[0].rewards.sum() == pytest.approx(1.0)


def test_time_outs_truncate(closing):
    env = closing(make())
    assert env.spec.episode_limit == 50
    assert flags(env, 50) == [(False, False)] * 49 + [(False, True)]
    env = closing(make(time_limit=60))
    assert env.spec.episode_limit == 60, "the setting replaces the environment's own limit"
    assert flags(env, 60) == [(False, False)] * 59 + [(False, True)]
    env = closing(make(key="toy_envs:Pair-v0"))
    assert env.spec.episode_limit == 5
    assert flags(env, 3)[-1] == (True, False)
    env = closing(make(key="toy_envs:Pair-v0", end=99))
    assert flags(env, 5)[-1] == (True, False), "an unknown environment is taken at its word"
    env = closing(make(key="toy_envs:Pair-v0", end=99, time_limit=4))
    assert flags(env, 4)[-1] == (False, True)
    env = closing(make(key="toy_envs:PairLimit-v0"))
    assert flags(env, 2)[-1] == (False, True)


def test_sizes_and_rewards(closing):
    env = closing(make(key="toy_envs:Pair-v0"))
    team = env.spec.teams[0]
    assert (team.n_agents, team.n_actions, team.obs_dim, team.reward_dim, team.state_dim) == (2, 3, 4, 2, 8)
    out = env.reset(np.array([0]), np.array([1], np.uint64))
    assert out.teams[0].available.tolist() == [[[True, True, False], [True, True, True]]]
    out = env.step([np.zeros((1, 2), np.int64)], np.ones(1, bool))
    assert out.teams[0].obs.tolist() == [[[1, 1, 1, 1], [-1, -1, -1, 0]]]
    assert out.teams[0].rewards.tolist() == [[1, 2]]
    env = closing(make(key="toy_envs:Pair-v0", team=True))
    env.reset(np.array([0]), np.array([1], np.uint64))
    assert env.spec.teams[0].reward_dim == 1
    assert env.step([np.zeros((1, 2), np.int64)], np.ones(1, bool)).teams[0].rewards.tolist() == [[1.5]]


@pytest.mark.parametrize("key", [LBF, "rware:rware-tiny-2ag-v2", "toy_envs:Pair-v0"])
def test_conformance(closing, key):
    limit = {"time_limit": 40} if "Pair" not in key else {}
    check_env(closing(make(3, key=key, **limit)), other=closing(make(2, key=key, n_workers=1, **limit)), episodes=4)


@pytest.mark.parametrize(
    ("env_args", "reason"),
    [
        ({"key": "lbforaging:Foraging-8x8-2p-3f-v9"}, r"no environment '.*-v9'. Did you mean '[^']*-v3'\?$"),
        ({"key": "Nothing-v0"}, r"knows no environment 'Nothing-v0'\. Put the package"),
        ({"key": "nowhere:Nothing-v0"}, "package 'nowhere' is not installed"),
        ({"key": "CartPole-v1"}, "has one agent"),
        ({"key": "pz-mpe-simple-spread-v3"}, "--env-config=pettingzoo"),
        ({"key": LBF, "penaltie": 1}, r"env_args.penaltie .* Did you mean 'penalty'"),
    ],
)
def test_what_the_user_can_mend(env_args, reason):
    with pytest.raises(UserError, match=reason):
        make(**env_args)
