"""Movement of one battle's units: steering around what is in the way, collisions, terrain.

The game's own steering is not known. Here a unit walks straight at its goal (or at the next corner of its way there),
goes around units that stand fast, pushes aside friends that stand idle, and stays on walkable cells.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import lean_kernel
from envs.battle.bodies import (
    FAR,
    GOING,
    HOLDING,
    MODE,
    NEAR,
    RADIUS,
    RESTING,
    WISH_X,
    WISH_Y,
    X,
    Y,
    may_stand,
    touching,
)
from envs.battle.maps import SIZE
from envs.battle.state import ATTACK, Arena
from envs.battle.surround import close_in, in_sight
from envs.battle.units import AIR, COLOSSUS

_EPSILON = 1e-9
_TOUCH = 1e-6
"""Overlaps smaller than this are let be."""
_ROOM, _SQUEEZE = 0.8, 0.6
"""How near a unit comes to a friend that it pushes, as a part of the distance at which they touch: as a rule, and on
its way around a corner, where a crowd would jam."""
_CORNERS = 4
"""How many obstacles in a row a unit goes along before it turns back."""
_ABREAST = 4
"""How many units pass a corner side by side, where there is room."""
_ROUNDS, _MOST_ROUNDS = 2, 4
"""How often overlaps are resolved in one game loop: as a rule, and at most, while there are any as deep as _CRUSH."""
_CRUSH = 0.3


@lean_kernel
def _abreast(units: np.ndarray, arena: Arena, i: int, way: int, after: int) -> tuple[float, float]:
    """Return where unit i passes the corner of its way at cell ``way``: beside the others, as far out as there is room.

    ``after`` is the cell to which it goes on from there.
    """
    x, y = way // SIZE + 0.5, way % SIZE + 0.5
    ax, ay = x - units[i].x, y - units[i].y
    bx, by = after // SIZE + 0.5 - x, after % SIZE + 0.5 - y
    a, b = math.sqrt(ax * ax + ay * ay), math.sqrt(bx * bx + by * by)
    if a < _EPSILON or b < _EPSILON:
        return x, y
    out_x, out_y = ax / a - bx / b, ay / a - by / b
    length = math.sqrt(out_x * out_x + out_y * out_y)
    if length < _EPSILON:
        return x, y
    lane = 2.0 * arena.traits[i].separation / length
    for _ in range(i % _ABREAST):
        if not may_stand(arena, arena.traits[i].layer, x + lane * out_x, y + lane * out_y):
            break
        x, y = x + lane * out_x, y + lane * out_y
    return x, y


@lean_kernel
def head_for(units: np.ndarray, arena: Arena, i: int, x: float, y: float, bodies: np.ndarray) -> None:
    """Wish to go towards a point, at the unit's speed and no farther than there."""
    traits = arena.traits[i]
    if arena.ways.shape[0] > 0 and traits.layer != AIR and traits.layer != COLOSSUS:
        own = int(units[i].x) * SIZE + int(units[i].y)
        goal = min(max(int(x), 0), SIZE - 1) * SIZE + min(max(int(y), 0), SIZE - 1)
        way = arena.ways[own, goal]
        if way >= 0 and way != goal:
            x, y = _abreast(units, arena, i, way, arena.ways[way, goal])
    speed = traits.speed
    if traits.acceleration > 0.0:
        units[i].velocity = min(units[i].velocity + traits.acceleration, traits.speed)
        speed = units[i].velocity
    dx, dy = x - units[i].x, y - units[i].y
    distance = math.sqrt(dx * dx + dy * dy)
    scale = speed / distance if distance > speed else 1.0
    bodies[WISH_X, i], bodies[WISH_Y, i], bodies[MODE, i] = dx * scale, dy * scale, GOING


@lean_kernel
def _find_obstacles(arena: Arena, bodies: np.ndarray, i: int, reach: float) -> int:
    """Write who may stand in unit i's way, less than ``reach`` away, into the row NEAR; returns their number."""
    x, y, radius = bodies[X, i], bodies[Y, i], bodies[RADIUS, i] + reach
    if touching(bodies, x, y, radius) <= 1:  # itself
        return 0
    count = 0
    for j in range(arena.traits.shape[0]):
        rx, ry, touch = bodies[X, j] - x, bodies[Y, j] - y, bodies[RADIUS, j] + radius
        if rx * rx + ry * ry >= touch * touch or j == i or arena.traits[j].layer != arena.traits[i].layer:
            continue
        bodies[NEAR, count] = j
        count += 1
    return count


