"""Seeds, slots, game loops and errors of the simulator."""

import numpy as np
import pytest

from envs.battle.maps import load_map
from envs.battle.simulator import Simulator
from envs.battle.state import ATTACK, MOVE, ORDER, STOP


def random_orders(simulator, rng):
    orders = simulator.no_orders()
    orders["kind"] = rng.choice([STOP, MOVE, ATTACK], orders.shape)
    orders["target"] = rng.integers(simulator.battle_map.n_allies, simulator.battle_map.n_units, orders.shape)
    orders["x"], orders["y"] = rng.uniform(8, 24, (2, *orders.shape))
    return orders


def play(name, seeds, steps=30, slots=None, n=None):
    """Units after every step in the slots, with orders that depend on the step alone."""
    n, slots = n or len(seeds), np.arange(len(seeds)) if slots is None else np.array(slots)
    simulator, active = Simulator(load_map(name), n), np.zeros(n, bool)
    active[slots] = True
    simulator.reset(slots, np.array(seeds, np.uint64))
    one = Simulator(load_map(name), 1)
    seen = [simulator.units[slots].copy()]
    for t in range(steps):
        orders = np.repeat(random_orders(one, np.random.default_rng(t)), n, 0)
        simulator.step(orders, active)
        seen.append(simulator.units[slots].copy())
    return np.stack(seen, 1)


@pytest.mark.parametrize("name", ["MMM", "2m_vs_1z", "bane_vs_bane"])
def test_a_battle_depends_on_its_seed_and_orders_alone(name):
    first = play(name, [5, 6, 7])
    assert (first == play(name, [5, 6, 7])).all()
    assert (first == play(name, [7, 6, 5])[::-1]).all()
    assert (first[1] == play(name, [6], slots=[3], n=5)[0]).all()
    assert (first[0]["x"] != first[1]["x"]).any()


@pytest.mark.parametrize("name", ["3s5z", "2c_vs_64zg"])
def test_eight_loops_are_eight_single_loops(name):
    whole, single = Simulator(load_map(name), 2), Simulator(load_map(name), 2)
    active, rng = np.ones(2, bool), np.random.default_rng(0)
    for simulator in (whole, single):
        simulator.reset(np.arange(2), np.array([1, 2], np.uint64))
    for _ in range(25):
        orders = random_orders(whole, rng)
        whole.step(orders, active)
        single.step(orders, active, loops=1)
        single.step(None, active, loops=2)
        single.step(None, active, loops=5)
        for field in ("x", "y", "health", "shield", "cooldown", "alive", "order", "turn", "side", "full"):
            np.testing.assert_array_equal(whole.units[field], single.units[field], err_msg=field)
    assert (whole.loops == 200).all()


def test_slots_at_rest_do_not_change():
    simulator = Simulator(load_map("3m"), 3)
    simulator.reset(np.arange(3), np.arange(3, dtype=np.uint64))
    before = simulator.units.copy()
    simulator.step(None, np.array([True, False, True]))
    assert (simulator.units[1] == before[1]).all()
    assert (simulator.units[0] != before[0]).any()
    simulator.reset(np.array([2]), np.array([2], np.uint64))
    assert (simulator.units[2] == before[2]).all()


def test_a_random_target_lies_between_the_marines():
    simulator = Simulator(load_map("2m_vs_1z"), 200)
    simulator.reset(np.arange(200), np.arange(200, dtype=np.uint64))
    x, y = simulator.units["post_x"][:, 2], simulator.units["post_y"][:, 2]
    np.testing.assert_allclose(y, 12)
    assert x.min() < 13.5
    assert x.max() > 18.5
    assert ((x >= 13) & (x <= 19)).all()


def test_errors():
    with pytest.raises(ValueError, match="at least 1 battle"):
        Simulator(load_map("3m"), 0)
    simulator = Simulator(load_map("3m"), 2)
    with pytest.raises(ValueError, match=r"slots must be within 0\.\.1"):
        simulator.reset(np.array([2]), np.array([0], np.uint64))
    with pytest.raises(ValueError, match="slots and seeds"):
        simulator.reset(np.array([0]), np.array([0, 1], np.uint64))
    for orders in (np.zeros((2, 2), ORDER), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="orders must be"):
            simulator.step(orders, np.ones(2, bool))
    with pytest.raises(ValueError, match="active"):
        simulator.step(None, np.ones(3, bool))
