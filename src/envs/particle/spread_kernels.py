"""Kernels of :class:`envs.particle.spread.Spread`: A agents, A landmarks, N worlds.

A world's bodies are the agents, then the landmarks: ``pos`` and ``vel`` are float64 [2A, 2].
"""

from __future__ import annotations

import numpy as np

from core.compiling import kernel
from envs.particle.geometry import nearest, overlap, place, write_motion, write_relative
from envs.particle.physics import advance
from envs.particle.worlds import Worlds, begin, tick

OCCUPIED = 0.1
"""A landmark is occupied when an agent's centre is nearer than this (MPE2's capture radius)."""


@kernel
def observe(pos: np.ndarray, vel: np.ndarray, out: np.ndarray) -> None:
    """Write all observations of one world into ``out`` [A, 6A], in the layout of MPE2's simple_spread_v3.

    An agent's row: own velocity (2), own position (2), landmarks relative to it (2A), the other agents
    relative to it in their order (2A - 2), the others' messages, which are always zero (2A - 2).
    """
    n_agents = out.shape[0]
    column = write_motion(pos, vel, 0, out)
    column = write_relative(pos, 0, n_agents, 2 * n_agents, out, column)
    column = write_relative(pos, 0, 0, n_agents, out, column)
    out[:, column:] = 0.0


@kernel
def nearest_agents(pos: np.ndarray, n_agents: int) -> tuple[float, int]:
    """Return the sum over landmarks of the distance to the nearest agent, and how many are occupied."""
    total = 0.0
    occupied = 0
    for j in range(n_agents, 2 * n_agents):
        gap = nearest(pos, j, 0, n_agents)
        total += gap
        occupied += gap < OCCUPIED
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
            if overlap(pos, bodies, i, j):
                rewards[i] -= 1.0
                rewards[j] -= 1.0
                pairs += 1
    total, occupied = nearest_agents(pos, n_agents)
    for i in range(n_agents):
        rewards[i] = -total * (1 - local_ratio) + rewards[i] * local_ratio
    return pairs, occupied


@kernel
def spread_reset(worlds: Worlds, slots: np.ndarray, seeds: np.ndarray, obs: np.ndarray) -> None:
    """Start episodes: everything is placed by U(-1, 1) from the slot's seed, at rest.

    Args:
        worlds: of A agents and A landmarks.
        slots: int64 [K], each within 0..N-1.
        seeds: uint64 [K].
        obs: float32 [N, A, 6A].
    """
    for index in range(slots.shape[0]):
        k = slots[index]
        begin(worlds, k, seeds[index])
        place(worlds.streams, k, worlds.pos[k], 0, worlds.pos.shape[1], 1.0)
        observe(worlds.pos[k], worlds.vel[k], obs[k])


@kernel
def spread_step(
    worlds: Worlds,
    active: np.ndarray,
    obs: np.ndarray,
    rewards: np.ndarray,
    truncated: np.ndarray,
    collisions: np.ndarray,
    occupied: np.ndarray,
    local_ratio: float,
) -> None:
    """Step every active world and write what it shows; worlds that are not active are left alone.

    Args:
        worlds, obs: as in :func:`spread_reset`; contacts are overlapping pairs of agents.
        active: bool [N].
        rewards: float32 [N, A].
        truncated: bool [N].
        collisions, occupied: float32 [N]; get the contacts and the occupied landmarks at the end of an episode.
        local_ratio: weight of the individual reward.
    """
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        pos, vel, bodies = worlds.pos[k], worlds.vel[k], worlds.bodies[k]
        advance(pos, vel, worlds.force, bodies, worlds.actions[k], worlds.velocity_first)
        pairs, covered = score(pos, bodies, local_ratio, rewards[k])
        observe(pos, vel, obs[k])
        truncated[k] = tick(worlds, k, pairs)
        if truncated[k]:
            collisions[k] = worlds.contacts[k]
            occupied[k] = covered
