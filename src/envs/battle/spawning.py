"""Placement of units at the start of a battle.

How the game places a group around its point is not known. Here every unit takes the free place nearest to its point on
a grid that the battle's seed shifts, and is then shifted a little by itself.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import lean_kernel
from envs.battle.bodies import may_stand
from envs.battle.state import STOP, Arena
from envs.battle.units import AIR
from envs.rng import uniform

_PITCH = 0.25
"""Pitch of the grid of places."""
_REACH = 10.0
"""Radius within which a place is sought."""
_GAP = 0.1
"""Least distance between the edges of two units."""
_SHIFT = 0.25
_SHAKE = _GAP / 2 / math.sqrt(2)
"""Largest random shift in x and in y: of the whole side, of each unit (so that none overlap)."""


def _places() -> np.ndarray:
    steps = np.arange(-_REACH, _REACH + _PITCH, _PITCH)
    grid = np.array([(x, y) for x in steps for y in steps if x * x + y * y <= _REACH * _REACH])
    return grid[np.lexsort((grid[:, 0], grid[:, 1], (grid**2).sum(1)))]


PLACES = _places()
"""Places around a point, the nearest first: float64 [K, 2]."""


@lean_kernel
def _is_free(units: np.ndarray, arena: Arena, first: int, i: int, x: float, y: float) -> bool:
    """Whether unit i may stand at a point beside the units first..i-1 of its side, which are placed already."""
    layer = arena.traits[i].layer
    for dx in (-_SHAKE, _SHAKE):
        for dy in (-_SHAKE, _SHAKE):
            if not may_stand(arena, layer, x + dx, y + dy):
                return False
    for j in range(first, i):
        touch = arena.traits[i].separation + arena.traits[j].separation + _GAP
        dx, dy = units[j].x - x, units[j].y - y
        if dx * dx + dy * dy < touch * touch and arena.traits[j].layer == layer and layer != AIR:
            return False
    return True


@lean_kernel
def _place(units: np.ndarray, arena: Arena, places: np.ndarray, first: int, i: int, x: float, y: float) -> None:
    """Put unit i on the free place nearest to a point (on the point itself where there is none)."""
    units[i].x, units[i].y = x, y
    for place in range(places.shape[0]):
        if _is_free(units, arena, first, i, x + places[place, 0], y + places[place, 1]):
            units[i].x, units[i].y = x + places[place, 0], y + places[place, 1]
            return


@lean_kernel
def _sort_allies(units: np.ndarray, arena: Arena) -> None:
    """Number the allies of a type by x, then y: SMAC's order of agents (insertion sort of the places)."""
    for i in range(1, arena.n_allies):
        x, y = units[i].x, units[i].y
        j = i
        while (
            j > 0
            and arena.traits[j - 1].type == arena.traits[i].type
            and (units[j - 1].x > x or (units[j - 1].x == x and units[j - 1].y > y))
        ):
            units[j].x, units[j].y = units[j - 1].x, units[j - 1].y
            j -= 1
        units[j].x, units[j].y = x, y


@lean_kernel
def spawn(units: np.ndarray, arena: Arena, spawns: np.ndarray, places: np.ndarray, streams: np.ndarray, k: int) -> None:
    """Create all units of one battle.

    Args:
        units: [U] of :data:`envs.battle.state.UNIT`, overwritten.
        arena: of the map.
        spawns: float64 [U, 2].
        places: :data:`PLACES`.
        streams: uint64 [N], random streams; the battle's is k.
        k: the battle.
    """
    n_units = units.shape[0]
    for side in range(2):
        first, last = (0, arena.n_allies) if side == 0 else (arena.n_allies, n_units)
        shift_x, shift_y = uniform(streams, k, -_SHIFT, _SHIFT), uniform(streams, k, -_SHIFT, _SHIFT)
        for i in range(first, last):
            _place(units, arena, places, first, i, spawns[i, 0] + shift_x, spawns[i, 1] + shift_y)
    for i in range(n_units):
        units[i].x += uniform(streams, k, -_SHAKE, _SHAKE)
        units[i].y += uniform(streams, k, -_SHAKE, _SHAKE)
        units[i].health = arena.traits[i].max_health
        units[i].shield = arena.traits[i].max_shield
        units[i].energy = arena.traits[i].energy
        units[i].cooldown = 0.0
        units[i].calm = 0.0
        units[i].velocity = 0.0
        units[i].windup = 0.0
        units[i].backswing = 0.0
        units[i].second = 0.0
        units[i].order = STOP
        units[i].target = 0
        units[i].second_target = 0
        units[i].goal_x, units[i].goal_y = units[i].x, units[i].y
        units[i].shot = -1
        units[i].turn = 0
        units[i].alive = True
        units[i].side, units[i].full = 0, 0
    _sort_allies(units, arena)
