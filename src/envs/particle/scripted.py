"""Scripted players of the particle worlds: opponents and yardsticks that work from observations alone.

A player sees what a learning team sees, so that it can play a team in its place. Names: :data:`SCRIPTED`; which
teams of which environments a player fits: its ``fits``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np

from core.data import TeamSpec
from core.errors import UserError
from core.registry import load

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


class Greedy:
    """A predator that pushes towards the nearest living prey, along the longer axis."""

    fits: ClassVar[Fits | None] = frozenset({("predator_prey", "predator"), ("simple_tag", "predator")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        preys = _points(obs[..., self._columns["preys"]])
        square = (preys**2).sum(-1)
        if "living" in self._columns:
            square = np.where(obs[..., self._columns["living"]] > 0, square, np.inf)
        return _steer(_chosen(preys, square.argmin(-1)), available, near=0.0)


class Fleeing:
    """A prey that pushes to where the nearest predator would be farthest in half a second, walls considered."""

    fits: ClassVar[Fits | None] = frozenset({("predator_prey", "prey"), ("simple_tag", "prey")})
    _AHEAD = 0.5

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns, self._ground = env_args.columns(team.name), env_args.ground

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        own = obs[..., None, self._columns["position"]]  # [N, A, 1, 2]
        moved = np.clip(own + self._AHEAD * _DIRECTIONS, -self._ground, self._ground) - own  # [N, A, U, 2]
        predators = _points(obs[..., self._columns["predators"]])  # [N, A, P, 2]
        distance = np.linalg.norm(predators[..., None, :, :] - moved[..., None, :], axis=-1)  # [N, A, U, P]
        return np.where(available, distance.min(-1), -np.inf).argmax(-1)


class Nearest:
    """An agent of spread that pushes towards its nearest landmark in sight; to the centre where it sees none."""

    fits: ClassVar[Fits | None] = frozenset({("spread", "agents"), ("spread_paper", "agents")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        landmarks, seen = _landmarks(obs, self._columns)
        square = np.where(seen, (landmarks**2).sum(-1), np.inf)
        return _go(obs, self._columns, square.argmin(-1), available)


class Assigned:
    """An agent of spread that pushes towards the landmark with its own number; to the centre until it sees it."""

    fits: ClassVar[Fits | None] = Nearest.fits

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        self._columns = env_args.columns(team.name)

    def act(self, obs: np.ndarray, available: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """See :class:`ScriptedPlayer`."""
        own = np.broadcast_to(np.arange(obs.shape[1]), obs.shape[:2])
        return _go(obs, self._columns, own, available)


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


def _go(obs: np.ndarray, columns: dict[str, slice], goal: np.ndarray, available: np.ndarray) -> np.ndarray:
    """Push towards landmark ``goal`` [N, A] where it is in sight, else towards the centre."""
    landmarks, seen = _landmarks(obs, columns)
    in_sight = np.take_along_axis(seen, goal[..., None], axis=-1)
    wish = np.where(in_sight, _chosen(landmarks, goal), -obs[..., columns["position"]])
    return _steer(wish, available, near=0.05)
