"""Where a melee unit can get at its target: a free place on the circle from which its weapon reaches.

Who comes to a target around which others fight already goes for the free place that is nearest along the circle, and
past the nearer end of the wall of fighters in between. It keeps to the side that it has taken so, unless the other one
comes to be nearer by a quarter of a circle: the wall grows at both ends while it walks. The game's own steering is not
known.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import lean_kernel
from envs.battle.bodies import HOLDING, MODE, NEAR, RADIUS, WISH_X, WISH_Y, X, Y, may_stand
from envs.battle.maps import SIZE
from envs.battle.state import ATTACK, Arena

_MELEE = 1.0
"""Longest range of a melee weapon."""
_LOOK = 3.0
"""How far from the circle a unit begins to look for a free place."""
_BEYOND = 2.0
"""How much farther away from a unit there may be somebody around its target."""
_INSIDE = 0.02
"""How far within its reach a place lies."""
_TURN_BACK = 1.0
"""How much nearer the other side must be for a unit to turn back: 90 degrees of :func:`_angle`."""
_SLACK = 0.01
"""Room between two units beyond their radii."""


@lean_kernel
def _find_solid(arena: Arena, bodies: np.ndarray, i: int) -> int:
    """Write who near unit i gives no way, fighting friends and the other side, into the row NEAR; return how many."""
    x, y, far, count = bodies[X, i], bodies[Y, i], _LOOK + _BEYOND, 0
    for j in range(arena.traits.shape[0]):
        if bodies[MODE, j] != HOLDING and (i < arena.n_allies) == (j < arena.n_allies):
            continue
        rx, ry = bodies[X, j] - x, bodies[Y, j] - y
        if rx * rx + ry * ry < far * far and arena.traits[j].layer == arena.traits[i].layer and j != i:
            bodies[NEAR, count] = j
            count += 1
    return count


@lean_kernel
def _is_taken(arena: Arena, bodies: np.ndarray, i: int, solid: int, x: float, y: float) -> bool:
    """Whether a point is too near to one of those in the row NEAR, or no ground for unit i."""
    for near in range(solid):
        j = int(bodies[NEAR, near])
        rx, ry, touch = bodies[X, j] - x, bodies[Y, j] - y, bodies[RADIUS, j] + bodies[RADIUS, i]
        if rx * rx + ry * ry < touch * touch:
            return True
    return not may_stand(arena, arena.traits[i].layer, x, y)


@lean_kernel
def _angle(ux: float, uy: float, vx: float, vy: float) -> float:
    """Return how far v is turned to the left of u, -2 to 2 for -180 to 180 degrees (monotonous, not linear)."""
    dot, cross = ux * vx + uy * vy, ux * vy - uy * vx
    part = cross / max(abs(dot) + abs(cross), 1e-12)
    return part if dot >= 0.0 else (2.0 - part if cross >= 0.0 else -2.0 - part)


@lean_kernel
def _find_place(
    arena: Arena, bodies: np.ndarray, i: int, target: int, solid: int, side: int
) -> tuple[bool, float, float]:
    """Return whether there is a free place around ``target`` for unit i, and its offset from the target.

    The first to be tried is the one straight ahead, then those beside each fighter (where the circle of reach meets
    the circle of places that touch the fighter); the free one least far along the circle is taken, and one on the
    other side than ``side`` (1 left, -1 right, 0 none) only where it is nearer by a quarter of the circle.
    """
    traits = arena.traits[i]
    reach = traits.range + traits.radius + arena.traits[target].radius - _INSIDE
    x, y = bodies[X, target], bodies[Y, target]
    ux, uy = bodies[X, i] - x, bodies[Y, i] - y
    length = math.sqrt(ux * ux + uy * uy)
    if length <= reach:
        return True, ux, uy
    ux, uy = ux / length, uy / length
    px, py = reach * ux, reach * uy
    if not _is_taken(arena, bodies, i, solid, x + px, y + py):
        return True, px, py
    best, found, place_x, place_y = math.inf, False, 0.0, 0.0
    for near in range(solid):
        j = int(bodies[NEAR, near])
        rx, ry = bodies[X, j] - x, bodies[Y, j] - y
        square = rx * rx + ry * ry
        touch = bodies[RADIUS, j] + bodies[RADIUS, i] + _SLACK
        along = (square + reach * reach - touch * touch) / (2.0 * square) if square > 0.0 else 0.0
        across = reach * reach / square - along * along if square > 0.0 else -1.0
        if across < 0.0:
            continue
        across = math.sqrt(across)
        for end in (-1.0, 1.0):
            px, py = along * rx - end * across * ry, along * ry + end * across * rx
            angle = _angle(ux, uy, px, py)
            turned = abs(angle) + _TURN_BACK * (side * angle > 0.0)
            if turned < best and not _is_taken(arena, bodies, i, solid, x + px, y + py):
                best, found, place_x, place_y = turned, True, px, py
    return found, place_x, place_y


@lean_kernel
def _first_in_line(bodies: np.ndarray, i: int, solid: int, ux: float, uy: float, length: float) -> int:
    """Return the place in the row NEAR of the first body on the way of some length, or -1."""
    first, found = length, -1
    for near in range(solid):
        j = int(bodies[NEAR, near])
        rx, ry = bodies[X, j] - bodies[X, i], bodies[Y, j] - bodies[Y, i]
        along, across, touch = rx * ux + ry * uy, rx * uy - ry * ux, bodies[RADIUS, j] + bodies[RADIUS, i]
        if 0.0 < along < first and across * across < touch * touch:
            first, found = along, near
    return found


@lean_kernel
def _gather(bodies: np.ndarray, i: int, solid: int, first: int) -> int:
    """Put those that form a wall with one of the row NEAR, no gap of which lets unit i through, to the row's front."""
    bodies[NEAR, 0], bodies[NEAR, first] = bodies[NEAR, first], bodies[NEAR, 0]
    size, looked = 1, 0
    while looked < size:
        j = int(bodies[NEAR, looked])
        looked += 1
        for near in range(size, solid):
            k = int(bodies[NEAR, near])
            rx, ry = bodies[X, k] - bodies[X, j], bodies[Y, k] - bodies[Y, j]
            gate = bodies[RADIUS, j] + bodies[RADIUS, k] + 2.0 * bodies[RADIUS, i]
            if rx * rx + ry * ry < gate * gate:
                bodies[NEAR, near] = bodies[NEAR, size]
                bodies[NEAR, size] = k
                size += 1
    return size


