"""Kernels of :class:`envs.particle.spread.Spread`: A agents, A landmarks, N worlds.

A world's bodies are the agents, then the landmarks: ``pos`` and ``vel`` are float64 [2A, 2].
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import kernel
from envs.particle.physics import advance
from envs.particle.rng import start_stream, uniform

OCCUPIED = 0.1
"""A landmark is occupied when an agent's centre is nearer than this (MPE2's capture radius)."""


@kernel
def observe(pos: np.ndarray, vel: np.ndarray, out: np.ndarray) -> None:
    """Write all observations of one world into ``out`` [A, 6A], in the layout of MPE2's simple_spread_v3.

    An agent's row: own velocity (2), own position (2), landmarks relative to it (2A), the other agents
    relative to it in their order (2A - 2), the others' messages, which are always zero (2A - 2).
    """
    n_agents = out.shape[0]
    for i in range(n_agents):
        x, y = pos[i, 0], pos[i, 1]
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = vel[i, 0], vel[i, 1], x, y
        column = 4
        for j in range(n_agents, 2 * n_agents):
            out[i, column] = pos[j, 0] - x
            out[i, column + 1] = pos[j, 1] - y
            column += 2
        for j in range(n_agents):
            if j != i:
                out[i, column] = pos[j, 0] - x
                out[i, column + 1] = pos[j, 1] - y
                column += 2
        out[i, column:] = 0.0


@kernel
def nearest_agents(pos: np.ndarray, n_agents: int) -> tuple[float, int]:
    """Return the sum over landmarks of the distance to the nearest agent, and how many are occupied."""
    total = 0.0
    occupied = 0
    for j in range(n_agents, 2 * n_agents):
        nearest = math.inf
        for i in range(n_agents):
            dx, dy = pos[i, 0] - pos[j, 0], pos[i, 1] - pos[j, 1]
            nearest = min(nearest, dx * dx + dy * dy)
        distance = math.sqrt(nearest)
        total += distance
        occupied += distance < OCCUPIED
    return total, occupied


@kernel
def score(pos: np.ndarray, bodies: np.ndarray, local_ratio: float, rewards: np.ndarray) -> tuple[int, int]:
    """Write the individual rewards of one world into ``rewards`` [A].

    r_i = (1 - local_ratio) * -(sum over landmarks of the distance to the nearest agent)
    + local_ratio * -(number of other agents that overlap agent i); simple_spread_v3 of MPE2 1.1.1.

    Returns:
        Number of overlapping pairs, number of occupied landmarks.
    """
    n_agents = rewards.shape[0]
    rewards[:] = 0.0
    pairs = 0
    for i in range(n_agents):
        for j in range(i + 1, n_agents):
            dx, dy = pos[i, 0] - pos[j, 0], pos[i, 1] - pos[j, 1]
            if math.sqrt(dx * dx + dy * dy) < bodies[i].radius + bodies[j].radius:
                rewards[i] -= 1.0
                rewards[j] -= 1.0
                pairs += 1
    total, occupied = nearest_agents(pos, n_agents)
    for i in range(n_agents):
        rewards[i] = -total * (1 - local_ratio) + rewards[i] * local_ratio
    return pairs, occupied


@kernel
def spread_reset(
    slots: np.ndarray,
    seeds: np.ndarray,
    streams: np.ndarray,
    pos: np.ndarray,
    vel: np.ndarray,
    clock: np.ndarray,
    pairs: np.ndarray,
    obs: np.ndarray,
) -> None:
    """Start episodes: everything is placed by U(-1, 1) from the slot's seed, at rest.

    Args:
        slots: int64 [K], each within 0..N-1.
        seeds: uint64 [K].
        streams: uint64 [N].
        pos: float64 [N, 2A, 2].
        vel: as ``pos``.
        clock: int64 [N], steps so far.
        pairs: int64 [N], overlapping pairs summed over the steps so far.
        obs: float32 [N, A, 6A].
    """
    for index in range(slots.shape[0]):
        k = slots[index]
        start_stream(streams, k, seeds[index])
        for body in range(pos.shape[1]):
            for axis in range(2):
                pos[k, body, axis] = uniform(streams, k, -1.0, 1.0)
        vel[k] = 0.0
        clock[k] = 0
        pairs[k] = 0
        observe(pos[k], vel[k], obs[k])


@kernel
def spread_step(
    actions: np.ndarray,
    active: np.ndarray,
    bodies: np.ndarray,
    pos: np.ndarray,
    vel: np.ndarray,
    force: np.ndarray,
    clock: np.ndarray,
    pairs: np.ndarray,
    obs: np.ndarray,
    rewards: np.ndarray,
    truncated: np.ndarray,
    collisions: np.ndarray,
    occupied: np.ndarray,
    time_limit: int,
    local_ratio: float,
    velocity_first: bool,
) -> None:
    """Step every active world and write what it shows; worlds that are not active are left alone.

    Args:
        actions: int64 [N, A].
        active: bool [N].
        bodies: [2A] of :data:`envs.particle.physics.BODY`.
        pos, vel, clock, pairs, obs: as in :func:`spread_reset`.
        force: float64 [2A, 2], scratch.
        rewards: float32 [N, A].
        truncated: bool [N].
        collisions, occupied: float32 [N]; get ``pairs`` and the occupied landmarks at the end of an episode.
        time_limit: steps of an episode.
        local_ratio: weight of the individual reward.
        velocity_first: see :func:`envs.particle.physics.integrate`.
    """
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        advance(pos[k], vel[k], force, bodies, actions[k], velocity_first)
        new_pairs, new_occupied = score(pos[k], bodies, local_ratio, rewards[k])
        observe(pos[k], vel[k], obs[k])
        clock[k] += 1
        pairs[k] += new_pairs
        truncated[k] = clock[k] >= time_limit
        if truncated[k]:
            collisions[k] = pairs[k]
            occupied[k] = new_occupied
