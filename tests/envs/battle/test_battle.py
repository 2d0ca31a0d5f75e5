"""The environment: promises of VecEnv, episodes, settings, errors, pictures."""

import numpy as np
import pytest
from situations import battle

from core.errors import UserError
from core.registry import load
from core.settings import validate
from envs import REGISTRY
from envs.battle.battle import Battle, BattleArgs
from envs.battle.outcome import largest_return
from envs.battle.picture import draw
from envs.battle.settings import REFUSED
from envs.conformance import check_env
from envs.scripted import make_player


def make(n_envs=1, **args):
    return Battle(n_envs, BattleArgs(**args))


def fighter(env):
    """TimeStep -> actions of a team that attacks."""
    player = make_player("attack_nearest", env="battle", env_args=env.args, team=env.spec.teams[0])
    player.begin(env.n_envs)
    return lambda step: player.act(step.teams[0], np.random.default_rng(0))


def settings(**args):
    return validate(BattleArgs, args, {}, "env_args.")


def first_available(step):
    return step.teams[0].available.argmax(-1)


@pytest.mark.parametrize("name", ["3m", "MMM2", "2m_vs_1z", "corridor", "2c_vs_64zg", "so_many_baneling"])
def test_conformance(name):
    args = {"map_name": name, "time_limit": 40}
    check_env(make(3, **args), other=make(2, **args), episodes=4)


def test_conformance_with_all_options():
    args = BattleArgs(
        map_name="1c3s5z",
        time_limit=30,
        obs_last_action=True,
        obs_pathing_grid=True,
        obs_terrain_height=True,
        obs_timestep_number=True,
        obs_instead_of_state=True,
        reward_only_positive=False,
    )
    env = Battle(2, args)
    assert env.spec.teams[0].state_is_joint_obs
    check_env(env, episodes=3)


def test_its_teams_types_are_the_maps():
    assert make(map_name="2s3z").spec.teams[0].types == (0, 0, 1, 1, 1)


def test_it_is_registered():
    assert load(REGISTRY, "battle", "environment") is Battle


def test_an_episode_that_reaches_its_limit_is_truncated():
    env = make(map_name="3m", time_limit=3)
    step = env.reset(np.array([0]), np.array([0], np.uint64))
    for time in range(1, 4):
        step = env.step((np.ones((1, 3), np.int64),), np.ones(1, bool))
        assert not step.terminated[0]
        assert step.truncated[0] == (time == 3)
    assert env.spec.episode_limit == 3
    assert make(map_name="3m").spec.episode_limit == 60


def test_a_victory_returns_twenty_and_tells_the_dead():
    env = make(map_name="3m")
    env.reset(np.array([0]), np.array([0], np.uint64))
    units = env.simulator.units[0]
    units["health"][3:] = 1e-3  # the next hits kill
    units["x"][3:], units["y"][3:] = units["x"][:3] + 4, units["y"][:3]
    env.simulator.arena.traits["range"][3:] = 0.0
    step = env.reset(np.array([], np.int64), np.array([], np.uint64))
    env._show(np.ones(1, bool))
    total = 0.0
    for _ in range(10):
        step = env.step((np.array([[6, 7, 8]]),), np.ones(1, bool))
        total += step.teams[0].rewards[0, 0]
        if step.terminated[0]:
            break
    assert step.terminated[0]
    assert {key: value[0] for key, value in step.info.items()} == {
        "battle_won": 1,
        "dead_allies": 0,
        "dead_enemies": 3,
    }
    assert total == pytest.approx((3 * (10 + 1e-3) + 200) / (365 / 20), rel=1e-5)
    assert step.teams[0].available[0, 0, 1]


def test_rewards_of_a_whole_battle_sum_to_what_was_lost():
    """Without regeneration the return is the damage, the kills and the end, scaled to 20."""
    env = make(8, map_name="8m", reward_scale_rate=20)
    act = fighter(env)
    step = env.reset(np.arange(8), np.arange(8, dtype=np.uint64))
    total, active = np.zeros(8), np.ones(8, bool)
    while active.any():
        step = env.step((act(step),), active)
        total[active] += step.teams[0].rewards[active, 0]
        active = active & ~(step.terminated | step.truncated)
    lost = 8 * 45 - env.simulator.units["health"][:, 8:].sum(1)
    expected = lost + 10 * step.info["dead_enemies"] + 200 * step.info["battle_won"]
    np.testing.assert_allclose(total, expected / (largest_return(env.layout) / 20), rtol=1e-5)
    np.testing.assert_allclose(total[step.info["battle_won"] == 1], 20, rtol=1e-5)


