"""Scripted players of the particle worlds, which work from observations alone: see :mod:`envs.scripted`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.data import TeamSpec, TeamStep
from envs.particle import physics
from envs.scripted import Fits, Memoryless

_DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], np.float32)  # of the actions 0..4


def _steer(wish: np.ndarray, available: np.ndarray, near: float) -> np.ndarray:
    """Push along the longer axis of ``wish`` [N, A, 2]; nothing where it is shorter than ``near``."""
    scores = np.einsum("nad,ud->nau", wish, _DIRECTIONS)
    scores[..., 0] = near
    return np.where(available, scores, -np.inf).argmax(-1)


_COASTING = physics.DT / physics.DAMPING
"""How far a body goes on by itself, per velocity: 0.1 (1 + 0.75 + 0.75^2 + ...) = 0.4 seconds."""


class Greedy(Memoryless):
    """A predator that goes for the nearest living prey: to where it would come to rest, from where oneself would."""

    fits: ClassVar[Fits | None] = frozenset({("predator_prey", "predator"), ("simple_tag", "predator")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        obs = step.obs
        preys = _points(obs[..., self._columns["preys"]])
        square = (preys**2).sum(-1)
        if "living" in self._columns:
            square = np.where(obs[..., self._columns["living"]] > 0, square, np.inf)
        target = square.argmin(-1)
        speed = _chosen(_points(obs[..., self._columns["prey_velocities"]]), target)
        own_speed = obs[..., self._columns["velocity"]]
        return _steer(_chosen(preys, target) + _COASTING * (speed - own_speed), step.available, near=0.0)


class Fleeing(Memoryless):
    """A prey that pushes to where the nearest predator would be farthest, were it 0.6 away and stayed within walls."""

    fits: ClassVar[Fits | None] = frozenset({("predator_prey", "prey"), ("simple_tag", "prey")})
    _AHEAD = 0.6

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns, self._ground = env_args.columns(team.name), env_args.ground

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        obs = step.obs
        own = obs[..., None, self._columns["position"]]  # [N, A, 1, 2]
        ahead = _COASTING * obs[..., None, self._columns["velocity"]] + self._AHEAD * _DIRECTIONS
        moved = np.clip(own + ahead, -self._ground, self._ground) - own  # [N, A, U, 2]
        predators = _points(obs[..., self._columns["predators"]])  # [N, A, P, 2]
        distance = np.linalg.norm(predators[..., None, :, :] - moved[..., None, :], axis=-1)  # [N, A, U, P]
        return np.where(step.available, distance.min(-1), -np.inf).argmax(-1)


class Nearest(Memoryless):
    """An agent of spread that goes to its nearest landmark in sight; to the centre where it sees none."""

    fits: ClassVar[Fits | None] = frozenset({("spread", "agents"), ("spread_paper", "agents")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        obs = step.obs
        landmarks, seen = _landmarks(obs, self._columns)
        square = np.where(seen, (landmarks**2).sum(-1), np.inf)
        goal = _chosen(landmarks, square.argmin(-1))
        centre = -obs[..., self._columns["position"]]
        return _go(np.where(seen.any(-1, keepdims=True), goal, centre), obs, step.available)


class Assigned(Memoryless):
    """Spread's agents share the landmarks that any of them sees so that the sum of their distances is least.

    One agent each, solved anew at every step (Hungarian method); who gets none goes to the centre. Unlike the
    others it looks at the whole team's observations: a yardstick for what can be reached.
    """

    fits: ClassVar[Fits | None] = Nearest.fits

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        obs = step.obs
        landmarks, seen = _landmarks(obs, self._columns)
        own = obs[..., self._columns["position"]]
        witness = seen.argmax(1)  # [N, L], an agent that sees it
        places = np.take_along_axis(landmarks + own[:, :, None], witness[:, None, :, None], axis=1)  # [N, 1, L, 2]
        wishes = places - own[:, :, None]  # [N, A, L, 2]
        known = np.asarray(seen.any(1))
        cost = np.where(known[:, None], np.linalg.norm(wishes, axis=-1), 0.0)
        goal = np.array([linear_sum_assignment(world)[1] for world in cost])
        has_goal = np.take_along_axis(known, goal, axis=1)[..., None]
        return _go(np.where(has_goal, _chosen(wishes, goal), -own), obs, step.available)


def _points(columns: np.ndarray) -> np.ndarray:
    """[N, A, 2K] -> [N, A, K, 2]."""
    return columns.reshape(*columns.shape[:2], -1, 2)


def _chosen(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Pick one of K points each: [N, A, K, 2] and int [N, A] -> [N, A, 2]."""
    return np.take_along_axis(points, index[..., None, None], axis=-2)[..., 0, :]


def _landmarks(obs: np.ndarray, columns: dict[str, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Return relative positions [N, A, L, 2] and which are seen, bool [N, A, L]."""
    landmarks = _points(obs[..., columns["landmarks"]])
    if "visible" not in columns:
        return landmarks, np.ones(landmarks.shape[:-1], bool)
    return landmarks, obs[..., columns["visible"]] > 0


def _go(wish: np.ndarray, obs: np.ndarray, available: np.ndarray) -> np.ndarray:
    """Go to ``wish`` [N, A, 2], relative to oneself, and stop there."""
    return _steer(wish - _COASTING * obs[..., :2], available, near=0.05)
