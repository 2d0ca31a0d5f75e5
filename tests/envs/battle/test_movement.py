"""Movement, collisions, terrain, the opponent's behaviour, placement."""

import numpy as np
import pytest
from situations import ACTIVE, battle, order, run

from envs.battle.maps import SIZE, TO_ALLIES, TO_POINT, load_map, map_names
from envs.battle.paths import make_ways
from envs.battle.simulator import Simulator
from envs.battle.state import ATTACK, HEAL_UNIT, MOVE, STOP
from envs.battle.units import AIR, COLOSSUS, GROUND

FAR = ("marine", 31, 31)


@pytest.mark.parametrize(("kind", "speed"), [("marine", 2.25), ("stalker", 2.9531), ("colossus", 2.25)])
def test_speed_and_arrival(kind, speed):
    simulator = battle([(kind, 10, 16)], [FAR])
    seen = run(simulator, 32, order(simulator, ("move", 14, 19)))
    travelled = np.hypot(seen["x"][:, 0] - 10, seen["y"][:, 0] - 16)
    np.testing.assert_allclose(travelled[:16], speed / 16 * np.arange(1, 17))
    run(simulator, 32)
    np.testing.assert_allclose([simulator.units["x"][0, 0], simulator.units["y"][0, 0]], [14, 19])
    assert simulator.units["order"][0, 0] == STOP


def test_a_medivac_accelerates():
    simulator = battle([("medivac", 5, 16)], [FAR])
    seen = run(simulator, 48, order(simulator, ("move", 30, 16)))
    steps = np.diff(seen["x"][:, 0], prepend=5)
    expected = np.minimum(2.3125 / 256 * np.arange(1, 49), 2.75 / 16)
    np.testing.assert_allclose(steps, expected)


def test_an_idle_friend_is_pushed_aside_and_a_fighting_one_is_not():
    for fights in (False, True):
        simulator = battle([("marine", 10, 16), ("marine", 12, 16.05)], [("spine_crawler", 16, 16.05), FAR])
        simulator.arena.traits["range"][2] = simulator.arena.traits["scan"][2] = 0
        orders = order(simulator, ("move", 14, 16), ("attack", 2) if fights else ("stop",))
        seen = run(simulator, 40, orders)
        moved = np.hypot(seen["x"][:, 1] - 12, seen["y"][:, 1] - 16.05).max()
        assert (moved < 0.01) == fights
        assert seen["x"][-1, 0] > 13  # it gets past either way


def test_nobody_pushes_an_idle_enemy():
    simulator = battle([("zealot", 10, 16)], [("zealot", 12, 16)])
    simulator.arena.traits["range"][1] = simulator.arena.traits["scan"][1] = -5
    seen = run(simulator, 60, order(simulator, ("move", 14, 16)))
    assert (seen["x"][:, 1] == 12).all()
    assert seen["x"][-1, 0] > 13


def overlaps(simulator):
    """The deepest overlap of two units that collide, in each battle."""
    units, traits = simulator.units, simulator.arena.traits
    deepest = np.zeros(len(units))
    for i in range(units.shape[1]):
        for j in range(i):
            if traits["layer"][i] != traits["layer"][j] or traits["layer"][i] == AIR:
                continue
            distance = np.hypot(units["x"][:, i] - units["x"][:, j], units["y"][:, i] - units["y"][:, j])
            depth = traits["separation"][i] + traits["separation"][j] - distance
            both = units["alive"][:, i] & units["alive"][:, j]
            deepest = np.maximum(deepest, np.where(both, depth, 0))
    return deepest


def ground_is_right(simulator):
    """Whether every living unit stands where its layer may."""
    units, traits = simulator.units, simulator.arena.traits
    cells = units["x"].astype(int), units["y"].astype(int)
    inside = (units["x"] >= 0) & (units["x"] < SIZE) & (units["y"] >= 0) & (units["y"] < SIZE)
    battle_map = simulator.battle_map
    fits = np.where(traits["layer"] == COLOSSUS, battle_map.crossable[cells], battle_map.walkable[cells])
    return (~units["alive"] | (inside & (fits | (traits["layer"] == AIR)))).all()


@pytest.mark.parametrize(
    "name", ["25m", "MMM2", "1c3s5z", "corridor", "bane_vs_bane", "2c_vs_64zg", "so_many_baneling"]
)
def test_units_stay_apart_and_on_their_ground(name):
    simulator, rng, n = Simulator(load_map(name), 6), np.random.default_rng(0), 6
    simulator.reset(np.arange(n), np.arange(n, dtype=np.uint64))
    assert overlaps(simulator).max() == 0
    assert ground_is_right(simulator)
    deep = []
    for _ in range(60):
        orders = simulator.no_orders()
        orders["kind"] = rng.choice([STOP, MOVE, ATTACK], orders.shape)
        orders["target"] = rng.integers(simulator.battle_map.n_allies, simulator.battle_map.n_units, orders.shape)
        own = simulator.units[:, : orders.shape[1]]
        for axis in ("x", "y"):
            orders[axis] = own[axis] + rng.choice([-2, 0, 2], orders.shape)
        simulator.step(orders, np.ones(n, bool))
        assert ground_is_right(simulator)
        going_on = simulator.units["alive"][:, : orders.shape[1]].any(1)
        deep.append(np.where(going_on, overlaps(simulator), 0))
    assert np.max(deep) < 0.35  # two rounds of pushing do not undo a crush at once
    assert np.mean(deep) < 0.12


