"""Rules of combat by closed forms."""

import numpy as np
import pytest
from situations import battle, order, put, run

from envs.battle.combat import hit
from envs.battle.maps import TO_ALLIES, TO_POINT
from envs.battle.state import ATTACK, MOVE, STOP
from envs.battle.units import TYPE_INDEX, UNIT_TYPES, damage_table, make_traits


def hits_to_kill(attacker, target):
    """Strike until the target has no health left; returns how often."""
    simulator = battle([(attacker, 10, 16)], [(target, 20, 16)])
    units, count = simulator.units[0], 0
    while units["health"][1] > 0:
        hit(units, simulator.arena, 0, 1)
        count += 1
    return count


@pytest.mark.parametrize(
    ("attacker", "target", "hits"),
    [
        ("marine", "marine", 8),  # ceil(45 / 6)
        ("marine", "marauder", 25),  # 125 / (6 - 1)
        ("marine", "medivac", 30),
        ("marauder", "marine", 5),
        ("marauder", "marauder", 7),  # ceil(125 / 19)
        ("stalker", "zealot", 17),  # 5 for 50 of shield, ceil(100 / 9)
        ("stalker", "stalker", 12),  # 5 take 70, the 6th 10 of shield and 4 - 1, ceil(77 / 13)
        ("zealot", "zealot", 21),  # 6 take 48, the 7th 2 and 6 - 1, ceil(95 / 7)
        ("zergling", "zealot", 35),  # 10, then 100 / 4
        ("hydralisk", "zealot", 14),  # 4 take 48, the 5th 2 and 10 - 1, ceil(91 / 11)
        ("zealot", "zergling", 5),
        ("stalker", "spine_crawler", 25),  # 14 - 2
        ("spine_crawler", "stalker", 6),  # 30, 30, 20 and 10 - 1, 29, 29, 13 left
        ("colossus", "zergling", 2),
        ("baneling", "zealot", 5),  # 35, 15 and 20 - 1, 34, 34, 13 left
        ("baneling", "spine_crawler", 4),  # 80 - 2
    ],
)
def test_hits_to_kill(attacker, target, hits):
    assert hits_to_kill(attacker, target) == hits


def test_a_hit_takes_half_a_point_at_least():
    simulator = battle([("marine", 10, 16)], [("marine", 20, 16)])
    simulator.arena.traits["armor"][1] = 9
    hit(simulator.units[0], simulator.arena, 0, 1)
    assert simulator.units["health"][0, 1] == 45 - 0.5


def test_damage_table_has_the_bonus_damage():
    table = damage_table()
    for attacker, target, damage in [
        ("marauder", "stalker", 20),
        ("marauder", "zealot", 10),
        ("stalker", "colossus", 14),
        ("baneling", "hydralisk", 35),
        ("baneling", "baneling", 20),
        ("medivac", "marine", 0),
    ]:
        assert table[TYPE_INDEX[attacker], TYPE_INDEX[target]] == damage


def test_traits_are_per_game_loop():
    traits = make_traits(np.array([TYPE_INDEX["stalker"], TYPE_INDEX["medivac"]]))
    assert traits["speed"][0] * 16 == pytest.approx(2.9531)
    assert traits["period"][0] == pytest.approx(1.44 * 16)
    assert traits["acceleration"][1] * 256 == pytest.approx(2.3125)
    assert traits["energy_regeneration"][1] * 16 == pytest.approx(0.5625)
    assert [row.name for row in UNIT_TYPES] == list(TYPE_INDEX)


def damage_loops(seen, i, what=("health", "shield")):
    """The loops (from 0) in which unit i lost health or shield, and how much."""
    total = sum(seen[name][:, i] for name in what)
    lost = -np.diff(total)
    at = np.flatnonzero(lost > 0.1)
    return at + 1, lost[at]


