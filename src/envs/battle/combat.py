"""Weapons, healing, regeneration and death, for one battle at a time.

All units of a game loop act on what they find at its beginning: who is struck down in a loop still strikes back in it,
so neither side has the first shot. ``units`` is [U] of :data:`envs.battle.state.UNIT`.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import lean_kernel
from envs.battle.state import ATTACK, STOP, Arena
from envs.battle.units import (
    AIR,
    BLAST,
    BLAST_RADIUS,
    HEAL,
    HEAL_ENERGY,
    HEAL_RATE,
    LINE,
    MAX_ENERGY,
    MINIMUM_DAMAGE,
    PERIOD_JITTER,
    SHIELD_DELAY,
    SHIELD_REGENERATION,
    SPLASH_HALF_WIDTH,
    SPLASH_SEARCH,
)
from envs.rng import uniform


@lean_kernel
def gap(units: np.ndarray, arena: Arena, i: int, j: int) -> float:
    """Return the distance between the edges of two units, negative where they overlap."""
    dx, dy = units[j].x - units[i].x, units[j].y - units[i].y
    centers = math.sqrt(dx * dx + dy * dy)
    return centers - arena.traits[i].radius - arena.traits[j].radius


@lean_kernel
def can_attack(arena: Arena, i: int, j: int) -> bool:
    """Whether unit i has a weapon against unit j of the other side."""
    hostile = (i < arena.n_allies) != (j < arena.n_allies)
    return hostile and arena.traits[i].effect != HEAL and (arena.traits[j].layer != AIR or arena.traits[i].hits_air)


@lean_kernel
def can_heal(units: np.ndarray, arena: Arena, i: int, j: int) -> bool:
    """Whether unit i can heal unit j now: alive, biological, hurt and of its own side."""
    friendly = (i < arena.n_allies) == (j < arena.n_allies)
    return (
        friendly
        and i != j
        and arena.traits[i].effect == HEAL
        and arena.traits[j].biological
        and units[j].alive
        and 0.0 < units[j].health < arena.traits[j].max_health
    )


@lean_kernel
def hit(units: np.ndarray, arena: Arena, i: int, j: int) -> None:
    """Strike unit j once with unit i's weapon: shields first, armour against what is left for the health.

    An enemy without a target turns on whom it was hit by.
    """
    left = arena.damage[arena.traits[i].type, arena.traits[j].type]
    absorbed = min(left, units[j].shield)
    units[j].shield -= absorbed
    left -= absorbed
    if left > 0.0:
        units[j].health -= max(left - arena.traits[j].armor, MINIMUM_DAMAGE)
    units[j].calm = 0.0
    if j >= arena.n_allies and units[j].order != ATTACK and can_attack(arena, j, i):
        units[j].order = ATTACK
        units[j].target = i


@lean_kernel
def hit_line(units: np.ndarray, arena: Arena, i: int, target: int) -> None:
    """A colossus' beams: each strikes every ground unit of the other side that touches a line across the shot."""
    dx, dy = units[target].x - units[i].x, units[target].y - units[i].y
    length = math.hypot(dx, dy)
    ux, uy = (dx / length, dy / length) if length > 0.0 else (1.0, 0.0)
    for j in range(units.shape[0]):
        if not units[j].alive or not can_attack(arena, i, j):
            continue
        rx, ry = units[j].x - units[target].x, units[j].y - units[target].y
        along, across = rx * ux + ry * uy, ry * ux - rx * uy
        beyond = max(abs(across) - SPLASH_HALF_WIDTH, 0.0)
        reach = SPLASH_SEARCH + arena.traits[j].radius
        if along * along + beyond * beyond <= reach * reach:
            for _ in range(arena.traits[i].hits):
                hit(units, arena, i, j)


@lean_kernel
def explode(units: np.ndarray, arena: Arena, i: int) -> None:
    """A baneling bursts: strike every ground unit of the other side within the blast's radius."""
    for j in range(units.shape[0]):
        if units[j].alive and can_attack(arena, i, j):
            reach = BLAST_RADIUS + arena.traits[j].radius
            dx, dy = units[j].x - units[i].x, units[j].y - units[i].y
            if dx * dx + dy * dy <= reach * reach:
                hit(units, arena, i, j)