@pytest.mark.parametrize("name", map_names())
def test_placement(name):
    battle_map = load_map(name)
    simulator = Simulator(battle_map, 20)
    simulator.reset(np.arange(20), np.arange(20, dtype=np.uint64))
    units = simulator.units
    assert overlaps(simulator).max() == 0
    assert ground_is_right(simulator)
    for axis, which in enumerate(("x", "y")):
        apart = np.abs(units[which] - battle_map.spawns[:, axis])
        assert apart.max() < 6
        assert (units[which].std(0) > 0.01).all()  # the seed shakes everybody
    keys = np.stack([np.broadcast_to(battle_map.types, units.shape), units["x"], units["y"]], -1)
    for one in keys[:, : battle_map.n_allies]:
        groups = [list(map(tuple, one[one[:, 0] == kind, 1:])) for kind in dict.fromkeys(one[:, 0])]
        assert all(group == sorted(group) for group in groups)  # SMAC's order of agents
    assert (units["health"] == simulator.arena.traits["max_health"]).all()


@pytest.mark.parametrize("name", ["corridor", "so_many_baneling", "2c_vs_64zg", "2s_vs_1sc"])
def test_ways_lead_around_obstacles(name):
    grid, ways = load_map(name).walkable, make_ways(name)
    spawns = {int(x) * SIZE + int(y) for x, y in load_map(name).spawns}
    goals = [cell for cell in np.flatnonzero(grid.ravel()) if ways[min(spawns), cell] >= 0][::37]
    for goal in goals:
        for start in spawns:
            cell, corners = start, 0
            while cell != goal:
                cell, corners = ways[cell, goal], corners + 1
                assert grid.ravel()[cell]
                assert corners < 12


def test_open_ground_needs_no_ways():
    assert make_ways("3s_vs_3z").size == 0
    assert make_ways("3m").size == 0


def test_zerglings_go_around_the_cliff_and_colossi_across():
    simulator = Simulator(load_map("2c_vs_64zg"), 1)
    simulator.reset(np.array([0]), np.array([3], np.uint64))
    simulator.kill(0, np.arange(3, 66))
    units = simulator.units[0]
    units["x"][:3], units["y"][:3] = (16, 20, 16), (16, 16, 9)
    edges = set()
    for _ in range(40):
        simulator.step(order(simulator, ("move", 16, 9), ("stop",)), ACTIVE)
        cell = int(units["x"][2]), int(units["y"][2])
        edges.add(cell[0] < 4 or cell[0] >= 28)
        if abs(units["y"][0] - 9) < 0.5:
            break
    assert units["y"][0] < 11  # straight down the cliff
    simulator.units["alive"][0, 0] = False
    for _ in range(60):
        simulator.step(None, ACTIVE)
        edges.add(bool(units["x"][2] < 4 or units["x"][2] >= 28))
    assert edges == {False, True}  # along one of the ramps
    assert np.hypot(units["x"][2] - units["x"][1], units["y"][2] - units["y"][1]) < 2


def test_zerglings_pass_the_corridor():
    simulator = Simulator(load_map("corridor"), 1)
    simulator.reset(np.array([0]), np.array([3], np.uint64))
    simulator.kill(0, np.arange(6))
    for _ in range(60):
        simulator.step(None, ACTIVE)
    units = simulator.units[0, 6:]
    assert (np.hypot(units["x"] - 4.47, units["y"] - 4.33) < 6).all()


def test_the_opponent_marches_in_formation_and_attacks_what_it_meets():
    simulator = battle([("marauder", 6, 16)], [("marine", 24, 14), ("marine", 24, 18)], order=TO_POINT, target=(6, 16))
    simulator = Simulator(simulator.battle_map, 1)
    simulator.reset(np.array([0]), np.array([0], np.uint64))
    start = simulator.units[0].copy()
    run(simulator, 40)
    units = simulator.units[0]
    moved = start["x"][1:] - units["x"][1:]
    assert (moved > 40 * 2.25 / 16 - 1).all()
    assert abs(units["y"][2] - units["y"][1]) == pytest.approx(abs(start["y"][2] - start["y"][1]), abs=0.2)
    run(simulator, 80)
    assert (simulator.units["order"][0, 1:] == ATTACK).all()
    assert (simulator.units["target"][0, 1:] == 0).all()