@lean_kernel
def _in_the_way(arena: Arena, bodies: np.ndarray, i: int, obstacles: int, dx: float, dy: float, squeeze: float) -> int:
    """Return the first obstacle that a step would bring nearer and that unit i would overlap then, or -1.

    A friend that does not fight is pushed aside, and an obstacle only where it comes too close all the same: nearer
    than the part ``squeeze`` of the distance at which they touch.
    """
    x, y = bodies[X, i] + dx, bodies[Y, i] + dy
    for near in range(obstacles):
        j = int(bodies[NEAR, near])
        rx, ry, touch = bodies[X, j] - x, bodies[Y, j] - y, bodies[RADIUS, j] + bodies[RADIUS, i] - _TOUCH
        nearer = dx * (bodies[X, j] - bodies[X, i]) + dy * (bodies[Y, j] - bodies[Y, i]) > _EPSILON
        if not nearer or rx * rx + ry * ry >= touch * touch:
            continue
        yields = bodies[MODE, j] != HOLDING and (i < arena.n_allies) == (j < arena.n_allies)
        if not yields or rx * rx + ry * ry < (squeeze * touch) ** 2:
            return j
    return -1


@lean_kernel
def _try(arena: Arena, bodies: np.ndarray, i: int, obstacles: int, dx: float, dy: float, squeeze: float) -> bool:
    """Take a step if terrain and obstacles allow it; returns whether it was taken."""
    x, y = bodies[X, i] + dx, bodies[Y, i] + dy
    if not may_stand(arena, arena.traits[i].layer, x, y):
        return False
    if _in_the_way(arena, bodies, i, obstacles, dx, dy, squeeze) >= 0:
        return False
    bodies[X, i], bodies[Y, i] = x, y
    return True


@lean_kernel
def _go_around(units: np.ndarray, arena: Arena, bodies: np.ndarray, i: int, obstacles: int, squeeze: float) -> None:
    """Step along the edges of what is in the way, always on the side that was taken first; turn where that ends."""
    dx, dy = bodies[WISH_X, i], bodies[WISH_Y, i]
    length = math.sqrt(dx * dx + dy * dy)
    j = _in_the_way(arena, bodies, i, obstacles, dx, dy, squeeze)
    for _ in range(_CORNERS):
        if j < 0:
            break
        rx, ry = bodies[X, j] - bodies[X, i], bodies[Y, j] - bodies[Y, i]
        if units[i].turn == 0:
            units[i].turn = 1 if dx * ry - dy * rx < 0.0 else -1  # the shorter way: away from its centre
        scale = units[i].turn * length / max(math.sqrt(rx * rx + ry * ry), _EPSILON)
        dx, dy = -ry * scale, rx * scale
        if _try(arena, bodies, i, obstacles, dx, dy, squeeze):
            return
        j = _in_the_way(arena, bodies, i, obstacles, dx, dy, squeeze)
    units[i].turn = -units[i].turn


@lean_kernel
def _walk(units: np.ndarray, arena: Arena, bodies: np.ndarray, i: int) -> None:
    """Move a unit on the ground: straight on, along a wall, or around what is in the way."""
    dx, dy = bodies[WISH_X, i], bodies[WISH_Y, i]
    if dx * dx + dy * dy < _EPSILON:
        return
    obstacles = _find_obstacles(arena, bodies, i, arena.traits[i].speed)
    if obstacles == 0:
        units[i].turn = 0  # not sooner: between two obstacles it would go to and fro
    around = units[i].order == ATTACK and not in_sight(units, arena, i, units[i].target)
    squeeze = _SQUEEZE if around else _ROOM
    if _try(arena, bodies, i, obstacles, dx, dy, squeeze):
        return
    if not may_stand(arena, arena.traits[i].layer, bodies[X, i] + dx, bodies[Y, i] + dy):
        if abs(dx) > _EPSILON and _try(arena, bodies, i, obstacles, dx, 0.0, squeeze):
            return
        if abs(dy) > _EPSILON and _try(arena, bodies, i, obstacles, 0.0, dy, squeeze):
            return
    _go_around(units, arena, bodies, i, obstacles, squeeze)


