"""Battles of any units at any place, on open ground."""

import numpy as np

from envs.battle.maps import NO_ORDER, BattleMap, load_map
from envs.battle.simulator import Simulator
from envs.battle.state import ATTACK, HEAL_UNIT, KEEP, MOVE, STOP
from envs.battle.units import TYPE_INDEX

ACTIVE = np.ones(1, bool)
KINDS = {"keep": KEEP, "stop": STOP, "move": MOVE, "attack": ATTACK, "heal": HEAL_UNIT}


def battle(allies, enemies, *, order=NO_ORDER, target=(16.0, 16.0), terrain="3s_vs_3z", seed=0):
    """A simulator of one battle; ``allies`` and ``enemies`` are lists of (type, x, y)."""
    ground, units = load_map(terrain), [*allies, *enemies]
    battle_map = BattleMap(
        name=terrain,
        limit=100,
        types=np.array([TYPE_INDEX[name] for name, _, _ in units]),
        spawns=np.array([(x, y) for _, x, y in units], float),
        n_allies=len(allies),
        order=order,
        target=np.array([target, target], float),
        walkable=ground.walkable,
        crossable=ground.crossable,
        height=ground.height,
        type_columns=np.zeros(len(units), np.int64),
        n_type_columns=0,
    )
    simulator = Simulator(battle_map, 1)
    simulator.reset(np.array([0]), np.array([seed], np.uint64))
    for i, (_, x, y) in enumerate(units):
        put(simulator, i, x, y)
    return simulator


def put(simulator, i, x, y):
    simulator.units["x"][0, i], simulator.units["y"][0, i] = x, y


def order(simulator, *given):
    """Orders for the allies, in their order: ("attack", unit), ("heal", unit), ("move", x, y), ("stop",), ("keep",)."""
    orders = simulator.no_orders()
    for i, (kind, *details) in enumerate(given):
        orders["kind"][0, i] = KINDS[kind]
        if kind == "move":
            orders["x"][0, i], orders["y"][0, i] = details
        elif details:
            orders["target"][0, i] = details[0]
    return orders


def run(simulator, loops, orders=None):
    """Run game loops one by one; returns the units after each: [loops, U]."""
    seen = []
    for _ in range(loops):
        simulator.step(orders, ACTIVE, loops=1)
        orders = None
        seen.append(simulator.units[0].copy())
    return np.stack(seen)


def shaken_units(battle_map, rng):
    """Units in any state at any place, some of them dead, some outside sight and range, some near the map's edge."""
    simulator = Simulator(battle_map, 1)
    simulator.reset(np.array([0]), np.array([1], np.uint64))
    units, traits = simulator.units[0], simulator.arena.traits
    n = len(units)
    middle = rng.uniform(0, 32, 2)
    for axis, center in zip(("x", "y"), middle, strict=True):
        units[axis] = np.clip(center + rng.normal(0, 5, n), 0.001, 31.999)
    units["alive"] = rng.random(n) < 0.8
    for kind in ("health", "shield"):
        units[kind] = rng.uniform(0.01, 1, n) * traits[f"max_{kind}"] * units["alive"]
    units["energy"], units["cooldown"] = rng.uniform(0, 200, n), rng.uniform(0, 30, n)
    return units