def test_the_opponent_takes_the_nearest_within_its_scan_range():
    near = 5 + 0.375 + 0.375
    simulator = battle([("marine", 10, 16), ("marine", 16 - near + 0.1, 16)], [("marine", 16, 16)])
    run(simulator, 4)
    assert simulator.units["target"][0, 2] == 1
    assert simulator.units["order"][0, 2] == ATTACK
    simulator = battle([("marine", 10, 16)], [("marine", 16, 16)])
    run(simulator, 40)
    assert simulator.units["order"][0, 1] == STOP


def test_who_is_hit_from_afar_turns_on_the_shooter():
    simulator = battle([("stalker", 10, 16)], [("zealot", 17.0, 16)])
    run(simulator, 8, order(simulator, ("attack", 1)))
    assert simulator.units["order"][0, 1] == ATTACK
    assert simulator.units["x"][0, 1] < 17.0


def test_enemy_medivacs_heal_the_wounded_and_follow_the_others():
    simulator = battle([("marine", 2, 2)], [("marine", 16, 16), ("marine", 18, 16), ("medivac", 26, 16)])
    run(simulator, 80)
    assert simulator.units["x"][0, 3] < 21
    simulator.units["health"][0, 1] = 20
    run(simulator, 2)
    assert simulator.units["order"][0, 3] == HEAL_UNIT
    run(simulator, 80)
    assert simulator.units["health"][0, 1] == 45


def test_ground_weapons_leave_flyers_alone():
    simulator = battle([("medivac", 10, 16)], [("marauder", 12, 16), ("zealot", 12, 18)])
    run(simulator, 30)
    assert (simulator.units["order"][0, 1:] == STOP).all()
    assert {GROUND, AIR} == set(simulator.arena.traits["layer"].tolist())


def strikes(simulator):
    """Which enemies can strike whom: bool [A, E]."""
    units, traits, n = simulator.units[0], simulator.arena.traits, simulator.battle_map.n_allies
    apart = np.hypot(units["x"][:n, None] - units["x"][n:], units["y"][:n, None] - units["y"][n:])
    reach = traits["radius"][:n, None] + traits["radius"][n:] + traits["range"][n:]
    return units["alive"][:n, None] & units["alive"][n:] & (apart <= reach + 1e-9)


def disarm(simulator, n_allies):
    simulator.units["health"][0, :n_allies] = 1e6
    simulator.arena.traits["range"][:n_allies] = -5


