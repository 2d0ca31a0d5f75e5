"""Game loops: orders, actions, deaths, movement; over all active battles."""

from __future__ import annotations

import numpy as np

from core.compiling import lean_kernel
from envs.battle.bodies import GOING, HOLDING, MODE, RESTING
from envs.battle.combat import attack, bury, can_attack, can_heal, gap, heal, regenerate, second_hit
from envs.battle.movement import head_for, move_all
from envs.battle.opponent import command, post
from envs.battle.spawning import PLACES, spawn
from envs.battle.state import ATTACK, HEAL_UNIT, KEEP, MOVE, STOP, Arena
from envs.rng import start_stream, uniform


@lean_kernel
def give_order(units: np.ndarray, arena: Arena, i: int, kind: int, target: int, x: float, y: float) -> None:
    """Give unit i an order; one that it cannot carry out is refused, and it goes on with what it does.

    A new order breaks an attack off, and the backswing after one; the same one again does not.
    """
    if kind == KEEP or not units[i].alive:
        return
    if kind in (ATTACK, HEAL_UNIT):
        if target < 0 or target >= units.shape[0] or not units[target].alive:
            return
        if kind == ATTACK and not can_attack(arena, i, target):
            return
        if kind == HEAL_UNIT and not can_heal(units, arena, i, target):
            return
    if kind != ATTACK or units[i].order != ATTACK or units[i].target != target:
        units[i].windup = 0.0
        units[i].backswing = 0.0
    units[i].order = kind
    units[i].target = target
    units[i].goal_x, units[i].goal_y = x, y


@lean_kernel
def _fight(units: np.ndarray, arena: Arena, i: int, bodies: np.ndarray, streams: np.ndarray, k: int) -> None:
    """Carry out ATTACK: fight in range, otherwise go there, but not before the last attack's backswing has ended."""
    target = units[i].target
    if not units[target].alive:
        units[i].order = STOP
    elif attack(units, arena, i, target, streams, k) or units[i].backswing > 0.0:
        bodies[MODE, i] = HOLDING
    else:
        head_for(units, arena, i, units[target].x, units[target].y, bodies)


@lean_kernel
def _nurse(units: np.ndarray, arena: Arena, i: int, bodies: np.ndarray) -> None:
    """Carry out HEAL_UNIT: heal in range, otherwise go there; it ends with the wounds."""
    target = units[i].target
    if not can_heal(units, arena, i, target):
        units[i].order = STOP
    elif gap(units, arena, i, target) > arena.traits[i].range:
        head_for(units, arena, i, units[target].x, units[target].y, bodies)
    elif units[i].energy > 0.0:
        bodies[MODE, i] = HOLDING
        heal(units, arena, i, target)


@lean_kernel
def _act(units: np.ndarray, arena: Arena, i: int, bodies: np.ndarray, streams: np.ndarray, k: int) -> None:
    """Let unit i carry out its order for one game loop, all but the movement itself."""
    bodies[MODE, i] = RESTING
    if units[i].second > 0.0:
        second_hit(units, arena, i)
    order = units[i].order
    if order == ATTACK:
        _fight(units, arena, i, bodies, streams, k)
    elif order == MOVE and units[i].backswing > 0.0:
        bodies[MODE, i] = HOLDING  # the opponent's, on its way again: an agent's order has ended the backswing
    elif order == MOVE:
        head_for(units, arena, i, units[i].goal_x, units[i].goal_y, bodies)
        if abs(units[i].goal_x - units[i].x) + abs(units[i].goal_y - units[i].y) < 1e-6:
            units[i].order = STOP
    elif order == HEAL_UNIT:
        _nurse(units, arena, i, bodies)
    if bodies[MODE, i] != GOING:
        units[i].velocity = 0.0


@lean_kernel
def game_loop(units: np.ndarray, arena: Arena, streams: np.ndarray, k: int, loop: int, bodies: np.ndarray) -> None:
    """Run one game loop of one battle.

    Args:
        units: [U] of :data:`envs.battle.state.UNIT`.
        arena: of the map.
        streams: uint64 [N], random streams; the battle's is k.
        k: the battle.
        loop: game loops since the battle's start.
        bodies: scratch of :func:`envs.battle.bodies.make_bodies`.
    """
    for i in range(units.shape[0]):
        if units[i].alive:
            regenerate(units, arena, i)
            if i >= arena.n_allies:
                command(units, arena, i, loop)
    for i in range(units.shape[0]):
        if units[i].alive:
            _act(units, arena, i, bodies, streams, k)
    bury(units, arena)
    move_all(units, arena, bodies)


@lean_kernel
def step_battles(
    orders: np.ndarray,
    active: np.ndarray,
    n_loops: int,
    arena: Arena,
    units: np.ndarray,
    streams: np.ndarray,
    loops: np.ndarray,
    bodies: np.ndarray,
) -> None:
    """Give orders and run some game loops in all active battles.

    Args:
        orders: [N, A] of :data:`envs.battle.state.ORDER`.
        active: bool [N].
        n_loops: game loops to run.
        arena: of the map.
        units: [N, U] of :data:`envs.battle.state.UNIT`.
        streams: uint64 [N].
        loops: int64 [N], game loops so far.
        bodies: scratch of :func:`envs.battle.bodies.make_bodies`.
    """
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        for i in range(arena.n_allies):
            order = orders[k, i]
            give_order(units[k], arena, i, order.kind, order.target, order.x, order.y)
        for i in range(units.shape[1]):
            units[k, i].shot = -1
        for _ in range(n_loops):
            game_loop(units[k], arena, streams, k, loops[k], bodies)
            loops[k] += 1


@lean_kernel
def _start(
    slots: np.ndarray,
    seeds: np.ndarray,
    arena: Arena,
    spawns: np.ndarray,
    line: np.ndarray,
    places: np.ndarray,
    units: np.ndarray,
    streams: np.ndarray,
    loops: np.ndarray,
) -> None:
    for index in range(slots.shape[0]):
        k = slots[index]
        start_stream(streams, k, seeds[index])
        spawn(units[k], arena, spawns, places, streams, k)
        along = uniform(streams, k, 0.0, 1.0)
        x, y = line[0, 0] + (line[1, 0] - line[0, 0]) * along, line[0, 1] + (line[1, 1] - line[0, 1]) * along
        post(units[k], arena, x, y)
        loops[k] = 0


def start_battles(
    slots: np.ndarray,
    seeds: np.ndarray,
    arena: Arena,
    spawns: np.ndarray,
    line: np.ndarray,
    units: np.ndarray,
    streams: np.ndarray,
    loops: np.ndarray,
) -> None:
    """Start new battles.

    Args:
        slots: int64 [K].
        seeds: uint64 [K].
        arena: of the map.
        spawns: float64 [U, 2].
        line: float64 [2, 2]; the opponent's target is drawn between its ends.
        units, streams, loops: as in :func:`step_battles`, overwritten.
    """
    _start(slots, seeds, arena, spawns, line, PLACES, units, streams, loops)