@pytest.mark.parametrize(
    ("attacker", "target"), [("marine", "medivac"), ("stalker", "medivac"), ("hydralisk", "medivac")]
)
def test_weapon_periods_have_a_random_delay(attacker, target):
    simulator = battle([(attacker, 16, 16)], [(target, 20, 16)])
    simulator.units["health"][0, 1] = 1e6
    simulator.arena.traits["max_health"][1] = 1e6
    seen = run(simulator, 1500, order(simulator, ("attack", 1)))
    gaps = np.diff(damage_loops(seen, 1)[0])
    period = simulator.arena.traits["period"][0]
    assert gaps.min() >= np.floor(period - 1)
    assert gaps.max() <= np.ceil(period + 2) + 1
    assert len(set(gaps)) > 1
    # the delay is uniform on [-1, 2]; windup and cooldown each end on a whole loop
    assert period + 0.5 - 0.2 <= gaps.mean() <= period + 0.5 + 1.2


def test_range_is_between_edges():
    reach = 5 + 0.375 + 0.375
    inside = battle([("marine", 10, 16)], [("marine", 10 + reach - 1e-6, 16)])
    run(inside, 1, order(inside, ("attack", 1)))
    assert inside.units["x"][0, 0] == 10
    outside = battle([("marine", 10, 16)], [("marine", 10 + reach + 1e-3, 16)])
    run(outside, 1, order(outside, ("attack", 1)))
    assert outside.units["x"][0, 0] > 10


@pytest.mark.parametrize(("away", "struck"), [(0.9, True), (1.1, False)])
def test_slop_decides_whether_a_target_escapes_an_attack_that_has_begun(away, struck):
    edge = 6 + 0.625 + 0.5
    simulator = battle([("stalker", 10, 16)], [("zealot", 10 + edge - 0.01, 16)])
    run(simulator, 1, order(simulator, ("attack", 1)))
    assert simulator.units["windup"][0, 0] > 0
    put(simulator, 1, 10 + edge + away, 16)
    run(simulator, 3)
    assert (simulator.units["shield"][0, 1] < 50) == struck


def test_a_new_order_breaks_an_attack_off_and_the_same_one_does_not():
    for again, struck in (("attack", True), ("stop", False)):
        simulator = battle([("stalker", 10, 16)], [("marine", 14, 16)])
        run(simulator, 1, order(simulator, ("attack", 1)))
        run(simulator, 3, order(simulator, (again, 1)))
        assert (simulator.units["health"][0, 1] < 45) == struck


def test_who_has_struck_stands_until_the_backswing_is_over():
    simulator = battle([("marine", 16.9, 16)], [("zealot", 16, 16)], order=TO_ALLIES)
    while simulator.units["backswing"][0, 1] == 0:
        run(simulator, 1)
        assert simulator.units["calm"][0, 0] < 8, "it strikes at once"
    seen = run(simulator, 40, order(simulator, ("move", 30, 16)))
    assert seen["health"][0, 0] < 45
    moved = np.flatnonzero(np.diff(seen["x"][:, 1], prepend=16) > 1e-6)
    assert moved[0] == 0.5 * 16 - 1
    ahead = seen["x"][-1, 0] - seen["x"][-1, 1]
    assert ahead == pytest.approx(0.9 + 7 * 2.25 / 16)  # a fleeing marine, as quick as the zealot, gets away


@pytest.mark.parametrize(("given", "stands"), [(("attack", 1), True), (("attack", 2), False), (("move", 5, 16), False)])
def test_a_new_order_ends_a_backswing_and_the_same_one_does_not(given, stands):
    simulator = battle([("marine", 10, 16)], [("medivac", 12, 16), ("medivac", 30, 16)])
    run(simulator, 2, order(simulator, ("attack", 1)))
    assert simulator.units["cooldown"][0, 0] > 0
    put(simulator, 1, 20, 16)
    assert (run(simulator, 1, order(simulator, given))["x"][0, 0] == 10) == stands
    assert run(simulator, 12)["x"][-1, 0] != 10  # 0.75 s