@lean_kernel
def fire(units: np.ndarray, arena: Arena, i: int, target: int, streams: np.ndarray, k: int) -> None:
    """Do what unit i's weapon does to ``target``; its period counts from the beginning of the attack.

    From now on it stands until its backswing is over or it is given a new order.
    """
    units[i].shot = target
    delay = uniform(streams, k, PERIOD_JITTER[0], PERIOD_JITTER[1])
    units[i].cooldown = arena.traits[i].period - arena.traits[i].windup + delay
    units[i].backswing = arena.traits[i].backswing
    effect = arena.traits[i].effect
    if effect == BLAST:
        units[i].health = 0.0  # it bursts when it dies
    elif effect == LINE:
        hit_line(units, arena, i, target)
    else:
        hit(units, arena, i, target)
        if arena.traits[i].hits > 1:
            units[i].second = arena.traits[i].hit_delay
            units[i].second_target = target


@lean_kernel
def attack(units: np.ndarray, arena: Arena, i: int, target: int, streams: np.ndarray, k: int) -> bool:
    """Begin an attack, go on with it or wait for the weapon, where ``target`` is in range; returns whether it is."""
    reach = arena.traits[i].range
    if units[i].windup > 0.0:
        reach += arena.traits[i].slop
    if gap(units, arena, i, target) > reach:
        units[i].windup = 0.0
        return False
    if units[i].windup > 0.0:
        units[i].windup -= 1.0
        if units[i].windup <= 0.0:
            units[i].windup = 0.0
            fire(units, arena, i, target, streams, k)
    elif units[i].cooldown <= 0.0:
        if arena.traits[i].windup > 0.0:
            units[i].windup = arena.traits[i].windup
        else:
            fire(units, arena, i, target, streams, k)
    return True


@lean_kernel
def second_hit(units: np.ndarray, arena: Arena, i: int) -> None:
    """Count down to the second hit of an attack; it misses a target that has stepped out of range and slop."""
    units[i].second -= 1.0
    if units[i].second > 0.0:
        return
    units[i].second = 0.0
    target = units[i].second_target
    if units[target].alive and gap(units, arena, i, target) <= arena.traits[i].range + arena.traits[i].slop:
        hit(units, arena, i, target)


@lean_kernel
def heal(units: np.ndarray, arena: Arena, i: int, target: int) -> None:
    """Heal for one game loop, as far as energy and the target's wounds go."""
    missing = arena.traits[target].max_health - units[target].health
    amount = min(min(HEAL_RATE, missing), units[i].energy / HEAL_ENERGY)
    units[target].health += amount
    units[i].energy -= amount * HEAL_ENERGY
    units[i].shot = target


@lean_kernel
def regenerate(units: np.ndarray, arena: Arena, i: int) -> None:
    """Shields, zerg's health, energy and weapon of one unit, one game loop further."""
    units[i].cooldown = max(units[i].cooldown - 1.0, 0.0)
    units[i].backswing = max(units[i].backswing - 1.0, 0.0)
    units[i].calm += 1.0
    traits = arena.traits[i]
    if traits.max_shield > 0.0 and units[i].calm > SHIELD_DELAY:
        units[i].shield = min(units[i].shield + SHIELD_REGENERATION, traits.max_shield)
    if traits.health_regeneration > 0.0:
        units[i].health = min(units[i].health + traits.health_regeneration, traits.max_health)
    if traits.energy_regeneration > 0.0:
        units[i].energy = min(units[i].energy + traits.energy_regeneration, MAX_ENERGY)


@lean_kernel
def bury(units: np.ndarray, arena: Arena) -> bool:
    """Take away who has no health left; banelings burst, which may strike down more. Returns whether anybody died."""
    any_dead = False
    more = True
    while more:
        more = False
        for i in range(units.shape[0]):
            if units[i].alive and units[i].health <= 0.0:
                units[i].alive = False
                units[i].health = 0.0
                units[i].shield = 0.0
                units[i].order = STOP
                any_dead = True
                if arena.traits[i].effect == BLAST:
                    explode(units, arena, i)
                    more = True
    return any_dead
