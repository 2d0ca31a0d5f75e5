"""What all particle environments share: N worlds in arrays, and the checks around a kernel's reset and step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from core.compiling import kernel
from core.data import EnvSpec, TimeStep, allocate_time_step
from envs.rng import start_stream

Integrator = Literal["position_first", "velocity_first"]
INTEGRATOR = "MPE2 moves with the old velocity; until PettingZoo 1.22 it was the new one."


def blocks(**sizes: int) -> dict[str, slice]:
    """Return name -> columns of blocks that stand one after another in an observation, given their sizes."""
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += size
    return found


def places(n_agents: int, *, apart: int, first: int = 0) -> tuple[tuple[int, int], ...]:
    """Return the columns of a state with x and y of every agent, so far apart, from ``first`` on."""
    return tuple((start, start + 1) for start in range(first, first + n_agents * apart, apart))


class Worlds(NamedTuple):
    """N worlds of M bodies, as kernels take them; the controlled bodies stand first, team after team.

    Attributes:
        bodies: [N, M] of :data:`envs.particle.physics.BODY`.
        pos, vel: float64 [N, M, 2].
        force: float64 [M, 2], scratch.
        actions: int64 [N, A] of all teams' agents.
        clock: int64 [N], steps so far.
        contacts: int64 [N], what the environment counts as contacts, summed over the steps so far.
        streams: uint64 [N], random streams (:mod:`envs.rng`).
        time_limit: steps of an episode.
        velocity_first: see :func:`envs.particle.physics.integrate`.
    """

    bodies: np.ndarray
    pos: np.ndarray
    vel: np.ndarray
    force: np.ndarray
    actions: np.ndarray
    clock: np.ndarray
    contacts: np.ndarray
    streams: np.ndarray
    time_limit: int
    velocity_first: bool


@kernel
def begin(worlds: Worlds, world: int, seed: np.uint64) -> None:
    """Start a world's random stream and clock; everything is at rest."""
    start_stream(worlds.streams, world, seed)
    worlds.vel[world] = 0.0
    worlds.clock[world] = 0
    worlds.contacts[world] = 0


@kernel
def tick(worlds: Worlds, world: int, contacts: int) -> bool:
    """Count a step and its contacts; return whether the time limit is reached."""
    worlds.clock[world] += 1
    worlds.contacts[world] += contacts
    return worlds.clock[world] >= worlds.time_limit


class ParticleWorlds(ABC):
    """Base of the particle environments: N worlds as one :class:`core.protocols.VecEnv`.

    Attributes:
        spec: sizes.
        n_envs: N.
        positions: float64 [N, M, 2]; writable, to set up a situation.
        velocities: float64 [N, M, 2].

    Args:
        n_envs: N.
        spec: sizes.
        bodies: [M] of :data:`envs.particle.physics.BODY`, all teams' agents first.
        integrator: which velocity moves a body.

    Raises:
        ValueError: there is no world, or later: actions, slots or seeds do not have the right shape or range.
    """

    def __init__(self, n_envs: int, *, spec: EnvSpec, bodies: np.ndarray, integrator: Integrator) -> None:
        if n_envs < 1:
            raise ValueError(f"a particle environment needs at least 1 world, not {n_envs}")
        m, n_agents = len(bodies), [team.n_agents for team in spec.teams]
        self.spec, self.n_envs = spec, n_envs
        self.positions = np.zeros((n_envs, m, 2))
        self.velocities = np.zeros((n_envs, m, 2))
        self._ends = [0, *np.cumsum(n_agents).tolist()]  # team k has the agents ends[k]..ends[k + 1] - 1
        self.worlds = Worlds(
            bodies=np.stack([bodies] * n_envs),
            pos=self.positions,
            vel=self.velocities,
            force=np.zeros((m, 2)),
            actions=np.zeros((n_envs, self._ends[-1]), np.int64),
            clock=np.zeros(n_envs, np.int64),
            contacts=np.zeros(n_envs, np.int64),
            streams=np.zeros(n_envs, np.uint64),
            time_limit=spec.episode_limit,
            velocity_first=integrator == "velocity_first",
        )
        self._time_step = allocate_time_step(spec, n_envs)

    @abstractmethod
    def _start(self, slots: np.ndarray, seeds: np.ndarray) -> None:
        """Set up episodes in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]) and write their observations."""

    @abstractmethod
    def _advance(self, active: np.ndarray) -> None:
        """Step the worlds where ``active`` (bool [N]) holds, with ``self.worlds.actions``."""

    @abstractmethod
    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one world: uint8 [400, 400, 3]."""

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new episodes in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]); other slots are left alone."""
        slots = np.ascontiguousarray(slots, np.int64)
        seeds = np.ascontiguousarray(seeds, np.uint64)
        if slots.shape != seeds.shape or slots.ndim != 1:
            raise ValueError(f"slots and seeds must be [K] both, not {slots.shape} and {seeds.shape}")
        if slots.size and not 0 <= slots.min() <= slots.max() < self.n_envs:
            raise ValueError(f"slots must be within 0..{self.n_envs - 1}, not {slots}")
        out = self._time_step
        self._start(slots, seeds)
        for team in out.teams:
            team.rewards[slots] = 0
        for flags in (out.terminated, out.truncated, out.failed):
            flags[slots] = False
        return out

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step the slots where ``active`` (bool [N]) holds; ``actions[team]`` is int64 [N, A]."""
        active = np.ascontiguousarray(active, np.bool_)
        if len(actions) != len(self.spec.teams) or active.shape != (self.n_envs,):
            raise ValueError(
                f"there must be actions of {len(self.spec.teams)} teams and active ({self.n_envs},), "
                f"not {len(actions)} and {active.shape}"
            )
        for k, moves in enumerate(actions):
            place = self.worlds.actions[:, self._ends[k] : self._ends[k + 1]]
            if np.shape(moves) != place.shape:
                raise ValueError(f"actions must be {place.shape}, not {np.shape(moves)}")
            place[:] = moves
        self._advance(active)
        return self._time_step

    def close(self) -> None:  # noqa: B027
        """Nothing to give back."""