def test_an_opponent_whose_target_is_gone_moves_on_after_the_backswing():
    simulator = battle([("marine", 15.2, 16), ("marine", 2, 2)], [("zealot", 16, 16)], order=TO_POINT, target=(30, 16))
    simulator.units["health"][0, 0] = 1
    seen = run(simulator, 20)
    dead = int(np.flatnonzero(~seen["alive"][:, 0])[0])
    moved = np.flatnonzero(np.diff(seen["x"][:, 2]) > 1e-6) + 1
    assert moved[moved > dead][0] >= dead + 0.5 * 16


@pytest.mark.parametrize(("away", "hits"), [(0.0, 2), (0.9, 2), (1.2, 1)])
def test_a_zealot_strikes_twice_unless_the_target_is_gone(away, hits):
    simulator = battle([("zealot", 10, 16)], [("medivac", 11.2, 16)])
    simulator.arena.traits["layer"][1] = 0  # a medivac on the ground: it does not fight back
    first = run(simulator, 1, order(simulator, ("attack", 1)))
    assert first["health"][0, 1] == 150 - 7
    put(simulator, 1, 10 + 0.5 + 0.75 + 0.1 + away, 16)
    simulator.step(order(simulator, ("stop",)), np.ones(1, bool), loops=3)
    assert simulator.units["health"][0, 1] == 150 - 7  # 0.28 s are 4.48 loops
    run(simulator, 2)
    assert simulator.units["health"][0, 1] == 150 - 7 * hits


def test_shields_regenerate_ten_seconds_after_the_last_damage():
    simulator = battle([("marine", 5, 5)], [("stalker", 25, 25)])
    simulator.units["shield"][0, 1] = 40
    hit(simulator.units[0], simulator.arena, 0, 1)
    left = simulator.units["shield"][0, 1]
    seen = run(simulator, 160 + 16)["shield"][:, 1]
    assert (seen[:160] == left).all()
    np.testing.assert_allclose(seen[160:], left + np.arange(1, 17) * 2 / 16)
    assert run(simulator, 400)["shield"][-1, 1] == 80


def test_zerg_regenerate_and_others_do_not():
    simulator = battle([("marine", 5, 5)], [("zergling", 25, 25), ("marine", 26, 5)])
    simulator.units["health"][0] = 10
    seen = run(simulator, 160)["health"][-1]
    np.testing.assert_allclose(seen, [10, 10 + 2.734, 10])


def test_a_medivac_heals_nine_a_second_for_a_third_of_energy():
    simulator = battle([("medivac", 10, 16), ("marine", 11, 16)], [("marine", 30, 30)])
    simulator.units["health"][0, 1] = 20
    run(simulator, 16, order(simulator, ("heal", 1), ("stop",)))
    assert simulator.units["health"][0, 1] == pytest.approx(29)
    assert simulator.units["energy"][0, 0] == pytest.approx(50 - 9 * 0.33 + 0.5625)
    run(simulator, 48)
    assert simulator.units["health"][0, 1] == 45
    healed = 25 * 0.33
    assert simulator.units["energy"][0, 0] == pytest.approx(50 - healed + 4 * 0.5625)
    assert simulator.units["order"][0, 0] == STOP  # it stops when nothing is left to heal


def test_a_medivac_heals_no_more_than_its_energy():
    simulator = battle([("medivac", 10, 16), ("marauder", 11, 16)], [("marine", 30, 30)])
    simulator.units["health"][0, 1], simulator.units["energy"][0, 0] = 20, 0.33
    simulator.arena.traits["energy_regeneration"][0] = 0
    run(simulator, 32, order(simulator, ("heal", 1), ("stop",)))
    assert simulator.units["health"][0, 1] == pytest.approx(21)
    assert simulator.units["energy"][0, 0] == pytest.approx(0)


