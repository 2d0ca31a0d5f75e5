"""Kernels of :class:`envs.particle.spread_paper.SpreadPaper`: A agents, A landmarks, obstacles, N worlds.

A world's bodies are the agents, the landmarks, the obstacles: ``pos`` and ``vel`` are float64 [M, 2].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.compiling import kernel
from envs.particle.geometry import count_overlaps, nearest, place_clear, write_all, write_motion
from envs.particle.physics import advance, confine, keep_off
from envs.particle.spread_kernels import nearest_agents
from envs.particle.worlds import Worlds, begin, tick


class Rules(NamedTuple):
    """Settings as the kernels take them.

    Attributes:
        sight_radius: of an agent; inf: everything.
        per_landmark: distances are summed over landmarks instead of agents.
        penalty: of a colliding pair, per step.
        ground: walls at +-ground; inf: none.
        gaps: float64 [M, M], see :func:`envs.particle.geometry.place_clear`.
    """

    sight_radius: float
    per_landmark: bool
    penalty: float
    ground: float
    gaps: np.ndarray


@kernel
def observe(pos: np.ndarray, vel: np.ndarray, sight_radius: float, out: np.ndarray) -> None:
    """Write all observations of one world into ``out`` [A, 4 + 3A].

    An agent's row: own velocity (2), own position (2), landmarks relative to it (2A, zeros where the centre is
    out of sight), which are in sight (A, 0 or 1).
    """
    n_agents = out.shape[0]
    first = write_motion(pos, vel, 0, out)
    flags = first + 2 * n_agents
    out[:, first:] = 0.0
    for i in range(n_agents):
        for j in range(n_agents):
            dx, dy = pos[n_agents + j, 0] - pos[i, 0], pos[n_agents + j, 1] - pos[i, 1]
            if dx * dx + dy * dy <= sight_radius * sight_radius:
                out[i, first + 2 * j], out[i, first + 2 * j + 1] = dx, dy
                out[i, flags + j] = 1.0


@kernel
def score(pos: np.ndarray, bodies: np.ndarray, n_agents: int, rules: Rules) -> tuple[float, int, int]:
    """Return the team's reward, the overlapping pairs of agents, and the occupied landmarks.

    r = -(sum over agents of the distance to the nearest landmark) - penalty * pairs; with ``per_landmark`` the
    sum is over landmarks, of the distance to the nearest agent.
    """
    total, occupied = nearest_agents(pos, n_agents)
    if not rules.per_landmark:
        total = 0.0
        for i in range(n_agents):
            total += nearest(pos, i, n_agents, 2 * n_agents)
    pairs = count_overlaps(pos, bodies, 0, n_agents)
    return -total - rules.penalty * pairs, pairs, occupied


@kernel
def spread_paper_reset(
    worlds: Worlds, rules: Rules, slots: np.ndarray, seeds: np.ndarray, obs: np.ndarray, state: np.ndarray
) -> None:
    """Start episodes at rest: obstacles in U(-0.9, 0.9), agents and landmarks in U(-1, 1), clear of obstacles.

    Args:
        worlds: of A agents, A landmarks and the obstacles.
        rules: settings.
        slots: int64 [K], each within 0..N-1.
        seeds: uint64 [K].
        obs: float32 [N, A, 4 + 3A].
        state: float32 [N, S].
    """
    n_agents, m = obs.shape[1], worlds.pos.shape[1]
    for index in range(slots.shape[0]):
        k = slots[index]
        begin(worlds, k, seeds[index])
        standing = np.zeros(m, np.bool_)
        place_clear(worlds.streams, k, worlds.pos[k], 2 * n_agents, m, 0.9, rules.gaps, standing)
        place_clear(worlds.streams, k, worlds.pos[k], 0, 2 * n_agents, 1.0, rules.gaps, standing)
        observe(worlds.pos[k], worlds.vel[k], rules.sight_radius, obs[k])
        write_all(worlds.pos[k], worlds.vel[k], n_agents, state[k])


@kernel
def spread_paper_step(
    worlds: Worlds,
    rules: Rules,
    active: np.ndarray,
    obs: np.ndarray,
    state: np.ndarray,
    rewards: np.ndarray,
    truncated: np.ndarray,
    collisions: np.ndarray,
    occupied: np.ndarray,
) -> None:
    """Step every active world and write what it shows; worlds that are not active are left alone.

    Args:
        worlds, rules, obs, state: as in :func:`spread_paper_reset`; contacts are overlapping pairs of agents.
        active: bool [N].
        rewards: float32 [N, 1].
        truncated: bool [N].
        collisions, occupied: float32 [N]; get the contacts and the occupied landmarks at the end of an episode.
    """
    n_agents = obs.shape[1]
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        pos, vel, bodies = worlds.pos[k], worlds.vel[k], worlds.bodies[k]
        advance(pos, vel, worlds.force, bodies, worlds.actions[k], worlds.velocity_first)
        keep_off(pos, vel, bodies, 2 * n_agents)
        confine(pos, vel, bodies, rules.ground)
        rewards[k, 0], pairs, covered = score(pos, bodies, n_agents, rules)
        observe(pos, vel, rules.sight_radius, obs[k])
        write_all(pos, vel, n_agents, state[k])
        truncated[k] = tick(worlds, k, pairs)
        if truncated[k]:
            collisions[k] = worlds.contacts[k]
            occupied[k] = covered
