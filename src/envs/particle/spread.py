"""Spread: A agents cover A landmarks without touching one another, N worlds at once.

The environment is simple_spread_v3 of MPE2 1.1.1 (Lowe et al., arXiv 1706.02275), computed by one Numba
kernel per step and equal to it in positions, velocities, rewards and observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.data import EnvSpec, TeamSpec, TimeStep, allocate_time_step
from envs.particle import physics
from envs.particle.drawing import AGENT_COLORS, Canvas
from envs.particle.spread_kernels import OCCUPIED, spread_reset, spread_step

AGENT_RADIUS = 0.15
LANDMARK_RADIUS = 0.05


class SpreadArgs(BaseModel):
    """Settings of spread (``env_args``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_agents: int = Field(3, description="Agents, and as many landmarks; at least 2.")
    time_limit: int = Field(25, ge=1, description="Steps of an episode.")
    local_ratio: float = Field(
        0.5, ge=0, le=1, description="Weight of an agent's own collisions; the rest weighs the landmarks' distances."
    )
    integrator: Literal["position_first", "velocity_first"] = Field(
        "position_first", description="MPE2 moves with the old velocity; until PettingZoo 1.22 it was the new one."
    )

    @field_validator("n_agents")
    @classmethod
    def _at_least_two(cls, value: int) -> int:
        if value < 2:
            raise ValueError(f"spread needs at least 2 agents, not {value}")
        return value


class Spread:
    """N worlds of spread as one :class:`core.protocols.VecEnv`.

    Observations are float32 [N, A, 6A] (18 numbers at A = 3; layout in
    :func:`envs.particle.spread_kernels.observe`), the state is all of them in a row, rewards are individual
    (:func:`envs.particle.spread_kernels.score`); actions are none, -x, +x, -y, +y. Episodes end by the time
    limit alone. At their end ``info`` has ``collisions``, the overlapping pairs of agents summed over the
    episode's steps, and ``occupied_landmarks``, the landmarks with an agent nearer than 0.1 in the last step.

    Attributes:
        positions: float64 [N, 2A, 2], agents, then landmarks; writable, to set up a situation.
        velocities: float64 [N, 2A, 2]; a landmark's is zero.

    Raises:
        ValueError: there is no world, or actions, slots or seeds do not have the right shape or range.
    """

    Args = SpreadArgs

    def __init__(self, n_envs: int, args: SpreadArgs) -> None:
        if n_envs < 1:
            raise ValueError(f"spread needs at least 1 world, not {n_envs}")
        n, size = args.n_agents, 6 * args.n_agents
        team = TeamSpec(
            name="agents",
            n_agents=n,
            n_actions=physics.N_ACTIONS,
            obs_dim=size,
            state_dim=n * size,
            reward_dim=n,
            state_is_joint_obs=True,
        )
        self.spec = EnvSpec(
            teams=(team,),
            episode_limit=args.time_limit,
            info_keys=("collisions", "occupied_landmarks"),
            can_render=True,
        )
        self.n_envs = n_envs
        self.args = args
        self.positions = np.zeros((n_envs, 2 * n, 2))
        self.velocities = np.zeros((n_envs, 2 * n, 2))
        self._bodies = np.concatenate(
            [
                physics.make_bodies(n, radius=AGENT_RADIUS),
                physics.make_bodies(n, radius=LANDMARK_RADIUS, movable=False, collides=False),
            ]
        )
        self._force = np.zeros((2 * n, 2))
        self._clock = np.zeros(n_envs, np.int64)
        self._pairs = np.zeros(n_envs, np.int64)
        self._streams = np.zeros(n_envs, np.uint64)
        self._velocity_first = args.integrator == "velocity_first"
        self._time_step = allocate_time_step(self.spec, n_envs)

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new episodes in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]); other slots are left alone."""
        slots = np.ascontiguousarray(slots, np.int64)
        seeds = np.ascontiguousarray(seeds, np.uint64)
        if slots.shape != seeds.shape or slots.ndim != 1:
            raise ValueError(f"slots and seeds must be [K] both, not {slots.shape} and {seeds.shape}")
        if slots.size and not 0 <= slots.min() <= slots.max() < self.n_envs:
            raise ValueError(f"slots must be within 0..{self.n_envs - 1}, not {slots}")
        out = self._time_step
        team = out.teams[0]
        spread_reset(slots, seeds, self._streams, self.positions, self.velocities, self._clock, self._pairs, team.obs)
        team.rewards[slots] = 0
        for flags in (out.terminated, out.truncated, out.failed):
            flags[slots] = False
        return out

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step the slots where ``active`` (bool [N]) holds; ``actions[0]`` is int64 [N, A]."""
        moves = np.ascontiguousarray(actions[0], np.int64)
        active = np.ascontiguousarray(active, np.bool_)
        out = self._time_step
        team = out.teams[0]
        if moves.shape != team.rewards.shape or active.shape != out.truncated.shape:
            raise ValueError(
                f"actions must be {team.rewards.shape} and active {out.truncated.shape}, "
                f"not {moves.shape} and {active.shape}"
            )
        spread_step(
            moves,
            active,
            self._bodies,
            self.positions,
            self.velocities,
            self._force,
            self._clock,
            self._pairs,
            team.obs,
            team.rewards,
            out.truncated,
            out.info["collisions"],
            out.info["occupied_landmarks"],
            self.args.time_limit,
            self.args.local_ratio,
            self._velocity_first,
        )
        return out

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one world: uint8 [400, 400, 3].

        Agents are large disks with a trail against their velocity, a red rim marks a collision; landmarks
        are small disks, green where occupied. The view widens when an agent leaves it.
        """
        n = self.args.n_agents
        pos, vel = self.positions[slot], self.velocities[slot]
        agents, landmarks = pos[:n], pos[n:]
        canvas = Canvas(extent=max(1.3, float(np.abs(pos).max()) + 1.3 * AGENT_RADIUS))
        occupied = np.linalg.norm(agents[:, None] - landmarks, axis=-1).min(axis=0) < OCCUPIED
        overlaps = np.linalg.norm(agents[:, None] - agents, axis=-1) < 2 * AGENT_RADIUS
        for i in range(n):
            canvas.tail(agents[i] - 0.4 * vel[i], agents[i], AGENT_RADIUS, AGENT_COLORS[i % len(AGENT_COLORS)])
        for i in range(n):
            rim = (214, 40, 57) if overlaps[i].sum() > 1 else (255, 255, 255)
            color = AGENT_COLORS[i % len(AGENT_COLORS)]
            canvas.disk(agents[i], AGENT_RADIUS, (*color, 225), outline=rim, width=2)
        for j in range(n):
            color = (46, 170, 90) if occupied[j] else (58, 66, 80)
            canvas.disk(landmarks[j], LANDMARK_RADIUS, color, outline=(255, 255, 255))
        canvas.caption(
            f"step {self._clock[slot]} / {self.args.time_limit}", f"{int(occupied.sum())} / {n} landmarks occupied"
        )
        return canvas.pixels()

    def close(self) -> None:
        """Nothing to give back."""