def test_orders_that_cannot_be_carried_out_are_refused():
    allies = [("medivac", 10, 16), ("marauder", 11, 20), ("stalker", 11, 12)]
    simulator = battle(allies, [("medivac", 13, 16), ("marine", 13, 20)])
    goal = ("move", 10, 30)
    run(simulator, 1, order(simulator, goal, goal, goal))
    # a full, a mechanical, an enemy patient; a flyer for a ground weapon; one's own side; no weapon; nobody
    for bad in (("heal", 1), ("heal", 2), ("heal", 4), ("attack", 4), ("attack", 1), ("attack", 99), ("heal", -1)):
        run(simulator, 1, order(simulator, bad, ("attack", 3), ("heal", 1)))
        assert simulator.units["order"][0, :3].tolist() == [MOVE] * 3, bad


@pytest.mark.parametrize(("x", "y", "struck"), [(0, 1.25 + 0.5, True), (0, 1.25 + 0.55, False), (0.5, 0, True)])
def test_a_colossus_strikes_a_line_across_its_shot_twice(x, y, struck):
    near = [("zergling", 16 + x, 16 + y), ("zergling", 16 - 0.6, 16), ("medivac", 16, 16)]
    simulator = battle([("colossus", 12, 16), ("zergling", 16, 15.2)], [("marauder", 16, 16), *near])
    simulator.arena.traits["windup"][0] = 0
    run(simulator, 1, order(simulator, ("attack", 2), ("stop",)))
    health = simulator.units["health"][0]
    assert health[2] == 125 - 2 * 19
    assert simulator.units["alive"][0, 1]  # friends are spared
    assert simulator.units["alive"][0, 3] != struck
    assert simulator.units["alive"][0, 4]  # before the line
    assert health[5] == 150  # in the air


def test_a_baneling_bursts_within_its_radius_and_spares_friends():
    reach = 2.2 + 0.375
    allies = [("baneling", 16, 16), ("marine", 16.5, 16.8)]
    enemies = [("marauder", 17.0, 16), ("marine", 16 - reach + 0.01, 16), ("marine", 16, 16 + reach + 0.3)]
    simulator = battle(allies, [*enemies, ("spine_crawler", 16, 14.2)])
    run(simulator, 2, order(simulator, ("attack", 2), ("stop",)))
    alive, health = simulator.units["alive"][0], simulator.units["health"][0]
    assert not alive[0]
    assert health[2] == 125 - 19
    assert health[3] == pytest.approx(10)
    assert health[4] == 45
    assert health[5] == pytest.approx(300 - 78, abs=0.1)  # it regenerates


def test_a_baneling_bursts_when_it_is_killed_and_sets_off_others():
    simulator = battle([("marine", 12, 16), ("baneling", 16, 16.5)], [("baneling", 16, 15), ("zergling", 16.8, 17.5)])
    simulator.units["health"][0] = [45, 1, 1, 35]
    seen = run(simulator, 3, order(simulator, ("attack", 2), ("stop",)))
    assert seen["alive"][-1].tolist() == [True, False, False, False]  # the enemy's burst kills ours, ours the zergling


def test_two_that_strike_in_one_loop_both_die():
    simulator = battle([("marine", 10, 16)], [("marine", 14, 16)])
    simulator.units["health"][0] = 6
    simulator.units["order"][0], simulator.units["target"][0] = ATTACK, (1, 0)
    run(simulator, 4)
    assert not simulator.units["alive"][0].any()


def test_kill_removes_units_at_once():
    simulator = battle([("marine", 10, 16), ("stalker", 12, 20)], [("marine", 30, 30)])
    simulator.kill(0, np.array([1]))
    assert simulator.units["alive"][0].tolist() == [True, False, True]
    assert simulator.units["shield"][0, 1] == 0
    simulator.kill(0)
    assert not simulator.units["alive"].any()
    assert not simulator.units["health"].any()
