"""The scripted players of battles."""

import numpy as np
import pytest

from core.errors import UserError
from envs.adapters.starcraft2 import StarCraft2Args
from envs.baselines import play
from envs.battle.battle import Battle, BattleArgs
from envs.battle.units import HEAL
from envs.scripted import make_player

PLAYERS = ("random", "noop", "attack_nearest", "focus_fire")


def make(name, map_name="3m", n_envs=1, **args):
    """A fresh battle, its player, and what the player does at a step."""
    env = Battle(n_envs, BattleArgs(map_name=map_name, **args))
    player = make_player(name, env="battle", env_args=env.args, team=env.spec.teams[0])
    player.begin(n_envs)
    return env, player, lambda step: player.act(step.teams[0], np.random.default_rng(0))


def reset(env):
    return env.reset(np.arange(env.n_envs), np.arange(env.n_envs, dtype=np.uint64))


def stand(env, **fields):
    """Put the units of the only battle so, after a step, and show them."""
    units = env.simulator.units[0]
    step = env.step((np.where(env._out.teams[0].available[..., 0], 0, 1),), np.ones(1, bool))
    for field, values in fields.items():
        units[field] = values
    units["alive"] = units["health"] > 0
    env._show(np.ones(1, bool))
    return step


@pytest.mark.parametrize("name", PLAYERS)
@pytest.mark.parametrize("map_name", ["MMM2", "corridor", "1c3s5z"])
def test_players_take_available_actions(name, map_name):
    returns, info = play("battle", {"agents": name}, 5, map_name=map_name, time_limit=60)  # step() refuses others
    assert (returns["agents"] >= 0).all()
    assert (info["dead_enemies"].sum() > 0) or name in ("random", "noop")


@pytest.mark.parametrize("map_name", ["3m", "MMM", "2s3z", "1c3s5z", "bane_vs_bane", "3s_vs_3z"])
def test_the_state_is_read_right(map_name):
    env, player, act = make("attack_nearest", map_name, n_envs=4)
    step = reset(env)
    for _ in range(25):
        step = env.step((act(step),), np.ones(4, bool))
        seen, units, n = player.see(step.teams[0].state), env.simulator.units, player.n_allies
        own, enemies = units[:, :n], units[:, n:]
        traits = env.simulator.arena.traits
        np.testing.assert_array_equal(seen.standing, own["alive"])
        np.testing.assert_array_equal(seen.living, enemies["alive"])
        up, living = own["alive"], enemies["alive"]
        for axis, name in enumerate("xy"):
            np.testing.assert_allclose(seen.own[up, axis], own[name][up], atol=1e-5)
            np.testing.assert_allclose(seen.enemies[living, axis], enemies[name][living], atol=1e-5)
        np.testing.assert_allclose(seen.strength, (enemies["health"] + enemies["shield"]) * living, rtol=1e-6)
        types = np.broadcast_to(traits["type"][n:], living.shape)
        np.testing.assert_array_equal(player.kinds["type"][seen.kinds][living], types[living])
        np.testing.assert_allclose(seen.health, own["health"] * up / traits["max_health"][:n], atol=1e-6)
        armed = up & (traits["effect"][:n] != HEAL)
        np.testing.assert_allclose(seen.cooldown[armed], own["cooldown"][armed], atol=1e-4)


def test_who_attacks_the_nearest_keeps_to_it_until_it_is_dead():
    env, player, act = make("attack_nearest")
    reset(env)
    near = {"x": [10, 10, 10, 14, 15, 25], "y": [15, 16, 17, 16, 16, 16], "health": 45}
    assert act(stand(env, **near)).tolist() == [[6, 6, 6]]
    swapped = near | {"x": [10, 10, 10, 15, 14, 25]}
    assert act(stand(env, **swapped)).tolist() == [[6, 6, 6]]
    assert act(stand(env, **swapped | {"health": [45, 45, 45, 0, 45, 45]})).tolist() == [[7, 7, 7]]
    player.restart(np.array([0]))
    assert act(stand(env, **swapped)).tolist() == [[7, 7, 7]]
    far = {"x": [10, 10, 10, 25, 25, 25], "y": [8.5, 16, 23.5, 16, 16, 16], "health": 45}
    player.restart(np.array([0]))
    assert act(stand(env, **far)).tolist() == [[4, 4, 4]]  # east


def test_medivacs_heal_the_nearest_wounded_and_marauders_leave_medivacs_alone():
    env, _, act = make("attack_nearest", "MMM")
    reset(env)
    units, traits, n = env.simulator.units[0], env.simulator.arena.traits, 10
    health, x, y = traits["max_health"].copy(), units["x"].copy(), units["y"].copy()
    health[4] = 20
    x[9], y[9] = x[4] + 1, y[4]
    medivac = n + int(np.argmax(traits["effect"][n:] == HEAL))
    x[medivac], y[medivac] = x[0] + 1, y[0]  # nearest of all to the marauders
    actions = act(stand(env, x=x, y=y, health=health))[0]
    assert actions[9] == 6 + 4
    assert actions[0] != 6 + medivac - n
    assert 6 + medivac - n in actions[2:9], "marines shoot upwards"


