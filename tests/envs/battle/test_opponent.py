"""Whom the scripted opponent attacks."""

import numpy as np
import pytest
from situations import battle, order, put, run

from envs.baselines import play
from envs.battle.maps import TO_ALLIES
from envs.battle.state import ATTACK

MARINES_NEAR_AND_FAR = [("marine", 16, 19), ("marine", 16, 21)]


def target_of(simulator, enemy):
    return int(simulator.units["target"][0, enemy])


def test_among_those_who_do_not_attack_the_nearest_comes_first():
    simulator = battle(MARINES_NEAR_AND_FAR, [("zealot", 16, 16)])
    run(simulator, 4, order(simulator, ("stop",), ("stop",)))
    assert target_of(simulator, 2) == 0


def test_who_attacks_comes_before_who_is_nearer():
    simulator = battle(MARINES_NEAR_AND_FAR, [("zealot", 16, 16)])
    run(simulator, 8, order(simulator, ("stop",), ("attack", 2)))
    assert target_of(simulator, 2) == 1


def test_who_attacks_somebody_else_does_not():
    simulator = battle(MARINES_NEAR_AND_FAR, [("zealot", 16, 16), ("zealot", 11, 21)])
    run(simulator, 8, order(simulator, ("stop",), ("attack", 3)))
    assert target_of(simulator, 2) == 0
    assert target_of(simulator, 3) == 1


def test_who_is_still_on_the_way_does_not_attack_yet():
    simulator = battle([("zealot", 16, 18), ("zealot", 14, 20)], [("zealot", 16, 16)])
    run(simulator, 4, order(simulator, ("stop",), ("attack", 2)))
    assert target_of(simulator, 2) == 0


def test_a_chased_marine_that_runs_hands_the_chase_to_the_one_that_shoots():
    simulator = battle([("marine", 16, 14), ("marine", 19.5, 16)], [("zealot", 16, 16)])
    run(simulator, 4, order(simulator, ("attack", 2), ("stop",)))
    assert target_of(simulator, 2) == 0
    put(simulator, 0, 16, simulator.units["y"][0, 2] - 2.5)  # out of the zealot's reach, and nearer than the other
    run(simulator, 8, order(simulator, ("move", 16, 8), ("attack", 2)))
    assert target_of(simulator, 2) == 1


def test_it_keeps_to_a_target_in_range_whoever_attacks():
    simulator = battle([("zealot", 16, 17.1), ("marine", 16, 19.5)], [("zealot", 16, 16)])
    run(simulator, 4, order(simulator, ("stop",), ("stop",)))
    assert target_of(simulator, 2) == 0
    run(simulator, 12, order(simulator, ("stop",), ("attack", 2)))
    assert target_of(simulator, 2) == 0


def test_beyond_the_scan_range_the_nearest_comes_first():
    """A stalker shoots from where a zealot does not look for targets; the map sends the zealot to the nearest ally."""
    simulator = battle([("marine", 16, 22.4), ("stalker", 16, 9)], [("zealot", 16, 16)], order=TO_ALLIES)
    stalker = simulator.units[0, 1:2]
    stalker["order"], stalker["target"], stalker["cooldown"] = ATTACK, 2, 20
    run(simulator, 4)
    assert target_of(simulator, 2) == 0


@pytest.mark.parametrize("first", [True, False])
def test_the_unarmed_come_last(first):
    """Whether the marine is there from the beginning or comes into range later."""
    simulator = battle([("medivac", 16, 18), ("marine", 16, 20 if first else 26)], [("marine", 16, 16)])
    run(simulator, 8, order(simulator, ("stop",), ("stop",)))
    assert target_of(simulator, 2) == (1 if first else 0)
    put(simulator, 1, 16, 20)
    run(simulator, 16)
    assert target_of(simulator, 2) == 1


def test_alternating_fire_wins_2m_vs_1z():
    """What SMAC's documentation calls the trick of this map; focus fire's kiting is half of it."""
    _, info = play("battle", {"agents": "focus_fire"}, 100, seed=0, map_name="2m_vs_1z")
    assert 0.3 < np.mean(info["battle_won"]) < 0.9
