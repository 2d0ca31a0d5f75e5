"""Unit data of StarCraft II's Liberty dependency, on which all 23 SMAC maps rest.

The numbers are those of UnitData, WeaponData, EffectData and AbilData in mods/liberty.sc2mod (Blizzard's SC2GameData,
the same in game versions 4.6 and 4.10). Times are seconds of normal game speed, 16 game loops each; lengths are map
cells; ranges are between edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

LOOPS_PER_SECOND = 16
SHIELD_DELAY = 10.0 * LOOPS_PER_SECOND
"""Game loops without damage after which shields regenerate."""
SHIELD_REGENERATION = 2.0 / LOOPS_PER_SECOND
MINIMUM_DAMAGE = 0.5
"""What a hit takes at least, whatever the armour."""
PERIOD_JITTER = (-1.0, 2.0)
"""Game loops that are added to a weapon's period at random: -0.0625 s to 0.125 s."""
MINIMUM_SCAN = 5.0
"""Range within which every armed unit looks for targets, however short its weapon."""
HEAL_RATE = 9.0 / LOOPS_PER_SECOND
HEAL_ENERGY = 0.33
"""Energy per point of health."""
SPLASH_HALF_WIDTH = 1.25
SPLASH_SEARCH = 0.15
"""A colossus' two beams: a line of twice the half width across the shot, and how far they reach on either side."""
BLAST_RADIUS = 2.2
MAX_ENERGY = 200.0

SINGLE, LINE, BLAST, HEAL = range(4)
"""What a unit does to its target: damage it, damage a line, explode, heal."""
GROUND, COLOSSUS, AIR = range(3)
"""Where a unit stands: units collide within a layer only, and not in the air."""

Attribute = Literal["light", "armored", "biological", "mechanical", "massive", "structure", "zerg"]


@dataclass(frozen=True, kw_only=True)
class UnitType:
    """One type of unit.

    Attributes:
        sc2_id: StarCraft II's unit type id.
        max_cooldown: what SMAC divides this type's weapon cooldown by (its own numbers, not the game's).
        damage: of one hit; ``bonus`` more against ``bonus_to``.
        windup: seconds between an attack's beginning and its damage (the game's damage point).
        backswing: seconds after the damage for which a unit stands unless it is given a new order.
        hits: hits of one attack, ``hit_delay`` seconds apart.
        slop: how far a target may step out of range while an attack on it goes on.
        radius: for ranges; ``separation``: for collisions.
        acceleration: per second squared; 0 means at once.
    """

    name: str
    sc2_id: int
    attributes: frozenset[Attribute]
    health: float
    shield: float = 0.0
    armor: float = 0.0
    energy: float = 0.0
    energy_regeneration: float = 0.0
    health_regeneration: float = 0.0
    speed: float
    acceleration: float = 0.0
    radius: float
    separation: float
    sight: float
    range: float
    period: float = 1.0
    windup: float = 0.0
    backswing: float = 0.5
    damage: float = 0.0
    bonus: float = 0.0
    bonus_to: Attribute | None = None
    hits: int = 1
    hit_delay: float = 0.0
    slop: float = 1.0
    effect: int = SINGLE
    layer: int = GROUND
    hits_air: bool = False
    max_cooldown: float = 15.0


def _has(*attributes: Attribute) -> frozenset[Attribute]:
    return frozenset(attributes)


