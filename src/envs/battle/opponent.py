"""The scripted opponent: attack-move, who threatens it first, then the nearest.

What the game's built-in AI does beyond its orders is not known. Every enemy attacks whom it finds within its scan range
as players describe the game's automatic targeting: who is attacking it, before who could, before the unarmed; among
equals the nearest. It keeps to a target in range of its weapon, but to an unarmed one only until an armed one is in
range, too; from a target out of range it turns to another. (Liquipedia, "Automatic Targeting"; that the attacker comes
first: gaming.stackexchange.com, "How do units choose which enemy to target in SC2". SMAC's documentation calls
alternating fire the trick of 2m_vs_1z: who is chased runs, the other shoots and is chased.) A melee unit that finds no
place around a target turns to the next, and not back before it has fought or has found no place around any. Where
nobody is within its scan range an enemy goes on to where the map sends it. As a group that the game orders to a point
keeps its formation, every enemy is sent to its own place beside that point. Medivacs heal the nearest wounded friend
and follow the others.
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
"""Game loops between two looks around for another target."""
_ARRIVED = 1.5
"""Distance from the attack-move's point that counts as there."""
_FOLLOW = 2.0
"""Distance that a medivac keeps from whom it follows."""


@lean_kernel
def _threat(units: np.ndarray, arena: Arena, i: int, j: int) -> int:
    """Return how much unit j threatens unit i: 2 attacks it, 1 could, 0 has no weapon against it."""
    if not can_attack(arena, j, i):
        return 0
    attacks = units[j].order == ATTACK and units[j].target == i
    return 2 if attacks and (units[j].windup > 0.0 or units[j].cooldown > 0.0) else 1


@lean_kernel
def find_target(units: np.ndarray, arena: Arena, i: int, reach: float, but: int = -1) -> int:
    """Return the living unit other than ``but`` that i attacks first among those with a gap below ``reach``, or -1.

    Units that it remembers as full are left out. Beyond its scan range i does not see who threatens it: there the
    nearest comes first.
    """
    best, found, most = math.inf, -1, -1
    others = range(arena.n_allies) if i >= arena.n_allies else range(arena.n_allies, units.shape[0])
    for j in others:
        if not units[j].alive or j == but or units[i].full >> j & 1 or not can_attack(arena, i, j):
            continue
        apart = gap(units, arena, i, j)
        if apart >= reach:
            continue
        threat = _threat(units, arena, i, j) if apart < arena.traits[i].scan else 0
        if threat > most or (threat == most and apart < best):
            best, found, most = apart, j, threat
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
def _turn_to(units: np.ndarray, i: int, target: int) -> None:
    if units[i].order != ATTACK or units[i].target != target:
        units[i].windup = 0.0
    units[i].order = ATTACK
    units[i].target = target


@lean_kernel
def _command_fighter(units: np.ndarray, arena: Arena, i: int) -> None:
    target, scan, reach = units[i].target, arena.traits[i].scan, arena.traits[i].range
    chasing = units[i].order == ATTACK and units[target].alive
    if chasing and gap(units, arena, i, target) <= reach:
        if _threat(units, arena, i, target) == 0:
            other = find_target(units, arena, i, reach, target)
            if other >= 0 and _threat(units, arena, i, other) > 0:
                _turn_to(units, i, other)
        return
    found = find_target(units, arena, i, scan)
    if found < 0 and units[i].full:
        units[i].full = 0
        if chasing:
            return
        found = find_target(units, arena, i, scan)
    if found < 0 and chasing and gap(units, arena, i, target) <= arena.traits[i].sight:
        return
    if found < 0 and arena.order == TO_ALLIES:
        found = find_target(units, arena, i, math.inf)
    if found >= 0:
        _turn_to(units, i, found)
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
    attacking, living = units[i].order == ATTACK, units[units[i].target].alive
    if attacking and living and units[i].windup > 0.0:
        return
    if (loop + i) % _RESCAN == 0 or (attacking and not living):
        _command_fighter(units, arena, i)
