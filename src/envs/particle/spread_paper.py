"""Spread as in the ASAE paper: agents with a finite sight cover landmarks among obstacles, N worlds at once.

Wan, Song, Lan and Zheng, arXiv 2012.03488, section 5.2. What the paper leaves open (sight radius, obstacles,
penalty) is a setting; docs/particle_worlds.md says what was chosen and why.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from core.data import EnvSpec, TeamSpec
from core.settings import Section
from envs.particle import physics
from envs.particle.drawing import OBSTACLE, Canvas, view_of
from envs.particle.spread import AGENT_RADIUS, draw_spread, spread_bodies
from envs.particle.spread_paper_kernels import Rules, spread_paper_reset, spread_paper_step
from envs.particle.worlds import INTEGRATOR, Integrator, ParticleWorlds, places


class SpreadPaperArgs(Section):
    """Settings of spread_paper (``env_args``)."""

    n_agents: int = Field(3, ge=1, description="Agents, and as many landmarks.")
    time_limit: int = Field(150, ge=1, description="Steps of an episode.")
    sight_radius: float | None = Field(
        1.0, ge=0, description="An agent sees landmarks whose centre is at most this far away; null: all."
    )
    reward_form: Literal["agents", "landmarks"] = Field(
        "agents",
        description="Sum over agents of the distance to the nearest landmark (the paper), or the reverse (stock).",
    )
    collision_penalty: float = Field(1.0, ge=0, description="Taken from the reward per colliding pair and step.")
    n_obstacles: int = Field(2, ge=0, description="Fixed bodies that agents bump into and do not observe.")
    obstacle_radius: float = Field(0.1, gt=0, le=0.5, description="Size of an obstacle.")
    ground: float | None = Field(
        None, ge=1.25, description="Hard walls stand at +-ground in both axes; null: none, agents may run away."
    )
    integrator: Integrator = Field("position_first", description=INTEGRATOR)

    def columns(self, team: str) -> dict[str, slice]:
        """Return where in an observation the parts stand that scripted players read."""
        n = self.n_agents
        return {"position": slice(2, 4), "landmarks": slice(4, 4 + 2 * n), "visible": slice(4 + 2 * n, 4 + 3 * n)}


class SpreadPaper(ParticleWorlds):
    """N worlds as one :class:`core.protocols.VecEnv`.

    Observations are float32 [N, A, 4 + 3A] (:func:`envs.particle.spread_paper_kernels.observe`): an agent sees
    neither the others nor obstacles. The state has all there is: position and velocity of every agent, then
    positions of landmarks and obstacles. One team reward (:func:`envs.particle.spread_paper_kernels.score`).
    Episodes end by the time limit alone; ``info`` as in :class:`envs.particle.spread.Spread`. Agents and landmarks
    start clear of the obstacles, so that every landmark can be covered.
    A world's bodies are the agents, the landmarks, the obstacles.
    """

    Args = SpreadPaperArgs
    VERSION = 1  # raise when episodes of the same seed change

    def __init__(self, n_envs: int, args: SpreadPaperArgs) -> None:
        n = args.n_agents
        team = TeamSpec(
            name="agents",
            n_agents=n,
            n_actions=physics.N_ACTIONS,
            obs_dim=4 + 3 * n,
            state_dim=6 * n + 2 * args.n_obstacles,
            reward_dim=1,
            positions=places(n, apart=4),
        )
        spec = EnvSpec(
            teams=(team,),
            episode_limit=args.time_limit,
            info_keys=("collisions", "occupied_landmarks"),
            can_render=True,
        )
        obstacles = physics.make_bodies(args.n_obstacles, radius=args.obstacle_radius, movable=False)
        bodies = np.concatenate([spread_bodies(n), obstacles])
        super().__init__(n_envs, spec=spec, bodies=bodies, integrator=args.integrator)
        self.args = args
        gaps = np.zeros((len(bodies), len(bodies)))
        gaps[: 2 * n, 2 * n :] = AGENT_RADIUS + args.obstacle_radius  # room for an agent on every landmark
        gaps[2 * n :, 2 * n :] = 2 * args.obstacle_radius
        self._rules = Rules(
            sight_radius=math.inf if args.sight_radius is None else args.sight_radius,
            per_landmark=args.reward_form == "landmarks",
            penalty=args.collision_penalty,
            ground=math.inf if args.ground is None else args.ground,
            gaps=gaps,
        )

    def _start(self, slots: np.ndarray, seeds: np.ndarray) -> None:
        team = self._time_step.teams[0]
        spread_paper_reset(self.worlds, self._rules, slots, seeds, team.obs, team.state)

    def _advance(self, active: np.ndarray) -> None:
        out = self._time_step
        team, info = out.teams[0], out.info
        spread_paper_step(
            self.worlds,
            self._rules,
            active,
            team.obs,
            team.state,
            team.rewards,
            out.truncated,
            info["collisions"],
            info["occupied_landmarks"],
        )

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one world: uint8 [400, 400, 3].

        As :meth:`envs.particle.spread.Spread.render`, with obstacles as dark disks and the sight as thin circles.
        """
        n, pos = self.args.n_agents, self.positions[slot]
        ground = self.args.ground
        canvas = Canvas(extent=view_of(pos) if ground is None else ground * 1.18)
        if ground is not None:
            canvas.walls(ground)
        for center in pos[2 * n :]:
            canvas.disk(center, self.args.obstacle_radius, OBSTACLE)
        if self.args.sight_radius is not None:
            for center in pos[:n]:
                canvas.ring(center, self.args.sight_radius)
        occupied = draw_spread(canvas, pos[:n], self.velocities[slot, :n], pos[n : 2 * n])
        canvas.caption(
            f"step {self.worlds.clock[slot]} / {self.args.time_limit}", f"{occupied} / {n} landmarks occupied"
        )
        return canvas.pixels()
