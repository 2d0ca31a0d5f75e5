"""The scripted opponent: attack-move, nearest target first.

What the game's built-in AI does beyond its orders is not known. Every enemy attacks the nearest unit that it can attack
within its scan range, keeps to a target in range of its weapon, and otherwise goes on to where the map sends it. As a
group that the game orders to a point keeps its formation, every enemy is sent to its own place beside that point.
Medivacs heal the nearest wounded friend and follow the others.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import lean_kernel
from envs.battle.combat import can_attack, can_heal, gap
from envs.battle.maps import NO_ORDER, TO_ALLIES
from envs.battle.paths import free
from envs.battle.state import ATTACK, HEAL_UNIT, MOVE, STOP, Arena
from envs.battle.units import HEAL

_RESCAN = 4
"""Game loops between two looks around for a nearer target."""
_ARRIVED = 1.5
"""Distance from the attack-move's point that counts as there."""
_FOLLOW = 2.0
"""Distance that a medivac keeps from whom it follows."""


@lean_kernel
def nearest_target(units: np.ndarray, arena: Arena, i: int, reach: float, but: int = -1) -> int:
    """Return the nearest living unit other than ``but`` that i can attack with a gap of at most ``reach``, or -1."""
    best, found = reach + arena.traits[i].radius, -1
    others = range(arena.n_allies) if i >= arena.n_allies else range(arena.n_allies, units.shape[0])
    for j in others:
        if not units[j].alive or j == but:
            continue
        dx, dy = units[j].x - units[i].x, units[j].y - units[i].y
        limit = best + arena.traits[j].radius
        square = dx * dx + dy * dy
        if limit > 0.0 and square < limit * limit and can_attack(arena, i, j):
            best, found = math.sqrt(square) - arena.traits[j].radius, j
    return found


@lean_kernel
def _nearest_friend(units: np.ndarray, arena: Arena, i: int, wounded: bool) -> int:
    """Return the nearest other unit of i's side that fights, or that i can heal, or -1."""
    best, found = math.inf, -1
    friends = range(arena.n_allies) if i < arena.n_allies else range(arena.n_allies, units.shape[0])
    for j in friends:
        if not units[j].alive or arena.traits[j].effect == HEAL or (wounded and not can_heal(units, arena, i, j)):
            continue
        dx, dy = units[j].x - units[i].x, units[j].y - units[i].y
        if dx * dx + dy * dy < best:
            best, found = dx * dx + dy * dy, j
    return found


@lean_kernel
def _command_medivac(units: np.ndarray, arena: Arena, i: int) -> None:
    if units[i].order == HEAL_UNIT and can_heal(units, arena, i, units[i].target):
        return
    patient = _nearest_friend(units, arena, i, True)
    if patient >= 0:
        units[i].order = HEAL_UNIT
        units[i].target = patient
        return
    leader = _nearest_friend(units, arena, i, False)
    units[i].order = STOP
    if leader >= 0 and math.hypot(units[leader].x - units[i].x, units[leader].y - units[i].y) > _FOLLOW:
        units[i].order = MOVE
        units[i].goal_x, units[i].goal_y = units[leader].x, units[leader].y


@lean_kernel
def _command_fighter(units: np.ndarray, arena: Arena, i: int) -> None:
    target = units[i].target
    chasing = units[i].order == ATTACK and units[target].alive
    if chasing and units[i].crowded:
        other = nearest_target(units, arena, i, arena.traits[i].scan, target)
        if other >= 0:
            units[i].target = other
        return
    found = nearest_target(units, arena, i, arena.traits[i].scan)
    if found < 0 and chasing and gap(units, arena, i, target) <= arena.traits[i].sight:
        return
    if found < 0 and arena.order == TO_ALLIES:
        found = nearest_target(units, arena, i, math.inf)
    if found >= 0:
        if found != target or not chasing:
            units[i].windup = 0.0
        units[i].order = ATTACK
        units[i].target = found
    elif arena.order == NO_ORDER or math.hypot(units[i].post_x - units[i].x, units[i].post_y - units[i].y) < _ARRIVED:
        units[i].order = STOP
    else:
        units[i].order = MOVE
        units[i].goal_x, units[i].goal_y = units[i].post_x, units[i].post_y


@lean_kernel
def post(units: np.ndarray, arena: Arena, x: float, y: float) -> None:
    """Send the enemies to a point, each as far beside it as it stands beside the middle of them all now.

    Where that is no walkable ground, to the point itself.
    """
    n_enemies = units.shape[0] - arena.n_allies
    middle_x, middle_y = 0.0, 0.0
    for i in range(arena.n_allies, units.shape[0]):
        middle_x += units[i].x / n_enemies
        middle_y += units[i].y / n_enemies
    for i in range(arena.n_allies, units.shape[0]):
        units[i].post_x, units[i].post_y = x + units[i].x - middle_x, y + units[i].y - middle_y
        if not free(arena.walkable, units[i].post_x, units[i].post_y):
            units[i].post_x, units[i].post_y = x, y


@lean_kernel
def command(units: np.ndarray, arena: Arena, i: int, loop: int) -> None:
    """Give enemy i its orders for this game loop."""
    if arena.traits[i].effect == HEAL:
        _command_medivac(units, arena, i)
        return
    if units[i].order == ATTACK:
        prey = units[i].target
        if units[prey].alive and (units[i].windup > 0.0 or gap(units, arena, i, prey) <= arena.traits[i].range):
            return
        if units[prey].alive and (loop + i) % _RESCAN != 0:
            return
    elif (loop + i) % _RESCAN != 0:
        return
    _command_fighter(units, arena, i)
