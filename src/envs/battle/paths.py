"""Ways around obstacles, computed once per map: where to head for on the way from a cell to a cell.

The game's own pathfinding is not known. Here a unit goes straight at the farthest cell of a shortest way that it can
see from its own cell.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from core.compiling import kernel, lean_kernel
from envs.battle.maps import SIZE, load_map

_CLEARANCE = 0.35
"""How far from the straight line on either side there must be walkable ground."""
_DIAGONAL = math.sqrt(2.0)


@functools.cache
def make_ways(name: str) -> np.ndarray:
    """Return the next waypoint from every cell to every cell of a map: int16 [1024, 1024], cells numbered 32 x + y.

    To a cell that is no ground (a colossus may stand there) the way is that to the nearest cell of the ground, and from
    there straight on. An entry is -1 where there is no way. On maps whose ground is a rectangle no way has a corner,
    and the table is empty, int16 [0, 0].
    """
    grid = load_map(name).walkable & load_map(name).reached
    columns, rows = np.flatnonzero(grid.any(1)), np.flatnonzero(grid.any(0))
    if grid[columns[0] : columns[-1] + 1, rows[0] : rows[-1] + 1].all():
        return np.zeros((0, 0), np.int16)
    return _all_ways(np.ascontiguousarray(grid))


@lean_kernel
def free(grid: np.ndarray, x: float, y: float) -> bool:
    """Whether a point lies on a free cell within the map."""
    return 0.0 <= x < SIZE and 0.0 <= y < SIZE and grid[int(x), int(y)]


@lean_kernel
def _in_sight(grid: np.ndarray, a: int, b: int) -> bool:
    """Whether a unit can go straight from the centre of cell a to that of cell b."""
    ax, ay, bx, by = a // SIZE + 0.5, a % SIZE + 0.5, b // SIZE + 0.5, b % SIZE + 0.5
    length = math.hypot(bx - ax, by - ay)
    if length == 0.0:
        return True
    ux, uy = (bx - ax) / length, (by - ay) / length
    steps = int(length * 4) + 1
    for step in range(steps + 1):
        x, y = ax + (bx - ax) * step / steps, ay + (by - ay) * step / steps
        for side in range(-1, 2):
            if not free(grid, x - uy * side * _CLEARANCE, y + ux * side * _CLEARANCE):
                return False
    return True


@kernel
def _distances(grid: np.ndarray, goal: int, distance: np.ndarray, following: np.ndarray) -> None:
    """Write every cell's distance to ``goal`` and the cell that follows on the way there (Bellman and Ford)."""
    distance[:] = np.inf
    following[:] = -1
    distance[goal] = 0.0
    following[goal] = goal
    queue = [goal]
    head = 0
    while head < len(queue):
        cell = queue[head]
        head += 1
        x, y = cell // SIZE, cell % SIZE
        for dx in range(-1, 2):
            for dy in range(-1, 2):
                nx, ny = x + dx, y + dy
                if not (0 <= nx < SIZE and 0 <= ny < SIZE and grid[nx, ny] and grid[nx, y] and grid[x, ny]):
                    continue
                length = distance[cell] + (_DIAGONAL if dx != 0 and dy != 0 else 1.0)
                if length < distance[nx * SIZE + ny] - 1e-9:
                    distance[nx * SIZE + ny] = length
                    following[nx * SIZE + ny] = cell
                    queue.append(nx * SIZE + ny)


@lean_kernel
def _nearest_ground(grid: np.ndarray, cell: int) -> int:
    """Return the free cell nearest to a cell, -1 where there is none."""
    nearest, best = -1, math.inf
    for other in range(SIZE * SIZE):
        dx, dy = other // SIZE - cell // SIZE, other % SIZE - cell % SIZE
        if grid[other // SIZE, other % SIZE] and dx * dx + dy * dy < best:
            nearest, best = other, dx * dx + dy * dy
    return nearest


@kernel
def _all_ways(grid: np.ndarray) -> np.ndarray:
    """Return the table of :func:`make_ways` for a grid: bool [32, 32]."""
    cells = SIZE * SIZE
    ways = np.full((cells, cells), -1, np.int16)
    distance, following = np.empty(cells), np.empty(cells, np.int64)
    for goal in range(cells):
        if not grid[goal // SIZE, goal % SIZE]:
            continue
        _distances(grid, goal, distance, following)
        for cell in range(cells):
            if following[cell] < 0:
                continue
            seen = goal if _in_sight(grid, cell, goal) else following[cell]
            while seen != goal and _in_sight(grid, cell, following[seen]):
                seen = following[seen]
            ways[cell, goal] = seen
    for goal in range(cells):
        ground = _nearest_ground(grid, goal)
        if ground >= 0 and ground != goal:
            ways[:, goal] = ways[:, ground]
            ways[ground, goal] = goal
    return ways
