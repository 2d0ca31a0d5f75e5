"""Predator-prey as in the ASAE paper: two teams within walls, preys are captured, N worlds at once.

Wan, Song, Lan and Zheng, arXiv 2012.03488, section 5.3. What the paper leaves open (sizes, speeds, ground, weights
of the rewards) is a setting; docs/particle_worlds.md says what was chosen and why.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from core.data import EnvSpec, TeamSpec
from core.settings import Section
from envs.particle import physics
from envs.particle.drawing import Canvas, draw_chase
from envs.particle.predator_prey_kernels import Rules, View, predator_prey_reset, predator_prey_step
from envs.particle.worlds import INTEGRATOR, Integrator, ParticleWorlds, blocks, places


class PredatorPreyArgs(Section):
    """Settings of predator_prey (``env_args``)."""

    n_predators: int = Field(3, ge=1, description="Agents of the team 'predator'.")
    n_preys: int = Field(3, ge=1, description="Agents of the team 'prey'.")
    time_limit: int = Field(150, ge=1, description="Steps of an episode; it ends earlier when all are captured.")
    ground: float = Field(2.5, gt=0, description="The walls stand at +-ground in both axes.")
    n_obstacles: int = Field(2, ge=0, description="Fixed bodies near the centre.")
    obstacle_radius: float = Field(0.2, gt=0, description="Size of an obstacle.")
    obstacle_spread: float = Field(0.5, gt=0, description="Obstacles' centres lie within +-this in both axes.")
    predator_radius: float = Field(0.075, gt=0, description="Size of a predator.")
    predator_accel: float = Field(3.0, gt=0, description="Force of a predator's move; the mass is 1.")
    predator_max_speed: float = Field(1.0, gt=0, description="Of a predator, per second (10 steps).")
    prey_radius: float = Field(0.05, gt=0, description="Size of a prey; it is captured when a predator overlaps it.")
    prey_accel: float = Field(4.0, gt=0, description="Force of a prey's move.")
    prey_max_speed: float = Field(1.3, gt=0, description="Of a prey.")
    distance_weight: float = Field(1.0, ge=0, description="Weight of the distances between predators and preys.")
    centre_weight: float = Field(
        0.2, ge=0, description="Weight of the preys' distances to the centre; with 1 an early capture pays."
    )
    capture_bonus: float = Field(10.0, ge=0, description="Reward of the predators per captured prey.")
    capture_penalty: float = Field(10.0, ge=0, description="Taken from the preys' reward per captured prey.")
    integrator: Integrator = Field("position_first", description=INTEGRATOR)

    @model_validator(mode="after")
    def _everything_fits(self) -> PredatorPreyArgs:
        sizes = self.obstacle_radius + self.obstacle_spread if self.n_obstacles else 0.0
        if max(sizes, self.predator_radius, self.prey_radius) >= self.ground:
            raise ValueError(
                f"env_args.ground={self.ground} is too small: predators, preys and obstacles (obstacle_spread + "
                f"obstacle_radius = {sizes:g}) must lie within the walls"
            )
        disks = (
            self.n_predators * self.predator_radius**2
            + self.n_preys * self.prey_radius**2
            + self.n_obstacles * self.obstacle_radius**2
        )
        if np.pi * disks > self.ground**2:  # a quarter of the ground: random places without overlap are found at once
            raise ValueError(
                f"env_args.ground={self.ground} is too small: {self.n_predators} predators, {self.n_preys} preys and "
                f"{self.n_obstacles} obstacles would cover more than a quarter of it"
            )
        return self

    def columns(self, team: str) -> dict[str, slice]:
        """Return where in a team's observation the parts stand that scripted players read."""
        p, q = 2 * (self.n_predators - (team == "predator")), 2 * (self.n_preys - (team == "prey"))
        return blocks(
            velocity=2,
            position=2,
            walls=4,
            obstacles=2 * self.n_obstacles,
            predators=p,
            preys=q,
            predator_velocities=p,
            prey_velocities=q,
            living=q // 2,
        )

    def bodies(self) -> np.ndarray:
        """Describe predators, preys, obstacles: [M] of :data:`envs.particle.physics.BODY`."""
        return np.concatenate(
            [
                physics.make_bodies(
                    self.n_predators,
                    radius=self.predator_radius,
                    accel=self.predator_accel,
                    max_speed=self.predator_max_speed,
                ),
                physics.make_bodies(
                    self.n_preys, radius=self.prey_radius, accel=self.prey_accel, max_speed=self.prey_max_speed
                ),
                physics.make_bodies(self.n_obstacles, radius=self.obstacle_radius, movable=False),
            ]
        )


