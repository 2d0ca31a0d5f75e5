"""What a battle consists of, as the kernels see it: units, orders, and what never changes in an arena."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.battle.maps import BattleMap
from envs.battle.paths import make_ways
from envs.battle.units import damage_table, make_traits

KEEP, STOP, MOVE, ATTACK, HEAL_UNIT = range(5)
"""Kinds of orders; KEEP gives no new one."""

UNIT = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("health", "f8"),
        ("shield", "f8"),
        ("energy", "f8"),
        ("cooldown", "f8"),
        ("calm", "f8"),
        ("velocity", "f8"),
        ("goal_x", "f8"),
        ("goal_y", "f8"),
        ("post_x", "f8"),
        ("post_y", "f8"),
        ("windup", "f8"),
        ("backswing", "f8"),
        ("second", "f8"),
        ("order", "i8"),
        ("target", "i8"),
        ("second_target", "i8"),
        ("shot", "i8"),
        ("turn", "i8"),
        ("side", "i8"),
        ("full", "i8"),
        ("alive", "?"),
    ],
    align=True,
)
"""A unit's state.

``cooldown`` is in game loops until the weapon is ready; ``calm`` counts loops since the last damage; ``velocity`` is
in cells per loop (of units that accelerate); ``order``, ``target`` and ``goal`` are what it does now; ``post`` is where
the map sends an enemy; ``windup`` counts down to the damage of the attack that it has begun, ``backswing`` to the end
of one, ``second`` to the second hit on ``second_target`` (0: none); ``shot`` is the unit that it shot at or healed last
in this step (-1: none); ``turn`` is the side on which it goes around what is in its way, ``side`` the one on which it
goes around its target (1 left, -1 right, 0 none yet); bit j of ``full`` is set where an enemy found no free place
around ally j since it last fought. A dead unit keeps its last place, with health and shield 0.
"""

ORDER = np.dtype([("kind", "i8"), ("target", "i8"), ("x", "f8"), ("y", "f8")], align=True)
"""An order to one unit: its kind, the target's number among all units (ATTACK, HEAL_UNIT), the point (MOVE)."""


class Arena(NamedTuple):
    """What all battles of a simulator share.

    Attributes:
        traits: [U] of :data:`envs.battle.units.TRAITS`.
        damage: float64 [types, types], see :func:`envs.battle.units.damage_table`.
        n_allies: A.
        order: the opponent's order, see :mod:`envs.battle.maps`.
        walkable: bool [32, 32], for ground units.
        crossable: bool [32, 32], for colossi.
        ways: see :func:`envs.battle.paths.make_ways`.
    """

    traits: np.ndarray
    damage: np.ndarray
    n_allies: int
    order: int
    walkable: np.ndarray
    crossable: np.ndarray
    ways: np.ndarray


def make_arena(battle_map: BattleMap) -> Arena:
    """Build the arena of a map."""
    return Arena(
        traits=make_traits(battle_map.types),
        damage=damage_table(),
        n_allies=battle_map.n_allies,
        order=battle_map.order,
        walkable=np.ascontiguousarray(battle_map.walkable),
        crossable=np.ascontiguousarray(battle_map.crossable),
        ways=make_ways(battle_map.name),
    )
