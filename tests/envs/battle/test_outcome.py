"""Rewards and ends against a slow reference and by hand."""

import numpy as np
import pytest
from situations import shaken_units
from slow_reference import reward as slow_reward

from envs.battle.layout import make_layout
from envs.battle.maps import load_map
from envs.battle.outcome import DRAWN, LOST, ONGOING, WON, RewardRule, outcome, remember, reward


def change(units, rng):
    """The units after a step: wounds, regeneration, deaths."""
    after = units.copy()
    after["alive"] &= rng.random(len(units)) < 0.7
    for kind in ("health", "shield"):
        after[kind] = np.maximum(after[kind] + rng.uniform(-20, 5, len(units)), 0.5) * after["alive"]
    return after


@pytest.mark.parametrize("only_positive", [True, False])
@pytest.mark.parametrize("name", ["3m", "MMM2", "1c3s5z", "corridor"])
def test_reward_equals_the_slow_reference(name, only_positive):
    battle_map, rng = load_map(name), np.random.default_rng(0)
    rule = RewardRule(
        only_positive=only_positive, death_value=7.0, negative_scale=0.3, win=50.0, defeat=-20.0, divisor=3.0
    )
    bonus = {ONGOING: 0, WON: 50, LOST: -20, DRAWN: 0}
    for _ in range(40):
        units = shaken_units(battle_map, rng)
        after, before = change(units, rng), np.zeros(len(units))
        remember(units, before)
        expected = slow_reward(
            units, after, battle_map.n_allies, only_positive=only_positive, death_value=7, negative_scale=0.3
        )
        for result, extra in bonus.items():
            found = reward(rule, battle_map.n_allies, before, after, result)
            assert found == pytest.approx((expected + extra) / 3)


def test_regeneration_alone_is_rewarded_by_its_absolute_value():
    """SMAC's quirk: abs() where only positive rewards count."""
    battle_map = load_map("3s_vs_3z")
    units = shaken_units(battle_map, np.random.default_rng(0))
    units["alive"], units["shield"] = True, 10
    before = np.zeros(len(units))
    remember(units, before)
    units["shield"][3] += 1.5
    assert reward(RewardRule(), 3, before, units, ONGOING) == pytest.approx(1.5)
    assert reward(RewardRule(only_positive=False), 3, before, units, ONGOING) == pytest.approx(-1.5)


def test_sparse_rewards_are_scaled_too():
    before, units = np.zeros(6), np.zeros(6, shaken_units(load_map("3m"), np.random.default_rng(0)).dtype)
    for result, value in {ONGOING: 0, WON: 1, LOST: -1, DRAWN: 0}.items():
        assert reward(RewardRule(sparse=True, divisor=4.0), 3, before, units, result) == value / 4


@pytest.mark.parametrize(
    ("name", "alive", "result"),
    [
        ("3m", "111111", ONGOING),
        ("3m", "000001", LOST),
        ("3m", "010000", WON),
        ("3m", "000000", DRAWN),
        # MMM: marauders 0-1, marines 2-8, medivac 9; enemy marines 10-16, marauders 17-18, medivac 19
        ("MMM", "0000000001" + "1000000000", LOST),
        ("MMM", "1000000000" + "0000000001", WON),
        ("MMM", "1000000000" + "0000000010", ONGOING),
        ("MMM", "0000000001" + "0000000000", LOST),
        ("MMM", "0000000000" + "0000000000", LOST),
        ("MMM", "0000000001" + "0000000001", LOST),
    ],
)
def test_ends(name, alive, result):
    battle_map = load_map(name)
    units = shaken_units(battle_map, np.random.default_rng(0))
    units["alive"] = [flag == "1" for flag in alive]
    assert outcome(make_layout(battle_map, limit=1), units) == result
