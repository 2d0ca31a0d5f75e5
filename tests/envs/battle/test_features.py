"""Sizes, observations, state and available actions against the table of SMAC and a slow reference."""

import numpy as np
import pytest
from situations import shaken_units
from slow_reference import Reference

from envs.battle.features import show
from envs.battle.layout import Shown, make_layout, sizes
from envs.battle.maps import load_map, map_names
from envs.battle.outcome import largest_return

TABLE = {  # allies, enemies, limit, actions, observation, state: computed by the package smac (d6aab33f)
    "3m": (3, 3, 60, 9, 30, 48),
    "8m": (8, 8, 120, 14, 80, 168),
    "25m": (25, 25, 150, 31, 250, 950),
    "5m_vs_6m": (5, 6, 70, 12, 55, 98),
    "8m_vs_9m": (8, 9, 120, 15, 85, 179),
    "10m_vs_11m": (10, 11, 150, 17, 105, 243),
    "27m_vs_30m": (27, 30, 180, 36, 285, 1170),
    "MMM": (10, 10, 150, 16, 160, 290),
    "MMM2": (10, 12, 180, 18, 176, 322),
    "2s3z": (5, 5, 120, 11, 80, 120),
    "3s5z": (8, 8, 150, 14, 128, 216),
    "3s5z_vs_3s6z": (8, 9, 170, 15, 136, 230),
    "3s_vs_3z": (3, 3, 150, 9, 36, 54),
    "3s_vs_4z": (3, 4, 200, 10, 42, 61),
    "3s_vs_5z": (3, 5, 250, 11, 48, 68),
    "1c3s5z": (9, 9, 180, 15, 162, 270),
    "2m_vs_1z": (2, 1, 150, 7, 16, 26),
    "corridor": (6, 24, 400, 30, 156, 282),
    "6h_vs_8z": (6, 8, 150, 14, 78, 140),
    "2s_vs_1sc": (2, 1, 300, 7, 17, 27),
    "so_many_baneling": (7, 32, 100, 38, 202, 397),
    "bane_vs_bane": (24, 24, 200, 30, 336, 984),
    "2c_vs_64zg": (2, 64, 400, 70, 332, 342),
}


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("3m", (0, 0, 0)),
        ("3s5z", (0, 0, 0, 1, 1, 1, 1, 1)),
        ("MMM2", (0, 0, 1, 1, 1, 1, 1, 1, 1, 2)),
        ("1c3s5z", (0, 1, 1, 1, 2, 2, 2, 2, 2)),
        ("bane_vs_bane", (0, 0, 0, 0, *[1] * 20)),
    ],
)
def test_types_in_the_order_of_the_agents(name, types):
    assert load_map(name).ally_types == types


def test_all_maps_are_there():
    assert set(map_names()) == set(TABLE)
    assert len(TABLE) == 23


@pytest.mark.parametrize("name", TABLE)
def test_sizes(name):
    battle_map = load_map(name)
    layout = make_layout(battle_map, limit=battle_map.limit)
    widths = sizes(layout)
    found = (battle_map.n_allies, battle_map.n_enemies, battle_map.limit, layout.n_actions, widths.obs, widths.state)
    assert found == TABLE[name]


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("3m", 365),
        ("8m", 640),
        ("2m_vs_1z", 360),
        ("3s_vs_3z", 680),
        ("MMM2", 1205),
        ("3s5z", 1510),
        ("1c3s5z", 1870),
        ("2c_vs_64zg", 3080),
    ],
)
def test_largest_return(name, largest):
    assert largest_return(make_layout(load_map(name), limit=1)) == largest


def write(layout, units, last, time):
    widths, n_allies = sizes(layout), layout.n_allies
    obs = np.full((n_allies, widths.obs), np.nan, np.float32)
    state = np.full(widths.state, np.nan, np.float32)
    available = np.ones((n_allies, layout.n_actions), bool)
    show(layout, widths, units, last, time, obs, state, available)
    return obs, state, available


OPTIONS = [
    Shown(),
    Shown(last_action=True, pathing_grid=True, terrain_height=True, timestep=True, state_timestep=True),
    Shown(all_health=False, own_health=False, state_last_action=False),
    Shown(all_health=False, terrain_height=True),
    Shown(own_health=False, pathing_grid=True),
]


@pytest.mark.parametrize("shown", OPTIONS, ids=lambda shown: "-".join(str(int(flag)) for flag in shown))
@pytest.mark.parametrize("name", list(TABLE))
def test_all_that_is_shown_equals_the_slow_reference(name, shown):
    battle_map, rng = load_map(name), np.random.default_rng(len(name))
    layout = make_layout(battle_map, shown=shown, limit=77)
    for time in range(3):
        units = shaken_units(battle_map, rng)
        last = rng.integers(0, layout.n_actions, battle_map.n_allies) if time else None
        obs, state, available = write(layout, units, np.full(battle_map.n_allies, -1) if last is None else last, time)
        slow = Reference(battle_map, units, last, time, shown, 77)
        agents = range(battle_map.n_allies)
        np.testing.assert_array_equal(available, [slow.available(i) for i in agents])
        np.testing.assert_allclose(obs, [slow.obs(i) for i in agents], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(state, slow.state(), rtol=1e-6, atol=1e-7)


def test_move_amount_decides_where_moves_are_looked_for():
    battle_map = load_map("3m")
    units = shaken_units(battle_map, np.random.default_rng(0))
    units["x"], units["y"], units["alive"] = 16, 21.5, True
    for amount, north in ((2, True), (5, False)):  # y = 22.5 is walkable, 24 is not
        available = write(make_layout(battle_map, limit=60, move_amount=amount), units, np.full(3, -1), 0)[2]
        assert available[0, 2:6].tolist() == [north, True, True, True]


def test_ranges_of_sight_and_fire():
    battle_map = load_map("3m")
    layout = make_layout(battle_map, limit=60)
    units = shaken_units(battle_map, np.random.default_rng(0))
    units["alive"], units["y"] = True, 16
    units["x"] = [10, 12, 14, 16, 16.001, 19]
    obs, _, available = write(layout, units, np.full(3, -1), 0)
    assert available[0, 6:].tolist() == [True, False, False]  # 6 counts
    enemies = obs[0, 4 : 4 + 15].reshape(3, 5)
    assert enemies[:, 0].tolist() == [1, 0, 0]
    assert (enemies[:, 1] > 0).tolist() == [True, True, False]  # 9 does not
