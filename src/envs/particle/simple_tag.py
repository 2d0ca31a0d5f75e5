"""Simple tag: slower predators hunt faster preys among obstacles, N worlds at once.

The environment is simple_tag_v3 of MPE2 1.1.1 (Lowe et al., arXiv 1706.02275), with its adversaries as the team
"predator" and its good agents as the team "prey".
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from core.data import EnvSpec, TeamSpec
from core.settings import Section
from envs.particle import physics
from envs.particle.drawing import Canvas, draw_chase, view_of
from envs.particle.simple_tag_kernels import EDGE, simple_tag_reset, simple_tag_step
from envs.particle.worlds import INTEGRATOR, Integrator, ParticleWorlds, blocks, places


class SimpleTagArgs(Section):
    """Settings of simple_tag (``env_args``)."""

    n_predators: int = Field(3, ge=1, description="Agents of the team 'predator' (MPE2's adversaries).")
    n_preys: int = Field(1, ge=1, description="Agents of the team 'prey' (MPE2's good agents).")
    n_obstacles: int = Field(2, ge=0, description="Fixed bodies.")
    time_limit: int = Field(25, ge=1, description="Steps of an episode.")
    integrator: Integrator = Field("position_first", description=INTEGRATOR)

    @property
    def ground(self) -> float:
        """Where a prey should stay: within +-0.9 in both axes it is not punished."""
        return EDGE

    def columns(self, team: str) -> dict[str, slice]:
        """Return where in a team's observation the parts stand that scripted players read."""
        preys = 2 * (self.n_preys - (team == "prey"))
        return blocks(
            velocity=2,
            position=2,
            obstacles=2 * self.n_obstacles,
            predators=2 * (self.n_predators - (team == "predator")),
            preys=preys,
            prey_velocities=preys,
        )


class SimpleTag(ParticleWorlds):
    """N worlds with the teams "predator" and "prey" as one :class:`core.protocols.VecEnv`.

    Observations are those of MPE2 (:func:`envs.particle.simple_tag_kernels.observe`), a team's state is all of its
    own in a row, rewards are individual (:func:`envs.particle.simple_tag_kernels.score`). Episodes end by the time
    limit alone; ``info`` has ``contacts``, the overlapping pairs of a predator and a prey summed over the steps.
    A world's bodies are the predators, the preys, the obstacles.
    """

    Args = SimpleTagArgs
    VERSION = 1  # raise when episodes of the same seed change

    def __init__(self, n_envs: int, args: SimpleTagArgs) -> None:
        p, q = args.n_predators, args.n_preys
        sizes = {"predator": (p, args.columns("predator")), "prey": (q, args.columns("prey"))}
        teams = tuple(
            TeamSpec(
                name=name,
                n_agents=size,
                n_actions=physics.N_ACTIONS,
                obs_dim=columns["prey_velocities"].stop,
                state_dim=size * columns["prey_velocities"].stop,
                reward_dim=size,
                state_is_joint_obs=True,
                positions=places(size, apart=columns["prey_velocities"].stop, first=columns["position"].start),
            )
            for name, (size, columns) in sizes.items()
        )
        spec = EnvSpec(teams=teams, episode_limit=args.time_limit, info_keys=("contacts",), can_render=True)
        bodies = np.concatenate(
            [
                physics.make_bodies(p, radius=0.075, accel=3.0, max_speed=1.0),
                physics.make_bodies(q, radius=0.05, accel=4.0, max_speed=1.3),
                physics.make_bodies(args.n_obstacles, radius=0.2, movable=False),
            ]
        )
        super().__init__(n_envs, spec=spec, bodies=bodies, integrator=args.integrator)
        self.args = args
        predator, prey = self._time_step.teams
        self._observations, self._rewards = (predator.obs, prey.obs), (predator.rewards, prey.rewards)

    def _start(self, slots: np.ndarray, seeds: np.ndarray) -> None:
        simple_tag_reset(self.worlds, slots, seeds, *self._observations)

    def _advance(self, active: np.ndarray) -> None:
        out = self._time_step
        simple_tag_step(self.worlds, active, self._observations, self._rewards, out.truncated, out.info["contacts"])

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one world: uint8 [400, 400, 3]; predators red, preys blue. The view widens when an agent leaves it."""
        pos = self.positions[slot]
        canvas = Canvas(extent=view_of(pos))
        draw_chase(
            canvas, pos, self.velocities[slot], self.worlds.bodies[slot], self.args.n_predators, self.args.n_preys
        )
        canvas.caption(
            f"step {self.worlds.clock[slot]} / {self.args.time_limit}", f"{self.worlds.contacts[slot]} contacts"
        )
        return canvas.pixels()