@pytest.mark.parametrize(("y", "most"), [(15.6, 6), (16.0, 6), (16.2, 7), (16.33, 7)])
def test_a_crowd_closes_the_ring_around_its_prey(y, most):
    column = [("zergling", 20 + 0.8 * (k // 3), 15.2 + 0.8 * (k % 3)) for k in range(12)]
    simulator = battle([("zealot", 16, y)], column, order=TO_ALLIES)
    disarm(simulator, 1)
    run(simulator, 16 * 3)
    assert strikes(simulator).sum() >= 5
    run(simulator, 16)
    assert strikes(simulator).sum() >= most  # room for 7 where the first ones stand well


def test_a_crowd_goes_around_a_wall_of_those_it_fights():
    wall = [("zealot", 16, 14 + 0.76 * k) for k in range(5)]
    pack = [("zergling", 20 + 0.8 * (k // 5), 14 + 0.8 * (k % 5)) for k in range(20)]
    simulator = battle(wall, pack, order=TO_ALLIES)
    disarm(simulator, 5)
    run(simulator, 16 * 4)
    assert (simulator.units["x"][0, 5:] < 16).sum() >= 8


def test_who_finds_no_place_around_its_target_turns_to_the_next():
    pack = [("zergling", 19 + 0.8 * (k // 4), 15 + 0.8 * (k % 4)) for k in range(12)]
    simulator = battle([("zealot", 16, 16), ("zealot", 12, 16)], pack, order=TO_ALLIES)
    disarm(simulator, 2)
    run(simulator, 16 * 6)
    assert strikes(simulator).any(0).sum() >= 11
    run(simulator, 16)
    assert strikes(simulator).any(0).all()


def test_units_of_a_crowd_pass_a_corner_side_by_side():
    outermost = []
    for which in (4, 7):
        simulator = Simulator(load_map("2c_vs_64zg"), 1)
        simulator.reset(np.array([0]), np.array([3], np.uint64))
        simulator.kill(0, np.delete(np.arange(1, 66), which - 1))
        simulator.units["x"][0, [0, which]], simulator.units["y"][0, [0, which]] = (6, 8), (22, 9)
        simulator.arena.traits["range"][0] = -5
        seen = run(simulator, 16 * 6)
        outermost.append(seen["x"][:, which].min())
    assert outermost[0] - outermost[1] > 0.5


def test_a_crowd_goes_around_a_cliff_without_a_jam():
    """32 zerglings on each side, a gap four wide, then the open ground: all pass within 3.5 s of the first eight."""
    simulator = Simulator(load_map("2c_vs_64zg"), 1)
    simulator.reset(np.array([0]), np.array([3], np.uint64))
    disarm(simulator, 2)
    simulator.units["x"][0, :2], simulator.units["y"][0, :2] = (9.5, 22.5), (15, 15)
    seen = run(simulator, 16 * 12)
    there = (np.abs(seen["y"][:, 2:] - 16) < 2.0).sum(1)  # on the colossi's side
    first, last = np.argmax(there >= 8), np.argmax(there >= 62)
    assert 0 < first < last < first + 16 * 3.5


def test_zerglings_go_around_to_a_colossus_on_the_cliff():
    simulator = Simulator(load_map("2c_vs_64zg"), 1)
    simulator.reset(np.array([0]), np.array([3], np.uint64))
    simulator.kill(0, np.delete(np.arange(66), [0, 2]))
    cliff = load_map("2c_vs_64zg").crossable & ~load_map("2c_vs_64zg").walkable
    top = np.flatnonzero(cliff[8]).max() + 0.9
    simulator.units["x"][0, [0, 2]], simulator.units["y"][0, [0, 2]] = (8, 8), (top, top - 3)
    simulator.arena.traits["range"][0] = -5
    run(simulator, 16 * 12)
    assert simulator.units["y"][0, 2] > top
    assert simulator.units["shield"][0, 0] < 150


def test_who_came_to_blows_forgets_whom_it_found_full():
    """Crowded out for a moment, then in reach: an enemy that comes near later must not draw the unit away."""
    simulator = battle([("zealot", 10, 16), ("zealot", 30, 30)], [("zergling", 10.9, 16)])
    run(simulator, 4, order(simulator, ("stop",), ("stop",)))
    assert simulator.units["order"][0, 2] == ATTACK
    assert simulator.units["target"][0, 2] == 0
    simulator.units["full"][0, 2], simulator.units["side"][0, 2] = 1, -1
    run(simulator, 1)
    assert simulator.units["full"][0, 2] == simulator.units["side"][0, 2] == 0
    simulator.units["x"][0, 1], simulator.units["y"][0, 1] = 13, 16
    run(simulator, 2)
    assert simulator.units["target"][0, 2] == 0


@pytest.mark.parametrize("y", [13.5, 14.0, 14.4, 15.0, 15.3])
@pytest.mark.parametrize("prey", ["column", "line"])
def test_a_crowd_finds_its_places_around_a_group(prey, y):
    """Nobody runs to and fro for ever while there is room around somebody."""
    zealots = [(16 - 1.8 * k, 16) if prey == "column" else (16, 12 + 2.0 * k) for k in range(4)]
    pack = [("zergling", 19 + 0.8 * (k // 4), y + 0.8 * (k % 4)) for k in range(20)]
    simulator = battle([("zealot", *place) for place in zealots], pack, order=TO_ALLIES)
    disarm(simulator, 4)
    run(simulator, 16 * 9)
    assert strikes(simulator).any(0).sum() >= 18


def two_full_rings(others, extra):
    """Two zealots, seven zerglings around each; more zealots and zerglings."""
    around = np.linspace(0, 2 * np.pi, 7, endpoint=False)
    rings = [("zergling", 16 + 3 * k + 0.97 * np.cos(a), 16 + 0.97 * np.sin(a)) for k in (0, 1) for a in around]
    prey = [("zealot", 16, 16), ("zealot", 19, 16), *others]
    simulator = battle(prey, [*rings, *extra], order=TO_ALLIES)
    disarm(simulator, len(prey))
    return simulator


def test_who_is_crowded_out_by_two_goes_on_to_the_third():
    """The nearest two are full: the zergling must not turn back to the first, but go for the one with room."""
    simulator = two_full_rings([("zealot", 17.5, 23)], [("zergling", 17.5, 18)])
    run(simulator, 16 * 5)
    assert simulator.units["target"][0, -1] == 2
    assert strikes(simulator).any(0).all()
    assert strikes(simulator).any(1).all()


@pytest.mark.parametrize("fallen", [2, 9])
def test_who_found_all_full_looks_around_anew(fallen):
    """Whichever of the two a fighter of which falls, the one that waits takes its place."""
    simulator = two_full_rings([], [("zergling", 17.5, 18)])
    run(simulator, 16 * 3)
    assert strikes(simulator).any(0).sum() == 14
    simulator.kill(0, np.array([fallen]))
    run(simulator, 16 * 4)
    assert strikes(simulator).any(0).sum() == 14  # again
