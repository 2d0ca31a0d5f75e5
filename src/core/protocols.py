"""What runners and learners may expect of environments, controllers and learners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from core.data import EnvSpec, EpisodeBatch, Metrics, PolicyOutput, TeamStep, TimeStep


class VecEnv(Protocol):
    """N environments in lockstep slots. Episode ``k`` depends on its seed and the actions alone."""

    spec: EnvSpec
    n_envs: int

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new episodes in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]); other slots are left alone."""
        ...

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step the slots where ``active`` (bool [N]) holds; ``actions[team]`` is int64 [N, A]."""
        ...

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one environment: uint8 [H, W, 3]."""
        ...

    def close(self) -> None:
        """Give back processes and files; calling it twice is harmless."""
        ...


class Controller(Protocol):
    """Acts for one team: networks plus the way actions are chosen."""

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        ...

    def restart(self, slots: np.ndarray) -> None:
        """Forget the history of these slots (int64 [K])."""
        ...

    def act(self, step: TeamStep, *, t_env: int | None, greedy_policy: bool = False) -> np.ndarray:
        """Choose actions for all N slots: int64 [N, A]; ``t_env`` is None in tests."""
        ...

    def played(self) -> np.ndarray | None:
        """The sub-policies of the present episodes, int64 [N, A]; None where every agent has one."""
        ...

    def forward(self, batch: EpisodeBatch) -> PolicyOutput:
        """Run the networks over whole episodes."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Random streams."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        ...


class Script(Protocol):
    """Acts for one team by a rule (:mod:`envs.scripted`)."""

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        ...

    def restart(self, slots: np.ndarray) -> None:
        """Forget what was kept of these slots (int64 [K])."""
        ...

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """Choose available actions for all N slots, int64 [N, A]; ``generator`` is of all that is random about it."""
        ...


class Learner(Protocol):
    """Improves one team's networks; never logs and never sees the environment.

    It is built as ``Class(spec, settings, controller, reward_dim=..., device=...)``, has a model of its settings,
    ``Settings``, and says what it can by class attributes and methods (``learners.base.BaseLearner``).
    """

    on_policy: bool
    rehearses: bool

    def check_batches(self, n_episodes: int) -> None:
        """Refuse batches of so many new episodes by a UserError, where settings do not fit them."""
        ...

    def observe(self, batch: EpisodeBatch) -> None:
        """See newly gathered episodes once (reward statistics)."""
        ...

    def train(self, batch: EpisodeBatch, *, t_env: int) -> Metrics:
        """One training iteration; one that ``rehearses`` may be given ``replayed=`` episodes beside the new ones."""
        ...

    def not_finite(self) -> str:
        """Say what was not finite in the updates since the last call, "" where all was."""
        ...

    def networks(self) -> Mapping[str, Any]:
        """File of a checkpoint, without .th -> network."""
        ...

    def targets(self) -> Mapping[str, Any]:
        """Name -> lagging network."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that an exact resume needs beside the networks."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        ...


@runtime_checkable
class Imitator(Protocol):
    """An on-policy learner that can also learn from episodes which another policy has gathered (``warm_start``)."""

    def imitate(self, batch: EpisodeBatch, *, t_env: int, epochs: int) -> Metrics:
        """One training iteration on another policy's episodes; the actors take so many steps."""
        ...
