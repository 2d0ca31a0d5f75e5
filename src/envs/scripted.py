"""Scripted players: opponents, yardsticks and guides that act by a rule in the place of a team.

Names: :data:`SCRIPTED`; which teams of which environments a player fits: its ``fits``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np

from core.data import TeamSpec, TeamStep
from core.errors import UserError
from core.protocols import Script
from core.registry import load

Fits = frozenset[tuple[str, str]]

SCRIPTED: dict[str, str] = {
    "random": "envs.scripted:Random",
    "noop": "envs.scripted:NoOp",
    "greedy": "envs.particle.scripted:Greedy",
    "fleeing": "envs.particle.scripted:Fleeing",
    "nearest": "envs.particle.scripted:Nearest",
    "assigned": "envs.particle.scripted:Assigned",
    "attack_nearest": "envs.battle.scripted:AttackNearest",
    "focus_fire": "envs.battle.scripted:FocusFire",
}
"""Name -> "module:Class"; every class is built as ``Class(env_args, team)`` and is a :class:`ScriptedPlayer`."""


class ScriptedPlayer(Script, Protocol):
    """A script that knows whom it can play.

    Attributes:
        fits: (environment, team) pairs; None: every team of every environment.
    """

    fits: ClassVar[Fits | None]


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


class Memoryless:
    """What players share that keep nothing from one step to the next."""

    def begin(self, n_envs: int) -> None:
        """Nothing to prepare."""

    def restart(self, slots: np.ndarray) -> None:
        """Nothing to forget."""


class Random(Memoryless):
    """Every available action with the same probability."""

    fits: ClassVar[Fits | None] = None

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        pass

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        return np.where(step.available, generator.random(step.available.shape), -1.0).argmax(-1)


class NoOp(Memoryless):
    """The first available action, which does nothing in the particle worlds and stops a living unit in battles."""

    fits: ClassVar[Fits | None] = None

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        pass

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        return step.available.argmax(-1)