@lean_kernel
def _detour(units: np.ndarray, bodies: np.ndarray, i: int, wall: int, ux: float, uy: float) -> tuple[float, float]:
    """Return the direction past the nearer end of a wall: the front of the row NEAR; (ux, uy) leads into it.

    That end's side becomes unit i's, also for what it bumps into there; it is the other one's than before only where
    that is nearer by a quarter of a circle.
    """
    left, right, left_x, left_y, right_x, right_y = -3.0, 3.0, ux, uy, ux, uy
    for near in range(wall):
        j = int(bodies[NEAR, near])
        rx, ry = bodies[X, j] - bodies[X, i], bodies[Y, j] - bodies[Y, i]
        distance = max(math.sqrt(rx * rx + ry * ry), 1e-9)
        rx, ry = rx / distance, ry / distance
        sine = min((bodies[RADIUS, j] + bodies[RADIUS, i] + _SLACK) / distance, 1.0)
        cosine = math.sqrt(1.0 - sine * sine)
        middle = _angle(ux, uy, rx, ry)
        x, y = cosine * rx - sine * ry, cosine * ry + sine * rx
        angle = _angle(ux, uy, x, y)
        angle = 2.0 if angle < middle else angle
        if angle > left:
            left, left_x, left_y = angle, x, y
        x, y = cosine * rx + sine * ry, cosine * ry - sine * rx
        angle = _angle(ux, uy, x, y)
        angle = -2.0 if angle > middle else angle
        if angle < right:
            right, right_x, right_y = angle, x, y
    units[i].side = 1 if left - _TURN_BACK * (units[i].side > 0) < -right - _TURN_BACK * (units[i].side < 0) else -1
    units[i].turn = units[i].side
    if units[i].side > 0:
        return left_x, left_y
    return right_x, right_y


@lean_kernel
def _is_straight(arena: Arena, bodies: np.ndarray, i: int, solid: int, ux: float, uy: float, length: float) -> bool:
    """Whether nobody of the row NEAR stands on the way to a point some length ahead or too near to it."""
    if _first_in_line(bodies, i, solid, ux, uy, length) >= 0:
        return False
    return not _is_taken(arena, bodies, i, solid, bodies[X, i] + ux * length, bodies[Y, i] + uy * length)


@lean_kernel
def in_sight(units: np.ndarray, arena: Arena, i: int, j: int) -> bool:
    """Whether there is no corner on unit i's way to unit j."""
    if arena.ways.shape[0] == 0:
        return True
    goal = int(units[j].x) * SIZE + int(units[j].y)
    way = arena.ways[int(units[i].x) * SIZE + int(units[i].y), goal]
    return way < 0 or way == goal


@lean_kernel
def close_in(units: np.ndarray, arena: Arena, bodies: np.ndarray, i: int) -> None:
    """Turn the wish of a melee unit that is GOING to its target towards a free place there, and past who is in between.

    Where there is none it goes on straight ahead, and an enemy remembers the target as full.
    """
    traits, target = arena.traits[i], units[i].target
    if units[i].order != ATTACK or traits.range >= _MELEE:
        return
    wx, wy = bodies[X, target] - bodies[X, i], bodies[Y, target] - bodies[Y, i]
    distance = math.sqrt(wx * wx + wy * wy)
    ahead = distance - traits.range - traits.radius - arena.traits[target].radius + _INSIDE
    if ahead > _LOOK or distance < 1e-9 or not in_sight(units, arena, i, target):
        units[i].side = 0
        return
    ux, uy = wx / distance, wy / distance
    solid = _find_solid(arena, bodies, i)
    if _is_straight(arena, bodies, i, solid, ux, uy, ahead):
        return
    found, px, py = _find_place(arena, bodies, i, target, solid, units[i].side)
    if not found:
        if i >= arena.n_allies:  # agents choose their targets themselves
            units[i].full |= 1 << target
        return
    wx, wy = wx + px, wy + py
    distance = math.sqrt(wx * wx + wy * wy)
    if distance < 1e-9:
        return
    ux, uy = wx / distance, wy / distance
    first = _first_in_line(bodies, i, solid, ux, uy, distance)
    if first >= 0:
        ux, uy = _detour(units, bodies, i, _gather(bodies, i, solid, first), ux, uy)
    pace = min(traits.speed, distance)
    bodies[WISH_X, i], bodies[WISH_Y, i] = ux * pace, uy * pace