class PredatorPrey(ParticleWorlds):
    """N worlds with the teams "predator" and "prey" as one :class:`core.protocols.VecEnv`.

    Everything is observed (:func:`envs.particle.predator_prey_kernels.observe`); the state has the same without
    repetition and is equal for both teams. One reward per team (:func:`envs.particle.predator_prey_kernels.score`).
    A prey that a predator overlaps is captured: out for the rest of the episode, its observation is zeros and its one
    available action is 0 (none). An episode terminates when all are captured and is truncated at its limit. At its end
    ``info`` has ``captured``, ``capture_rate`` (captured / preys), ``all_captured`` (0 or 1) and ``collisions``, the
    overlapping pairs within a team summed over the steps.
    A world's bodies are the predators, the preys, the obstacles.
    """

    Args = PredatorPreyArgs
    VERSION = 1  # raise when episodes of the same seed change

    def __init__(self, n_envs: int, args: PredatorPreyArgs) -> None:
        p, q = args.n_predators, args.n_preys
        teams = tuple(
            TeamSpec(
                name=name,
                n_agents=size,
                n_actions=physics.N_ACTIONS,
                obs_dim=args.columns(name)["living"].stop,
                state_dim=4 * p + 5 * q + 2 * args.n_obstacles,
                reward_dim=1,
                positions=places(size, apart=4, first=first),
            )
            for name, size, first in (("predator", p, 0), ("prey", q, 4 * p))
        )
        spec = EnvSpec(
            teams=teams,
            episode_limit=args.time_limit,
            info_keys=("captured", "capture_rate", "all_captured", "collisions"),
            can_render=True,
        )
        bodies = args.bodies()
        super().__init__(n_envs, spec=spec, bodies=bodies, integrator=args.integrator)
        self.args, self._all_living = args, bodies
        self._counts = np.zeros((2, n_envs), np.float32)  # captured preys and collisions of finished episodes
        self._views = [View(team.obs, team.state, team.available) for team in self._time_step.teams]
        self._rewards = (self._time_step.teams[0].rewards, self._time_step.teams[1].rewards)
        self._rules = Rules(
            n_predators=p,
            n_preys=q,
            ground=args.ground,
            obstacle_spread=args.obstacle_spread,
            distance_weight=args.distance_weight,
            centre_weight=args.centre_weight,
            capture_bonus=args.capture_bonus,
            capture_penalty=args.capture_penalty,
            gaps=bodies["radius"][:, None] + bodies["radius"],
        )

    def _start(self, slots: np.ndarray, seeds: np.ndarray) -> None:
        predator_prey_reset(self.worlds, self._rules, self._all_living, slots, seeds, *self._views)

    def _advance(self, active: np.ndarray) -> None:
        out, counts = self._time_step, self._counts
        predator_prey_step(
            self.worlds, self._rules, active, *self._views, self._rewards, out.terminated, out.truncated, counts
        )
        over = active & (out.terminated | out.truncated)
        if over.any():
            captured = counts[0, over]
            out.info["captured"][over] = captured
            out.info["capture_rate"][over] = captured / self.args.n_preys
            out.info["all_captured"][over] = captured == self.args.n_preys
            out.info["collisions"][over] = counts[1, over]

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one world: uint8 [400, 400, 3]; predators red, preys blue, captured preys as crosses."""
        p, q, pos, bodies = self.args.n_predators, self.args.n_preys, self.positions[slot], self.worlds.bodies[slot]
        canvas = Canvas(extent=self.args.ground * 1.18, ground=self.args.ground)
        canvas.walls(self.args.ground)
        draw_chase(canvas, pos, self.velocities[slot], bodies, p, q)
        captured = q - int(bodies["movable"][p : p + q].sum())
        canvas.caption(f"step {self.worlds.clock[slot]} / {self.args.time_limit}", f"{captured} / {q} preys captured")
        return canvas.pixels()