def test_moves_and_attacks_become_orders():
    env = make(map_name="3m")
    env.reset(np.array([0]), np.array([1], np.uint64))
    units = env.simulator.units[0]
    units["x"][:3], units["y"][:3] = (5, 8, 11), (12, 16, 20)
    step = env.step((np.array([[2, 5, 1]]),), np.ones(1, bool))
    np.testing.assert_allclose(units["x"][:3], [5, 8 - 2.25 / 2, 11])
    np.testing.assert_allclose(units["y"][:3], [12 + 2.25 / 2, 16, 20])
    last = step.teams[0].state[0, -27:].reshape(3, 9)
    assert last.argmax(-1).tolist() == [2, 5, 1]
    assert (last.sum(-1) == 1).all()


def test_an_action_that_is_not_available_is_an_error():
    env = make(2, map_name="3m")
    env.reset(np.arange(2), np.arange(2, dtype=np.uint64))
    for action in (0, 6, 9, -1):
        actions = np.ones((2, 3), np.int64)
        actions[1, 2] = action
        with pytest.raises(ValueError, match=f"slot 1: agent 2 cannot take action {action}"):
            env.step((actions,), np.ones(2, bool))
        env.step((actions,), np.array([True, False]))  # who rests may hold anything
    with pytest.raises(ValueError, match="actions must be"):
        env.step((np.ones((2, 2), np.int64),), np.ones(2, bool))


def test_unknown_maps_are_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"Unknown map env_args.map_name=MMM3. Did you mean 'MMM2?'\? Known: 3m, 8m"):
        settings(map_name="MMM3")


@pytest.mark.parametrize("limit", [0, -5])
def test_limits_start_at_one(limit):
    with pytest.raises(UserError, match=f"env_args.time_limit={limit}: must be greater than or equal to 1"):
        settings(time_limit=limit)


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_what_smac_has_and_battle_has_not_is_refused_with_the_reason(key):
    with pytest.raises(UserError, match=f"battle has no env_args.{key}: "):
        settings(**{key: 1})


def test_other_settings_are_checked():
    with pytest.raises(UserError, match="step_mul=4: battle has 8 game loops per step"):
        settings(step_mul=4)
    assert settings(step_mul=8).step_mul == 8
    with pytest.raises(UserError, match=r"Unknown setting 'env_args.reward_loss'\. Did you mean"):
        settings(reward_loss=1)
    with pytest.raises(UserError, match="move_amount=0"):
        settings(move_amount=0)
    with pytest.raises(UserError, match="not negative"):
        settings(reward_win=-300)
    assert settings(reward_win=-300, reward_scale=False).reward_win == -300


@pytest.mark.parametrize("name", ["3m", "MMM2", "2c_vs_64zg", "corridor"])
def test_pictures_show_both_sides_and_change(name):
    env = make(map_name=name)
    act = fighter(env)
    step = env.reset(np.array([0]), np.array([0], np.uint64))
    first = env.render(0)
    assert first.dtype == np.uint8
    assert first.ndim == 3
    blue = (first[..., 2] > 180) & (first[..., 0] < 120)
    red = (first[..., 0] > 180) & (first[..., 2] < 120)
    assert blue.sum() > 100
    assert red.sum() > 100
    for _ in range(12):
        step = env.step((act(step),), np.ones(1, bool))
    assert env.render(0).shape == first.shape
    assert (env.render(0) != first).any()


def green(*allies):
    frame = draw(battle([*allies], [("zealot", 25, 10)]), 0, step=0, limit=10).astype(int)
    return ((frame[..., 1] > 150) & (frame[..., 0] < 90) & (frame[..., 2] < 110)).sum()


def test_the_bars_of_units_in_a_crowd_are_all_seen():
    zealot = green(("zealot", 10, 16)) / 2  # the enemy's bar
    one = green(("marine", 10, 16)) - zealot
    crowd = green(("marine", 10, 16), ("marine", 10, 16.76), ("marine", 10, 17.52)) - zealot
    assert crowd > 0.7 * 3 * one > 0  # antialiasing shades an edge here and there
