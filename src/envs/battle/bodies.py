"""The bodies of one battle's units during a game loop: where they stand, how large they are, what they do.

``bodies`` is float64 [7, V], scratch of one game loop with one row per quantity, so that loops over units are vector
instructions: place, radius, the way that a unit wants to go, what it does (RESTING, GOING or HOLDING), and a list of
who is near. Who does not collide, the dead and the flying, stands far away there, and so do the V - U columns that
fill the last vector.
"""

from __future__ import annotations

import numpy as np

from core.compiling import lean_kernel
from envs.battle.maps import SIZE
from envs.battle.paths import free
from envs.battle.state import Arena
from envs.battle.units import AIR, COLOSSUS

X, Y, RADIUS, WISH_X, WISH_Y, MODE, NEAR = range(7)
"""Rows of ``bodies``."""
RESTING, GOING, HOLDING = 0.0, 1.0, 2.0
"""Idle (friends may push it), on its way, fighting (nobody pushes it)."""
FAR = 1e6
"""Where nobody is met: one who does not collide stands at this times its number and one."""
_VECTOR = 16
"""What a round of a vector loop takes; what is left after the last round goes one by one."""


def make_bodies(n_units: int) -> np.ndarray:
    """Make the scratch for the battles of so many units, float64 [7, V], V the next multiple of 16."""
    width = -(-n_units // _VECTOR) * _VECTOR
    bodies = np.zeros((NEAR + 1, width))
    bodies[X] = FAR * np.arange(1, width + 1)
    return bodies


@lean_kernel
def may_stand(arena: Arena, layer: int, x: float, y: float) -> bool:
    """Whether the terrain lets a unit of a layer be at a point."""
    if layer == AIR:
        return 0.0 <= x < SIZE and 0.0 <= y < SIZE
    return free(arena.crossable if layer == COLOSSUS else arena.walkable, x, y)


@lean_kernel
def touching(bodies: np.ndarray, x: float, y: float, radius: float) -> int:
    """Count the bodies that a body of some radius would touch at a point (a vector loop)."""
    xs, ys, radii = bodies[X], bodies[Y], bodies[RADIUS]
    count = 0
    for j in range(xs.shape[0]):
        rx, ry, touch = xs[j] - x, ys[j] - y, radii[j] + radius
        count += rx * rx + ry * ry < touch * touch
    return count
