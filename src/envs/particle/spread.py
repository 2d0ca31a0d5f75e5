"""Spread: A agents cover A landmarks without touching one another, N worlds at once.

The environment is simple_spread_v3 of MPE2 1.1.1 (Lowe et al., arXiv 1706.02275), computed by one Numba
kernel per step and equal to it in positions, velocities, rewards and observations.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.data import EnvSpec, TeamSpec
from envs.particle import physics
from envs.particle.drawing import AGENT_COLORS, Canvas, view_of
from envs.particle.spread_kernels import OCCUPIED, spread_reset, spread_step
from envs.particle.worlds import INTEGRATOR, Integrator, ParticleWorlds, places

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
    integrator: Integrator = Field("position_first", description=INTEGRATOR)

    @field_validator("n_agents")
    @classmethod
    def _at_least_two(cls, value: int) -> int:
        if value < 2:
            raise ValueError(f"spread needs at least 2 agents, not {value}")
        return value

    def columns(self, team: str) -> dict[str, slice]:
        """Return where in an observation the parts stand that scripted players read."""
        return {"position": slice(2, 4), "landmarks": slice(4, 4 + 2 * self.n_agents)}


class Spread(ParticleWorlds):
    """N worlds of spread as one :class:`core.protocols.VecEnv`.

    Observations are float32 [N, A, 6A] (18 numbers at A = 3; layout in
    :func:`envs.particle.spread_kernels.observe`), the state is all of them in a row, rewards are individual
    (:func:`envs.particle.spread_kernels.score`); actions are none, -x, +x, -y, +y. Episodes end by the time
    limit alone. At their end ``info`` has ``collisions``, the overlapping pairs of agents summed over the
    episode's steps, and ``occupied_landmarks``, the landmarks with an agent nearer than 0.1 in the last step.
    A world's bodies are the agents, then the landmarks.
    """

    Args = SpreadArgs
    VERSION = 1  # raise when episodes of the same seed change

    def __init__(self, n_envs: int, args: SpreadArgs) -> None:
        n, size = args.n_agents, 6 * args.n_agents
        team = TeamSpec(
            name="agents",
            n_agents=n,
            n_actions=physics.N_ACTIONS,
            obs_dim=size,
            state_dim=n * size,
            reward_dim=n,
            state_is_joint_obs=True,
            positions=places(n, apart=size, first=2),
        )
        spec = EnvSpec(
            teams=(team,),
            episode_limit=args.time_limit,
            info_keys=("collisions", "occupied_landmarks"),
            can_render=True,
        )
        super().__init__(n_envs, spec=spec, bodies=spread_bodies(n), integrator=args.integrator)
        self.args = args

    def _start(self, slots: np.ndarray, seeds: np.ndarray) -> None:
        spread_reset(self.worlds, slots, seeds, self._time_step.teams[0].obs)

    def _advance(self, active: np.ndarray) -> None:
        out = self._time_step
        team, info = out.teams[0], out.info
        spread_step(
            self.worlds,
            active,
            team.obs,
            team.rewards,
            out.truncated,
            info["collisions"],
            info["occupied_landmarks"],
            self.args.local_ratio,
        )

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one world: uint8 [400, 400, 3].

        Agents are large disks with a trail against their velocity, a red rim marks a collision; landmarks
        are small disks, amber, green where occupied. The view widens when an agent leaves it.
        """
        n, pos = self.args.n_agents, self.positions[slot]
        canvas = Canvas(extent=view_of(pos))
        occupied = draw_spread(canvas, pos[:n], self.velocities[slot, :n], pos[n:])
        canvas.caption(
            f"step {self.worlds.clock[slot]} / {self.args.time_limit}", f"{occupied} / {n} landmarks occupied"
        )
        return canvas.pixels()


def spread_bodies(n_agents: int) -> np.ndarray:
    """Describe A agents and A landmarks: [2A] of :data:`envs.particle.physics.BODY`."""
    agents = physics.make_bodies(n_agents, radius=AGENT_RADIUS)
    landmarks = physics.make_bodies(n_agents, radius=LANDMARK_RADIUS, movable=False, collides=False)
    return np.concatenate([agents, landmarks])


def draw_spread(canvas: Canvas, agents: np.ndarray, vel: np.ndarray, landmarks: np.ndarray) -> int:
    """Draw agents (positions [A, 2], velocities [A, 2]) and landmarks [A, 2]; return how many are occupied."""
    n = len(agents)
    occupied = np.linalg.norm(agents[:, None] - landmarks, axis=-1).min(axis=0) < OCCUPIED
    overlaps = np.linalg.norm(agents[:, None] - agents, axis=-1) < 2 * AGENT_RADIUS
    for i in range(n):
        canvas.tail(agents[i] - 0.4 * vel[i], agents[i], AGENT_RADIUS, AGENT_COLORS[i % len(AGENT_COLORS)])
    for i in range(n):
        rim = (214, 40, 57) if overlaps[i].sum() > 1 else (255, 255, 255)
        color = AGENT_COLORS[i % len(AGENT_COLORS)]
        canvas.disk(agents[i], AGENT_RADIUS, (*color, 225), outline=rim, width=2)
    for j in range(n):
        color = (46, 170, 90) if occupied[j] else (240, 178, 41)
        canvas.disk(landmarks[j], LANDMARK_RADIUS, color, outline=(255, 255, 255))
    return int(occupied.sum())
