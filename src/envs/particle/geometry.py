"""Distances, placing and relative observations: what the kernels of several particle worlds share.

All of them work on one world; ``pos`` and ``vel`` are float64 [M, 2], ``bodies`` is [M] of
:data:`envs.particle.physics.BODY`.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import kernel
from envs.rng import uniform

_TRIES = 1000  # of placing one body; then it stays where it is, overlapping


@kernel
def distance(pos: np.ndarray, a: int, b: int) -> float:
    """Return the distance between the centres of two bodies."""
    dx, dy = pos[a, 0] - pos[b, 0], pos[a, 1] - pos[b, 1]
    return math.sqrt(dx * dx + dy * dy)


@kernel
def overlap(pos: np.ndarray, bodies: np.ndarray, a: int, b: int) -> bool:
    """Return whether two bodies overlap."""
    return distance(pos, a, b) < bodies[a].radius + bodies[b].radius


@kernel
def count_overlaps(pos: np.ndarray, bodies: np.ndarray, first: int, end: int) -> int:
    """Return the number of overlapping pairs among the colliding bodies first..end-1."""
    pairs = 0
    for a in range(first, end):
        for b in range(a + 1, end):
            pairs += bodies[a].collides and bodies[b].collides and overlap(pos, bodies, a, b)
    return pairs


@kernel
def nearest(pos: np.ndarray, body: int, first: int, end: int) -> float:
    """Return the distance from one body to the nearest of the bodies first..end-1 (inf: there is none)."""
    square = math.inf
    for other in range(first, end):
        dx, dy = pos[other, 0] - pos[body, 0], pos[other, 1] - pos[body, 1]
        square = min(square, dx * dx + dy * dy)
    return math.sqrt(square)


@kernel
def place(streams: np.ndarray, world: int, pos: np.ndarray, first: int, end: int, half: float) -> None:
    """Place the bodies first..end-1 of one world by U[-half, half) in both axes; ``streams`` is uint64 [N]."""
    for body in range(first, end):
        for axis in range(2):
            pos[body, axis] = uniform(streams, world, -half, half)


@kernel
def place_clear(
    streams: np.ndarray,
    world: int,
    pos: np.ndarray,
    first: int,
    end: int,
    half: float,
    gaps: np.ndarray,
    standing: np.ndarray,
) -> None:
    """Place bodies as :func:`place` does, but none nearer than its gap to another one that stands already.

    Args:
        streams: uint64 [N].
        world: which stream.
        pos: positions.
        first: first body to place.
        end: one past the last.
        half: of the square's side.
        gaps: float64 [M, M], the least distance of the centres of two bodies.
        standing: bool [M], who stands already; set for those that are placed.
    """
    for body in range(first, end):
        clear = False
        tries = 0
        while not clear and tries < _TRIES:
            place(streams, world, pos, body, body + 1, half)
            clear = True
            for other in range(pos.shape[0]):
                clear = clear and not (standing[other] and distance(pos, body, other) < gaps[body, other])
            tries += 1
        standing[body] = True


@kernel
def write_all(pos: np.ndarray, vel: np.ndarray, movers: int, out: np.ndarray) -> int:
    """Write positions and velocities of the bodies 0..movers-1, then positions of the rest; return the next index.

    Args:
        pos: positions.
        vel: velocities.
        movers: how many bodies can move; they stand first.
        out: float32 [S].
    """
    at = 0
    for body in range(pos.shape[0]):
        out[at], out[at + 1] = pos[body, 0], pos[body, 1]
        at += 2
        if body < movers:
            out[at], out[at + 1] = vel[body, 0], vel[body, 1]
            at += 2
    return at


# Observations are written column block by column block, for a whole team at once: row r of ``out`` [A, O] is body
# ``team + r``. A call for every single row would take longer than the writing.


@kernel
def write_motion(pos: np.ndarray, vel: np.ndarray, team: int, out: np.ndarray) -> int:
    """Write own velocities and positions into the first columns; return the next column, 4."""
    for row in range(out.shape[0]):
        body = team + row
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = vel[body, 0], vel[body, 1], pos[body, 0], pos[body, 1]
    return 4


@kernel
def write_relative(pos: np.ndarray, team: int, first: int, end: int, out: np.ndarray, column: int) -> int:
    """Write the positions of the bodies first..end-1, oneself left out, relative to oneself; return the next column."""
    start = column
    for row in range(out.shape[0]):
        x, y = pos[team + row, 0], pos[team + row, 1]
        column = start
        for other in range(first, end):
            if other != team + row:
                out[row, column], out[row, column + 1] = pos[other, 0] - x, pos[other, 1] - y
                column += 2
    return column


@kernel
def write_velocities(vel: np.ndarray, team: int, first: int, end: int, out: np.ndarray, column: int) -> int:
    """Write the velocities of the bodies first..end-1, oneself left out; return the next column."""
    start = column
    for row in range(out.shape[0]):
        column = start
        for other in range(first, end):
            if other != team + row:
                out[row, column], out[row, column + 1] = vel[other, 0], vel[other, 1]
                column += 2
    return column
