"""Kernels of :class:`envs.particle.predator_prey.PredatorPrey`: P predators, Q preys, obstacles, walls, N worlds.

A world's bodies are the predators, the preys, the obstacles: ``pos`` and ``vel`` are float64 [M, 2]. A prey lives
as long as its body is movable; a captured one neither moves nor touches anything.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from core.compiling import kernel
from envs.particle.geometry import (
    count_overlaps,
    distance,
    nearest,
    overlap,
    place_clear,
    write_all,
    write_motion,
    write_relative,
    write_velocities,
)
from envs.particle.physics import advance, confine, keep_off
from envs.particle.worlds import Worlds, begin, tick


class Rules(NamedTuple):
    """Settings as the kernels take them; ``gaps`` as in :func:`envs.particle.geometry.place_clear`."""

    n_predators: int
    n_preys: int
    ground: float
    obstacle_spread: float
    distance_weight: float
    centre_weight: float
    capture_bonus: float
    capture_penalty: float
    gaps: np.ndarray


class View(NamedTuple):
    """What one team is shown: obs float32 [N, A, O], state float32 [N, S], available bool [N, A, U]."""

    obs: np.ndarray
    state: np.ndarray
    available: np.ndarray


@kernel
def observe(pos: np.ndarray, vel: np.ndarray, bodies: np.ndarray, rules: Rules, team: int, out: np.ndarray) -> None:
    """Write a team's observations of one world into ``out`` [A, O]; its first agent is the body ``team``.

    An agent's row: own velocity (2), own position (2), distances of its centre to the walls at +x, -x, +y, -y (4),
    relative positions of obstacles (2 each), of predators and of preys (2 each), velocities of predators and of preys
    (2 each), which preys live (1 each); oneself is left out of the lists. A captured prey is zeros in all of them,
    and its own row is zeros.
    """
    first_prey, end = rules.n_predators, rules.n_predators + rules.n_preys
    column = write_motion(pos, vel, team, out)
    for row in range(out.shape[0]):
        for axis in range(2):
            out[row, column + 2 * axis] = rules.ground - out[row, 2 + axis]
            out[row, column + 2 * axis + 1] = rules.ground + out[row, 2 + axis]
    predators = write_relative(pos, team, end, pos.shape[0], out, column + 4)  # each returns where the next one starts
    preys = write_relative(pos, team, 0, first_prey, out, predators)
    predator_velocities = write_relative(pos, team, first_prey, end, out, preys)
    prey_velocities = write_velocities(vel, team, 0, first_prey, out, predator_velocities)
    living = write_velocities(vel, team, first_prey, end, out, prey_velocities)
    for row in range(out.shape[0]):
        slot = 0
        for prey in range(first_prey, end):
            if prey == team + row:
                continue
            out[row, living + slot] = bodies[prey].movable
            if not bodies[prey].movable:
                out[row, preys + 2 * slot] = out[row, preys + 2 * slot + 1] = 0.0  # its velocity is zero already
            slot += 1
        if not bodies[team + row].movable:
            out[row, :] = 0.0


@kernel
def show(worlds: Worlds, rules: Rules, k: int, predators: View, preys: View) -> None:
    """Write observations, available actions and the state, which both teams share, of world ``k``.

    The state: position and velocity of every predator and prey, positions of obstacles, which preys live. A
    captured prey is zeros; its only available action is 0.
    """
    pos, vel, bodies = worlds.pos[k], worlds.vel[k], worlds.bodies[k]
    observe(pos, vel, bodies, rules, np.int64(0), predators.obs[k])  # a literal 0 would be compiled for itself
    observe(pos, vel, bodies, rules, rules.n_predators, preys.obs[k])
    state = predators.state[k]
    living = write_all(pos, vel, rules.n_predators + rules.n_preys, state)
    for j in range(rules.n_preys):
        body = rules.n_predators + j
        lives = bodies[body].movable
        state[living + j] = lives
        if not lives:
            state[4 * body], state[4 * body + 1] = 0.0, 0.0
        preys.available[k, j, 1:] = lives
    for column in range(state.shape[0]):
        preys.state[k, column] = state[column]


@kernel
def capture(pos: np.ndarray, vel: np.ndarray, bodies: np.ndarray, rules: Rules) -> int:
    """Take every living prey that a predator overlaps out of the game; return how many."""
    captured = 0
    for prey in range(rules.n_predators, rules.n_predators + rules.n_preys):
        for predator in range(rules.n_predators):
            if bodies[prey].movable and overlap(pos, bodies, predator, prey):
                bodies[prey].movable = False
                bodies[prey].collides = False
                vel[prey] = 0.0
                captured += 1
    return captured


@kernel
def score(pos: np.ndarray, bodies: np.ndarray, rules: Rules, captured: int) -> tuple[float, float]:
    """Return the rewards of predators and preys after ``captured`` preys were taken in this step.

    predators: -w * (sum over predators of the distance to the nearest living prey) + bonus * captured
    preys: w * (sum over living preys of the distance to the nearest predator)
           - c * (sum over living preys of the distance to the centre) - penalty * captured
    """
    chase, flight, centre, living = 0.0, 0.0, 0.0, 0
    for prey in range(rules.n_predators, rules.n_predators + rules.n_preys):
        if bodies[prey].movable:
            living += 1
            flight += nearest(pos, prey, 0, rules.n_predators)
            centre += math.sqrt(pos[prey, 0] * pos[prey, 0] + pos[prey, 1] * pos[prey, 1])
    if living > 0:
        for predator in range(rules.n_predators):
            shortest = math.inf
            for prey in range(rules.n_predators, rules.n_predators + rules.n_preys):
                if bodies[prey].movable:
                    shortest = min(shortest, distance(pos, predator, prey))
            chase += shortest
    return (
        rules.capture_bonus * captured - rules.distance_weight * chase,
        rules.distance_weight * flight - rules.centre_weight * centre - rules.capture_penalty * captured,
    )


@kernel
def predator_prey_reset(
    worlds: Worlds,
    rules: Rules,
    bodies: np.ndarray,
    slots: np.ndarray,
    seeds: np.ndarray,
    predators: View,
    preys: View,
) -> None:
    """Start episodes at rest: obstacles near the centre, then predators, then preys, none overlapping another.

    Args:
        worlds: of predators, preys and obstacles.
        rules: settings.
        bodies: [M], all preys living.
        slots: int64 [K], each within 0..N-1.
        seeds: uint64 [K].
        predators, preys: what the teams are shown.
    """
    first_prey, end, m = rules.n_predators, rules.n_predators + rules.n_preys, worlds.pos.shape[1]
    for index in range(slots.shape[0]):
        k = slots[index]
        begin(worlds, k, seeds[index])
        for body in range(m):
            worlds.bodies[k, body] = bodies[body]
        pos, standing = worlds.pos[k], np.zeros(m, np.bool_)
        predator_half, prey_half = rules.ground - bodies[0].radius, rules.ground - bodies[first_prey].radius
        place_clear(worlds.streams, k, pos, end, m, rules.obstacle_spread, rules.gaps, standing)
        place_clear(worlds.streams, k, pos, 0, first_prey, predator_half, rules.gaps, standing)
        place_clear(worlds.streams, k, pos, first_prey, end, prey_half, rules.gaps, standing)
        show(worlds, rules, k, predators, preys)


@kernel
def predator_prey_step(
    worlds: Worlds,
    rules: Rules,
    active: np.ndarray,
    predators: View,
    preys: View,
    rewards: tuple[np.ndarray, np.ndarray],
    terminated: np.ndarray,
    truncated: np.ndarray,
    info: np.ndarray,
) -> None:
    """Step every active world and write what it shows; worlds that are not active are left alone.

    Args:
        worlds, rules, predators, preys: as in :func:`predator_prey_reset`; contacts are overlapping pairs of
            predators and of living preys.
        active: bool [N].
        rewards: float32 [N, 1] of predators and of preys.
        terminated, truncated: bool [N].
        info: float32 [2, N]; gets captured preys and contacts at the end of an episode.
    """
    first_prey, end = rules.n_predators, rules.n_predators + rules.n_preys
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        pos, vel, bodies = worlds.pos[k], worlds.vel[k], worlds.bodies[k]
        advance(pos, vel, worlds.force, bodies, worlds.actions[k], worlds.velocity_first)
        keep_off(pos, vel, bodies, end)
        confine(pos, vel, bodies, rules.ground)
        captured = capture(pos, vel, bodies, rules)
        rewards[0][k, 0], rewards[1][k, 0] = score(pos, bodies, rules, captured)
        show(worlds, rules, k, predators, preys)
        pairs = count_overlaps(pos, bodies, 0, first_prey) + count_overlaps(pos, bodies, first_prey, end)
        late = tick(worlds, k, pairs)
        out = 0
        for prey in range(first_prey, end):
            out += not bodies[prey].movable
        terminated[k] = out == rules.n_preys
        truncated[k] = late and not terminated[k]
        if terminated[k] or truncated[k]:
            info[0, k], info[1, k] = out, worlds.contacts[k]
