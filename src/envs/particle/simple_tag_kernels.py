"""Kernels of :class:`envs.particle.simple_tag.SimpleTag`: P predators, Q preys, obstacles, N worlds.

A world's bodies are the predators, the preys, the obstacles: ``pos`` and ``vel`` are float64 [M, 2]. Equal to
simple_tag_v3 of MPE2 1.1.1 in positions, velocities, rewards and observations.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import kernel
from envs.particle.geometry import overlap, place, write_motion, write_relative, write_velocities
from envs.particle.physics import advance
from envs.particle.worlds import Worlds, begin, tick

CATCH = 10.0
"""Reward of every predator, and penalty of the prey, for a predator and a prey that overlap."""
EDGE = 0.9
"""Beyond it a prey is punished for leaving the ground."""


@kernel
def bound(x: float) -> float:
    """Return a prey's penalty for the coordinate ``x`` >= 0: 0, then steeper and steeper from 0.9 on, at most 10."""
    if x < EDGE:
        return 0.0
    if x < 1.0:
        return (x - EDGE) * 10
    return min(math.exp(2 * x - 2), 10.0)


@kernel
def observe(pos: np.ndarray, vel: np.ndarray, team: int, agents: tuple[int, int], out: np.ndarray) -> None:
    """Write a team's observations of one world into ``out`` [A, O]; its first agent is the body ``team``.

    An agent's row: own velocity (2), own position (2), relative positions of obstacles, predators, preys (2 each),
    velocities of preys (2 each); oneself is left out of the lists.

    Args:
        pos, vel: of the world.
        team: 0 for the predators, P for the preys.
        agents: P and Q.
        out: float32 [A, O], A = P or Q.
    """
    first_prey, end = agents[0], agents[0] + agents[1]
    column = write_motion(pos, vel, team, out)
    column = write_relative(pos, team, end, pos.shape[0], out, column)
    column = write_relative(pos, team, 0, end, out, column)
    write_velocities(vel, team, first_prey, end, out, column)


@kernel
def score(pos: np.ndarray, bodies: np.ndarray, predators: np.ndarray, preys: np.ndarray) -> int:
    """Write the individual rewards of one world into ``predators`` [P] and ``preys`` [Q]; return the contacts.

    Every predator gets 10 for every overlapping pair of a predator and a prey; a prey loses 10 for every predator
    that overlaps it, and :func:`bound` of both its coordinates.
    """
    first_prey, contacts = predators.shape[0], 0
    for j in range(preys.shape[0]):
        prey, own = first_prey + j, 0
        for predator in range(first_prey):
            own += overlap(pos, bodies, predator, prey)
        preys[j] = -CATCH * own - bound(abs(pos[prey, 0])) - bound(abs(pos[prey, 1]))
        contacts += own
    predators[:] = CATCH * contacts
    return contacts


@kernel
def simple_tag_reset(
    worlds: Worlds, slots: np.ndarray, seeds: np.ndarray, predators: np.ndarray, preys: np.ndarray
) -> None:
    """Start episodes at rest: agents are placed by U(-1, 1), obstacles by U(-0.9, 0.9).

    Args:
        worlds: of predators, preys and obstacles.
        slots: int64 [K], each within 0..N-1.
        seeds: uint64 [K].
        predators, preys: observations, float32 [N, A, O].
    """
    agents = predators.shape[1], preys.shape[1]
    end = agents[0] + agents[1]
    for index in range(slots.shape[0]):
        k = slots[index]
        begin(worlds, k, seeds[index])
        place(worlds.streams, k, worlds.pos[k], 0, end, 1.0)
        place(worlds.streams, k, worlds.pos[k], end, worlds.pos.shape[1], 0.9)
        observe(worlds.pos[k], worlds.vel[k], np.int64(0), agents, predators[k])
        observe(worlds.pos[k], worlds.vel[k], agents[0], agents, preys[k])


@kernel
def simple_tag_step(
    worlds: Worlds,
    active: np.ndarray,
    observations: tuple[np.ndarray, np.ndarray],
    rewards: tuple[np.ndarray, np.ndarray],
    truncated: np.ndarray,
    contacts: np.ndarray,
) -> None:
    """Step every active world and write what it shows; worlds that are not active are left alone.

    Args:
        worlds: as in :func:`simple_tag_reset`; contacts are overlapping pairs of a predator and a prey.
        active: bool [N].
        observations: of predators and of preys, float32 [N, A, O].
        rewards: of predators and of preys, float32 [N, A].
        truncated: bool [N].
        contacts: float32 [N]; gets the contacts at the end of an episode.
    """
    predators, preys = observations
    agents = predators.shape[1], preys.shape[1]
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        pos, vel, bodies = worlds.pos[k], worlds.vel[k], worlds.bodies[k]
        advance(pos, vel, worlds.force, bodies, worlds.actions[k], worlds.velocity_first)
        touching = score(pos, bodies, rewards[0][k], rewards[1][k])
        observe(pos, vel, np.int64(0), agents, predators[k])
        observe(pos, vel, agents[0], agents, preys[k])
        truncated[k] = tick(worlds, k, touching)
        if truncated[k]:
            contacts[k] = worlds.contacts[k]
