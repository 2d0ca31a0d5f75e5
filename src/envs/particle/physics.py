"""Physics of the particle worlds: disks of mass 1 with damping, soft contacts and a speed limit.

The model is that of the multi-agent particle environments (Lowe et al., arXiv 1706.02275), as MPE2 1.1.1
computes it; lengths are in world units (the ground is about [-1, 1] x [-1, 1]), times in seconds. Every
function works on one world, in place and without allocating, and is called from an environment's own loop
over N worlds. A world has M bodies: ``pos``, ``vel`` and ``force`` are float64 [M, 2], ``bodies`` is [M] of
:data:`BODY`, the controlled bodies stand first.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import kernel

DT = 0.1
DAMPING = 0.25
CONTACT_FORCE = 100.0
CONTACT_MARGIN = 1e-3
N_ACTIONS = 5
DEFAULT_ACCEL = 5.0
_REACH = 40 * CONTACT_MARGIN  # beyond it a contact force is below 5e-19, less than float64 resolves next to 1e-2
_POINT = 1e-300  # squares of distances below it have too few digits left for a direction

BODY = np.dtype(
    [("radius", "f8"), ("accel", "f8"), ("max_speed", "f8"), ("movable", "?"), ("collides", "?")], align=True
)
"""One body: radius, force of a move action, speed limit (inf: none), can it move, does it touch others."""


def make_bodies(
    count: int,
    *,
    radius: float,
    accel: float = DEFAULT_ACCEL,
    max_speed: float = math.inf,
    movable: bool = True,
    collides: bool = True,
) -> np.ndarray:
    """Describe ``count`` equal bodies: [count] of :data:`BODY`; concatenate the results for a whole world."""
    return np.full(count, np.array((radius, accel, max_speed, movable, collides), BODY))


@kernel
def set_controls(actions: np.ndarray, bodies: np.ndarray, force: np.ndarray) -> None:
    """Overwrite ``force`` with what the first ``len(actions)`` bodies do; all others get none.

    Args:
        actions: int64 [A], 0 none, 1 -x, 2 +x, 3 -y, 4 +y.
        bodies: [M] of :data:`BODY`.
        force: float64 [M, 2], overwritten.

    Raises:
        ValueError: an action is not in 0..4.
    """
    force[:] = 0.0
    for a in range(actions.shape[0]):
        action = actions[a]
        if action < 0 or action >= N_ACTIONS:
            raise ValueError("particle worlds have the actions 0 (none), 1 (-x), 2 (+x), 3 (-y) and 4 (+y)")
        if action > 0 and bodies[a].movable:
            axis = (action - 1) // 2
            force[a, axis] = bodies[a].accel if action % 2 == 0 else -bodies[a].accel


@kernel
def contact_force(dx: float, dy: float, touch: float) -> tuple[float, float]:
    """Return the force on a body at (dx, dy) from another one; the other one gets its negative.

    F = 100 * delta / d * k * log(1 + exp((touch - d) / k)) with k = 1e-3: a smooth version of
    100 * max(0, touch - d). Two bodies at the very same place have no direction; they are pushed apart
    along x (MPE2 gives NaN).

    Args:
        dx: own x minus the other's.
        dy: own y minus the other's.
        touch: sum of the radii.
    """
    square = dx * dx + dy * dy
    limit = touch + _REACH
    if square > limit * limit:
        return 0.0, 0.0
    distance = math.sqrt(square)
    depth = -(distance - touch) / CONTACT_MARGIN
    # log(1 + exp(depth)) without overflow
    soft = depth + math.log1p(math.exp(-depth)) if depth > 0 else math.log1p(math.exp(depth))
    penetration = soft * CONTACT_MARGIN
    if distance == 0.0:
        return CONTACT_FORCE * penetration, 0.0
    return CONTACT_FORCE * dx / distance * penetration, CONTACT_FORCE * dy / distance * penetration


@kernel
def add_contacts(pos: np.ndarray, bodies: np.ndarray, force: np.ndarray) -> None:
    """Add the contact forces of all pairs to ``force`` [M, 2]; bodies that cannot move take none."""
    for a in range(bodies.shape[0]):
        if not bodies[a].collides:
            continue
        for b in range(a + 1, bodies.shape[0]):
            if not bodies[b].collides or not (bodies[a].movable or bodies[b].movable):
                continue
            fx, fy = contact_force(pos[a, 0] - pos[b, 0], pos[a, 1] - pos[b, 1], bodies[a].radius + bodies[b].radius)
            if bodies[a].movable:
                force[a, 0] += fx
                force[a, 1] += fy
            if bodies[b].movable:
                force[b, 0] -= fx
                force[b, 1] -= fy


@kernel
def integrate(pos: np.ndarray, vel: np.ndarray, force: np.ndarray, bodies: np.ndarray, velocity_first: bool) -> None:
    """Move the movable bodies by one step of 0.1 s: damping, force, speed limit; all [M, 2], in place.

    Args:
        pos: positions.
        vel: velocities per second.
        force: sum of all forces.
        bodies: [M] of :data:`BODY`.
        velocity_first: positions follow the new velocity (MPE until PettingZoo 1.22), not the old one (MPE2).
    """
    for a in range(bodies.shape[0]):
        if not bodies[a].movable:
            continue
        if not velocity_first:
            pos[a, 0] += vel[a, 0] * DT
            pos[a, 1] += vel[a, 1] * DT
        vx = vel[a, 0] * (1 - DAMPING) + force[a, 0] * DT
        vy = vel[a, 1] * (1 - DAMPING) + force[a, 1] * DT
        speed = math.sqrt(vx * vx + vy * vy)
        if speed > bodies[a].max_speed:
            vx = vx / speed * bodies[a].max_speed
            vy = vy / speed * bodies[a].max_speed
        vel[a, 0], vel[a, 1] = vx, vy
        if velocity_first:
            pos[a, 0] += vx * DT
            pos[a, 1] += vy * DT


@kernel
def confine(pos: np.ndarray, vel: np.ndarray, bodies: np.ndarray, ground: float) -> None:
    """Keep whole bodies within hard walls at +-``ground``; a body at a wall loses its velocity into it."""
    for a in range(bodies.shape[0]):
        if not bodies[a].movable:
            continue
        limit = ground - bodies[a].radius
        for axis in range(2):
            if pos[a, axis] > limit:
                pos[a, axis] = limit
                vel[a, axis] = min(vel[a, axis], 0.0)
            elif pos[a, axis] < -limit:
                pos[a, axis] = -limit
                vel[a, axis] = max(vel[a, axis], 0.0)


@kernel
def keep_off(pos: np.ndarray, vel: np.ndarray, bodies: np.ndarray, first: int) -> None:
    """Put movable bodies that are within one of the fixed disks first..M-1 back on its rim.

    Soft contacts alone stop nobody: a body at full speed runs through a disk of radius 0.2. It loses its velocity
    into the disk, and slides along it. Where disks overlap it is put out of each in turn.
    """
    for a in range(first):
        if not bodies[a].movable:
            continue
        for b in range(first, bodies.shape[0]):
            dx, dy = pos[a, 0] - pos[b, 0], pos[a, 1] - pos[b, 1]
            square, touch = dx * dx + dy * dy, bodies[a].radius + bodies[b].radius
            if square >= touch * touch:
                continue
            distance = math.sqrt(square)
            if square < _POINT:
                dx, dy, distance = 1.0, 0.0, 1.0  # no direction: along x, as contacts
            dx, dy = dx / distance, dy / distance
            pos[a, 0], pos[a, 1] = pos[b, 0] + dx * touch, pos[b, 1] + dy * touch
            inwards = min(vel[a, 0] * dx + vel[a, 1] * dy, 0.0)
            vel[a, 0] -= inwards * dx
            vel[a, 1] -= inwards * dy


@kernel
def advance(
    pos: np.ndarray,
    vel: np.ndarray,
    force: np.ndarray,
    bodies: np.ndarray,
    actions: np.ndarray,
    velocity_first: bool,
) -> None:
    """One whole step of a world: controls, contacts at the old positions, integration.

    Arguments as in :func:`set_controls` and :func:`integrate`; ``force`` [M, 2] is scratch.
    """
    set_controls(actions, bodies, force)
    add_contacts(pos, bodies, force)
    integrate(pos, vel, force, bodies, velocity_first)
