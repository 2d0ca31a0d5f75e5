"""Scripted players of the particle worlds: opponents and yardsticks that work from observations alone.

A player sees what a learning team sees, so that it can play a team in its place. Names: :data:`SCRIPTED`; which
teams of which environments a player fits: its ``fits``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.data import TeamSpec
from core.errors import UserError
from core.registry import load
from envs.particle import physics

Fits = frozenset[tuple[str, str]]

SCRIPTED: dict[str, str] = {
    "random": "envs.particle.scripted:Random",
    "noop": "envs.particle.scripted:NoOp",
    "greedy": "envs.particle.scripted:Greedy",
    "fleeing": "envs.particle.scripted:Fleeing",
    "nearest": "envs.particle.scripted:Nearest",
    "assigned": "envs.particle.scripted:Assigned",
}
"""Name -> "module:Class"; every class is built as ``Class(env_args, team)`` and is a :class:`ScriptedPlayer`."""

_DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], np.float32)  # of the actions 0..4


class ScriptedPlayer(Protocol):
    """Acts for one team by a rule; keeps nothing from one step to the next.

    Attributes:
        fits: (environment, team) pairs that it can play; None: every team of every environment.
    """

    fits: ClassVar[Fits | None]

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Choose actions.

        Args:
            obs: float32 [N, A, O].
            available: bool [N, A, U]; at least one action each.
            generator: of all that is random about it.

        Returns:
            int64 [N, A], available actions.
        """
        ...


def make_player(name: str, *, env: str, env_args: Any, team: TeamSpec) -> ScriptedPlayer:
    """Build a scripted player.

    Args:
        name: in :data:`SCRIPTED`.
        env: name of the environment in ``envs.REGISTRY``.
        env_args: its settings (an instance of its ``Args``).
        team: the team to play.

    Raises:
        UserError: there is no such player, or it cannot play this team.
    """
    cls = load(SCRIPTED, name, "scripted player")
    if cls.fits is not None and (env, team.name) not in cls.fits:
        places = ", ".join(f"{where} ({who})" for where, who in sorted(cls.fits))
        raise UserError(f"The scripted player '{name}' cannot play the team '{team.name}' of {env}, only: {places}.")
    return cls(env_args, team)


class Random:
    """Every available action with the same probability."""

    fits: ClassVar[Fits | None] = None

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        pass

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        return np.where(available, generator.random(available.shape), -1.0).argmax(-1)


class NoOp:
    """The first available action, which does nothing in the particle worlds."""

    fits: ClassVar[Fits | None] = None

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        pass

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        return available.argmax(-1)


def _steer(wish: np.ndarray, available: np.ndarray, near: float) -> np.ndarray:
    """Push along the longer axis of ``wish`` [N, A, 2]; nothing where it is shorter than ``near``."""
    scores = np.einsum("nad,ud->nau", wish, _DIRECTIONS)
    scores[..., 0] = near
    return np.where(available, scores, -np.inf).argmax(-1)


_COASTING = physics.DT / physics.DAMPING
"""How far a body goes on by itself, per velocity: 0.1 (1 + 0.75 + 0.75^2 + ...) = 0.4 seconds."""


class Greedy:
    """A predator that goes for the nearest living prey: to where it would come to rest, from where oneself would."""

    fits: ClassVar[Fits | None] = frozenset({("predator_prey", "predator"), ("simple_tag", "predator")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        preys = _points(obs[..., self._columns["preys"]])
        square = (preys**2).sum(-1)
        if "living" in self._columns:
            square = np.where(obs[..., self._columns["living"]] > 0, square, np.inf)
        target = square.argmin(-1)
        speed = _chosen(_points(obs[..., self._columns["prey_velocities"]]), target)
        own_speed = obs[..., self._columns["velocity"]]
        return _steer(_chosen(preys, target) + _COASTING * (speed - own_speed), available, near=0.0)


class Fleeing:
    """A prey that pushes to where the nearest predator would be farthest, were it 0.6 away and stayed within walls."""

    fits: ClassVar[Fits | None] = frozenset({("predator_prey", "prey"), ("simple_tag", "prey")})
    _AHEAD = 0.6

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns, self._ground = env_args.columns(team.name), env_args.ground

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        own = obs[..., None, self._columns["position"]]  # [N, A, 1, 2]
        ahead = _COASTING * obs[..., None, self._columns["velocity"]] + self._AHEAD * _DIRECTIONS
        moved = np.clip(own + ahead, -self._ground, self._ground) - own  # [N, A, U, 2]
        predators = _points(obs[..., self._columns["predators"]])  # [N, A, P, 2]
        distance = np.linalg.norm(predators[..., None, :, :] - moved[..., None, :], axis=-1)  # [N, A, U, P]
        return np.where(available, distance.min(-1), -np.inf).argmax(-1)


class Nearest:
    """An agent of spread that goes to its nearest landmark in sight; to the centre where it sees none."""

    fits: ClassVar[Fits | None] = frozenset({("spread", "agents"), ("spread_paper", "agents")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        landmarks, seen = _landmarks(obs, self._columns)
        square = np.where(seen, (landmarks**2).sum(-1), np.inf)
        goal = _chosen(landmarks, square.argmin(-1))
        centre = -obs[..., self._columns["position"]]
        return _go(np.where(seen.any(-1, keepdims=True), goal, centre), obs, available)


class Assigned:
    """Spread's agents share the landmarks that any of them sees so that the sum of their distances is least.

    One agent each, solved anew at every step (Hungarian method); who gets none goes to the centre. Unlike the
    others it looks at the whole team's observations: a yardstick for what can be reached.
    """

    fits: ClassVar[Fits | None] = Nearest.fits

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        landmarks, seen = _landmarks(obs, self._columns)
        own = obs[..., self._columns["position"]]
        witness = seen.argmax(1)  # [N, L], an agent that sees it
        places = np.take_along_axis(landmarks + own[:, :, None], witness[:, None, :, None], axis=1)  # [N, 1, L, 2]
        wishes = places - own[:, :, None]  # [N, A, L, 2]
        known = np.asarray(seen.any(1))
        cost = np.where(known[:, None], np.linalg.norm(wishes, axis=-1), 0.0)
        goal = np.array([linear_sum_assignment(world)[1] for world in cost])
        has_goal = np.take_along_axis(known, goal, axis=1)[..., None]
        return _go(np.where(has_goal, _chosen(wishes, goal), -own), obs, available)


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