def test_focus_fire_leaves_alone_whom_others_will_have_killed():
    env, _, act = make("focus_fire", "8m")
    reset(env)
    places = {"x": [10.0] * 8 + [14.0] * 8, "y": np.tile(16 + 0.8 * np.arange(-4, 4), 2)}
    shots = np.bincount(act(stand(env, health=[*[45] * 8, 7, 12, *[45] * 6], cooldown=0.0, **places))[0] - 6)
    assert shots[:2].tolist() == [2, 2]  # 6 of damage each
    assert shots.sum() == 8


def test_focus_fire_waits_for_who_comes_and_steps_back_while_it_reloads():
    env, _, act = make("focus_fire", "3s_vs_3z")
    reset(env)
    places = {"y": [15, 16, 17, 15, 16, 17], "health": [80.0] * 3 + [100] * 3}
    assert act(stand(env, x=[8.0] * 3 + [20] * 3, cooldown=0.0, **places)).tolist() == [[1, 1, 1]]
    assert act(stand(env, x=[8.0] * 3 + [19] * 3, cooldown=0.0, **places)).tolist() == [[1, 1, 1]]
    assert act(stand(env, x=[8.0] * 3 + [19] * 3, cooldown=0.0, **places)).tolist() == [[4, 4, 4]], "they stand still"
    close = {"x": [10.0] * 3 + [11.8] * 3, **places}
    assert set(act(stand(env, cooldown=0.0, **close))[0]) <= {6, 7, 8}
    assert act(stand(env, cooldown=20.0, **close)).tolist() == [[5, 5, 5]], "west"


def test_the_wounded_step_back_from_shooters_whose_nearest_they_are():
    env, _, act = make("focus_fire")
    reset(env)
    places = {"x": [10.0, 9, 9, 14, 14, 14], "y": [16.0, 15, 17, 15.5, 16, 16.5], "cooldown": 10.0}
    assert set(act(stand(env, health=[45.0] * 6, **places))[0]) <= {6, 7, 8}
    assert act(stand(env, health=[20.0, *[45] * 5], **places))[0, 0] == 5, "west"
    assert act(stand(env, health=[45.0, 20, 20, *[45] * 3], **places))[0, 1] in (6, 7, 8), "others are nearer to them"
    for soon in (0.0, 7.0):
        hurt = stand(env, health=[20.0, *[45] * 5], **places | {"cooldown": soon})
        assert act(hurt)[0, 0] in (6, 7, 8), "it shoots first, in this step"


def test_better_players_fare_better():
    won = {
        (name, player): play("battle", {"agents": player}, 30, map_name=name)[1]["battle_won"].mean()
        for name, player in [
            ("3m", "random"), ("2s3z", "random"), ("2s3z", "focus_fire"), ("MMM2", "attack_nearest"),
            ("corridor", "attack_nearest"), ("3m", "focus_fire"),
        ]
    }  # fmt: skip
    assert won["3m", "random"] <= 0.1
    assert won["2s3z", "random"] <= 0.1
    assert won["2s3z", "focus_fire"] >= 0.7
    assert won["3m", "focus_fire"] >= 0.9
    assert won["MMM2", "attack_nearest"] <= 0.2
    assert won["corridor", "attack_nearest"] <= 0.2


def test_starcraft_has_the_same_players():
    """They read SMAC's state, which battle and sc2 have alike (tests/sc2 compares the two)."""
    env, _, act = make("focus_fire", "MMM2", n_envs=3)
    args = StarCraft2Args(map_name="MMM2")
    other = make_player("focus_fire", env="sc2", env_args=args, team=env.spec.teams[0])
    other.begin(3)
    step = reset(env)
    for _ in range(15):
        actions = act(step)
        np.testing.assert_array_equal(actions, other.act(step.teams[0], np.random.default_rng(0)))
        step = env.step((actions,), np.ones(3, bool))


def test_enemies_are_known_by_their_columns_not_by_their_numbers():
    """StarCraft II reports mixed enemies in an order of its own."""
    env, player, act = make("focus_fire", "2s3z", n_envs=2)
    step = reset(env)
    for _ in range(20):
        step = env.step((act(step),), np.ones(2, bool))
    state, width = step.teams[0].state.copy(), player._widths.state_enemy
    start = player.n_allies * player._widths.state_ally
    enemies = state[:, start : start + 5 * width].reshape(2, 5, width)
    order = np.array([4, 2, 0, 1, 3])
    shuffled, first = state.copy(), player.see(state)
    assert len(np.unique(first.kinds[first.living])) == 2
    shuffled[:, start : start + 5 * width] = enemies[:, order].reshape(2, -1)
    for field in ("enemies", "living", "strength", "kinds"):
        np.testing.assert_array_equal(getattr(player.see(shuffled), field), getattr(first, field)[:, order])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (StarCraft2Args(map_name="3mm"), "Unknown map env_args.map_name=3mm"),
        (BattleArgs(obs_instead_of_state=True), "obs_instead_of_state=False"),
    ],
)
def test_players_say_what_they_need(args, message):
    team = Battle(1, BattleArgs()).spec.teams[0]
    with pytest.raises(UserError, match=message):
        make_player("attack_nearest", env="sc2", env_args=args, team=team)