UNIT_TYPES: tuple[UnitType, ...] = (
    UnitType(
        name="marine", sc2_id=48, attributes=_has("light", "biological"),
        health=45,
        speed=2.25, radius=0.375, separation=0.375, sight=9,
        range=5, period=0.8608, windup=0.05, backswing=0.75, damage=6, hits_air=True,
    ),
    UnitType(
        name="marauder", sc2_id=51, attributes=_has("armored", "biological"),
        health=125, armor=1,
        speed=2.25, radius=0.5625, separation=0.5, sight=10,
        range=6, period=1.5, backswing=0, damage=10, bonus=10, bonus_to="armored", max_cooldown=25,
    ),
    UnitType(
        name="medivac", sc2_id=54, attributes=_has("armored", "mechanical"),
        health=150, armor=1, energy=50, energy_regeneration=0.5625,
        speed=2.75, acceleration=2.3125, radius=0.75, separation=0.75, sight=11, layer=AIR,
        range=4, effect=HEAL, max_cooldown=MAX_ENERGY,
    ),
    UnitType(
        name="stalker", sc2_id=74, attributes=_has("armored", "mechanical"),
        health=80, shield=80, armor=1,
        speed=2.9531, radius=0.625, separation=0.625, sight=10,
        range=6, period=1.44, windup=0.167, damage=10, bonus=4, bonus_to="armored", hits_air=True, max_cooldown=35,
    ),
    UnitType(
        name="zealot", sc2_id=73, attributes=_has("light", "biological"),
        health=100, shield=50, armor=1,
        speed=2.25, radius=0.5, separation=0.375, sight=9,
        range=0.1, period=1.2, damage=8, hits=2, hit_delay=0.28, max_cooldown=22,
    ),
    UnitType(
        name="colossus", sc2_id=4, attributes=_has("armored", "mechanical", "massive"),
        health=200, shield=150, armor=1,
        speed=2.25, radius=1.0, separation=0.75, sight=10, layer=COLOSSUS,
        range=6, period=2.2, windup=0.0832, damage=20, hits=2, slop=0, effect=LINE, max_cooldown=24,
    ),
    UnitType(
        name="zergling", sc2_id=105, attributes=_has("light", "biological", "zerg"),
        health=35, health_regeneration=0.2734,
        speed=2.9531, radius=0.375, separation=0.375, sight=8,
        range=0.1, period=0.696, windup=0.167, damage=5, max_cooldown=11,
    ),
    UnitType(
        name="baneling", sc2_id=9, attributes=_has("biological", "zerg"),
        health=30, health_regeneration=0.2734,
        speed=2.5, radius=0.375, separation=0.375, sight=8,
        range=0.25, period=0.833, damage=20, bonus=15, bonus_to="light", effect=BLAST, max_cooldown=1,
    ),
    UnitType(
        name="hydralisk", sc2_id=107, attributes=_has("light", "biological", "zerg"),
        health=80, health_regeneration=0.2734,
        speed=2.25, radius=0.625, separation=0.5, sight=9,
        range=5, period=0.83, windup=0.208, damage=12, hits_air=True, max_cooldown=10,
    ),
    UnitType(
        name="spine_crawler", sc2_id=98, attributes=_has("armored", "biological", "structure", "zerg"),
        health=300, armor=2, health_regeneration=0.2734,
        speed=0, radius=0.875, separation=0.875, sight=11,
        range=7, period=1.6, windup=0.3332, damage=25, bonus=5, bonus_to="armored", slop=0,
    ),
)  # fmt: skip
TYPE_INDEX = {unit.name: index for index, unit in enumerate(UNIT_TYPES)}

STRUCTURE_DAMAGE = 80.0
"""A baneling's damage to structures."""

TRAITS = np.dtype(
    [
        ("type", "i8"),
        ("max_health", "f8"),
        ("max_shield", "f8"),
        ("armor", "f8"),
        ("energy", "f8"),
        ("energy_regeneration", "f8"),
        ("health_regeneration", "f8"),
        ("speed", "f8"),
        ("acceleration", "f8"),
        ("radius", "f8"),
        ("separation", "f8"),
        ("sight", "f8"),
        ("range", "f8"),
        ("scan", "f8"),
        ("period", "f8"),
        ("windup", "f8"),
        ("backswing", "f8"),
        ("hit_delay", "f8"),
        ("slop", "f8"),
        ("max_cooldown", "f8"),
        ("hits", "i8"),
        ("effect", "i8"),
        ("layer", "i8"),
        ("hits_air", "?"),
        ("biological", "?"),
    ],
    align=True,
)
"""A unit type as the kernels read it: rates per game loop, times in game loops, lengths in cells."""


def make_traits(types: np.ndarray) -> np.ndarray:
    """Describe units for the kernels: [U] of :data:`TRAITS` for their type indices (int [U])."""
    traits = np.zeros(len(types), TRAITS)
    for row, index in zip(traits, types, strict=True):
        unit = UNIT_TYPES[index]
        row["type"] = index
        row["max_health"], row["max_shield"], row["armor"] = unit.health, unit.shield, unit.armor
        row["energy"] = unit.energy
        row["energy_regeneration"] = unit.energy_regeneration / LOOPS_PER_SECOND
        row["health_regeneration"] = unit.health_regeneration / LOOPS_PER_SECOND
        row["speed"] = unit.speed / LOOPS_PER_SECOND
        row["acceleration"] = unit.acceleration / LOOPS_PER_SECOND**2
        row["radius"], row["sight"], row["range"] = unit.radius, unit.sight, unit.range
        row["separation"], row["windup"] = unit.separation, unit.windup * LOOPS_PER_SECOND
        row["scan"] = max(unit.range, MINIMUM_SCAN)
        row["period"], row["backswing"] = unit.period * LOOPS_PER_SECOND, unit.backswing * LOOPS_PER_SECOND
        row["hit_delay"], row["slop"] = unit.hit_delay * LOOPS_PER_SECOND, unit.slop
        row["max_cooldown"] = unit.max_cooldown
        row["hits"], row["effect"], row["layer"] = unit.hits, unit.effect, unit.layer
        row["hits_air"], row["biological"] = unit.hits_air, "biological" in unit.attributes
    return traits


def damage_table() -> np.ndarray:
    """Return the damage of one hit before armour: float64 [attacker type, target type]."""
    table = np.zeros((len(UNIT_TYPES), len(UNIT_TYPES)))
    for a, attacker in enumerate(UNIT_TYPES):
        for b, target in enumerate(UNIT_TYPES):
            bonus = attacker.bonus if attacker.bonus_to in target.attributes else 0.0
            table[a, b] = attacker.damage + bonus
            if attacker.effect == BLAST and "structure" in target.attributes:
                table[a, b] = STRUCTURE_DAMAGE
    return table