@lean_kernel
def _shift(arena: Arena, bodies: np.ndarray, i: int, dx: float, dy: float) -> None:
    """Push a unit, unless the terrain forbids it."""
    x, y = bodies[X, i] + dx, bodies[Y, i] + dy
    if may_stand(arena, arena.traits[i].layer, x, y):
        bodies[X, i], bodies[Y, i] = x, y


@lean_kernel
def _separate(arena: Arena, bodies: np.ndarray, i: int, j: int) -> float:
    """Push two overlapping units apart; who fights stands fast, and nobody pushes an enemy that rests.

    Returns how deep the overlap was.
    """
    rx, ry = bodies[X, j] - bodies[X, i], bodies[Y, j] - bodies[Y, i]
    distance = math.sqrt(rx * rx + ry * ry)
    nx, ny = 1.0, 0.0  # two units on one point are pushed apart along x
    if distance > 0.0:
        nx, ny = rx / distance, ry / distance
    friends = (i < arena.n_allies) == (j < arena.n_allies)
    give_i = bodies[MODE, i] == GOING or (friends and bodies[MODE, i] == RESTING)
    give_j = bodies[MODE, j] == GOING or (friends and bodies[MODE, j] == RESTING)
    share = 0.5 if give_i == give_j else (1.0 if give_i else 0.0)
    depth = bodies[RADIUS, i] + bodies[RADIUS, j] - distance
    if share > 0.0:
        _shift(arena, bodies, i, -nx * depth * share, -ny * depth * share)
    if share < 1.0:
        _shift(arena, bodies, j, nx * depth * (1.0 - share), ny * depth * (1.0 - share))
    return depth


@lean_kernel
def _resolve(arena: Arena, bodies: np.ndarray) -> float:
    """Push apart all pairs that overlap; returns how deep the deepest overlap was, 0 if there was none."""
    deepest = 0.0
    n_units = arena.traits.shape[0]
    for i in range(n_units - 1):
        radius = bodies[RADIUS, i] - _TOUCH
        if bodies[X, i] >= FAR or touching(bodies, bodies[X, i], bodies[Y, i], radius) <= 1:  # itself
            continue
        for j in range(i + 1, n_units):
            rx, ry, touch = bodies[X, j] - bodies[X, i], bodies[Y, j] - bodies[Y, i], bodies[RADIUS, j] + radius
            if rx * rx + ry * ry < touch * touch and arena.traits[j].layer == arena.traits[i].layer:
                deepest = max(deepest, _separate(arena, bodies, i, j))
    return deepest


@lean_kernel
def _fly(units: np.ndarray, arena: Arena, bodies: np.ndarray, i: int) -> None:
    """Move a unit in the air, where nothing is in its way but the map's edge."""
    x, y = units[i].x + bodies[WISH_X, i], units[i].y + bodies[WISH_Y, i]
    if may_stand(arena, AIR, x, y):
        units[i].x, units[i].y = x, y


@lean_kernel
def move_all(units: np.ndarray, arena: Arena, bodies: np.ndarray) -> None:
    """Move every unit by its wish, then push apart what overlaps; their wishes and modes stand in ``bodies``."""
    anybody = False
    for i in range(units.shape[0]):
        if units[i].alive and bodies[MODE, i] != GOING:
            units[i].side, units[i].full = 0, 0  # who fights has found its place
        bodies[RADIUS, i] = arena.traits[i].separation
        bodies[X, i], bodies[Y, i] = units[i].x, units[i].y
        walker = arena.traits[i].layer != AIR
        if not units[i].alive or not walker:
            bodies[X, i] = FAR * (i + 1)
        if units[i].alive and bodies[MODE, i] == GOING:
            if walker:
                anybody = True
            else:
                _fly(units, arena, bodies, i)
    if not anybody:
        return
    for i in range(units.shape[0]):
        if bodies[X, i] < FAR and bodies[MODE, i] == GOING:
            close_in(units, arena, bodies, i)
            _walk(units, arena, bodies, i)
    for count in range(1, _MOST_ROUNDS + 1):
        if _resolve(arena, bodies) <= (_CRUSH if count >= _ROUNDS else 0.0):
            break
    for i in range(units.shape[0]):
        if bodies[X, i] < FAR:
            units[i].x, units[i].y = bodies[X, i], bodies[Y, i]
