"""The data that travels between the parts of a run.

Axes: N environments at once, B episodes, T steps, A agents, U actions, O observation and S state entries,
R rewards (1 where the team shares one reward, A where every agent has its own).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.kinds import DTYPE, UNIT, Kind
from core.metrics import Metrics as Metrics
from core.packing import Packing, until_last


@dataclass(frozen=True, kw_only=True)
class TeamSpec:
    """Sizes of one team; agents with smaller observations or fewer actions are padded to these.

    Attributes:
        name: "agents" where there is only one team.
        reward_dim: 1 for one team reward, ``n_agents`` for individual rewards.
        state_is_joint_obs: the state is all agents' observations in a row (so it need not be stored).
        obs_kind, state_kind: how their numbers are kept; those of a joint state are the observations'.
        types: number of every agent's type (units of one kind have one); empty where the environment does not say.
        positions: the two columns of the state that are an agent's place, for every agent; empty where the environment
            does not say. Those of the dead may be anything.
        position_units: how long 1 is in these columns, in the world's units.
    """

    name: str
    n_agents: int
    n_actions: int
    obs_dim: int
    state_dim: int
    reward_dim: int
    state_is_joint_obs: bool = False
    obs_kind: Kind = "floats"
    state_kind: Kind = "floats"
    types: tuple[int, ...] = ()
    positions: tuple[tuple[int, int], ...] = ()
    position_units: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """What an environment tells the others about itself.

    Attributes:
        teams: at least one.
        episode_limit: the most steps that an episode can have.
        info_keys: names of the numbers that every finished episode reports (e.g. "battle_won").
        can_render: whether ``render`` works.
        can_record: whether ``save_replay(slot, folder) -> path`` writes recordings in a format of its own.
    """

    teams: tuple[TeamSpec, ...]
    episode_limit: int
    info_keys: tuple[str, ...] = ()
    can_render: bool = False
    can_record: bool = False


@dataclass(frozen=True, kw_only=True)
class TeamStep:
    """One team's view of N environments after a reset or a step.

    The arrays belong to the environment, which overwrites them in place at the next call: copy what must
    stay. Rows of slots that were neither reset nor stepped keep stale values.

    Attributes:
        obs: float32 or uint8 [N, A, O], as ``TeamSpec.obs_kind`` says.
        state: float32 or uint8 [N, S].
        available: bool [N, A, U]; every agent always has at least one available action (also after the end).
        rewards: float32 [N, R]; zero after a reset.
    """

    obs: np.ndarray
    state: np.ndarray
    available: np.ndarray
    rewards: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TimeStep:
    """N environments after a reset or a step; buffers as in :class:`TeamStep`.

    Attributes:
        teams: one entry per team, in the order of ``EnvSpec.teams``.
        terminated: bool [N], a true end: nothing follows, no bootstrap.
        truncated: bool [N], cut by the time limit: the value of the last observation counts.
            Never both: a step that terminates is not truncated.
        failed: bool [N], the environment died in this step; its episode must be dropped. The slot is
            usable again after the next ``reset``.
        info: key of ``EnvSpec.info_keys`` -> float32 [N], valid in slots whose episode ended in this step. Others'
            environments name their numbers when they report them: such keys come later, NaN where an episode has none.
    """

    teams: tuple[TeamStep, ...]
    terminated: np.ndarray
    truncated: np.ndarray
    failed: np.ndarray
    info: Mapping[str, np.ndarray]


def allocate_time_step(spec: EnvSpec, n_envs: int) -> TimeStep:
    """Allocate the buffers of a :class:`TimeStep` (zeros; every action available)."""
    teams = []
    for team in spec.teams:
        state = (n_envs, team.state_dim)
        obs = np.zeros((n_envs, team.n_agents, team.obs_dim), DTYPE[team.obs_kind])
        joint = obs.reshape(n_envs, -1)
        teams.append(
            TeamStep(
                obs=obs,
                state=joint if team.state_is_joint_obs else np.zeros(state, DTYPE[team.state_kind]),
                available=np.ones((n_envs, team.n_agents, team.n_actions), bool),
                rewards=np.zeros((n_envs, team.reward_dim), np.float32),
            )
        )
    flags = [np.zeros(n_envs, bool) for _ in range(3)]
    info = {key: np.zeros(n_envs, np.float32) for key in spec.info_keys}
    return TimeStep(teams=tuple(teams), terminated=flags[0], truncated=flags[1], failed=flags[2], info=info)


Layout = dict[str, tuple[tuple[int, ...], Any]]
"""Name of an array -> its shape and type."""


def episode_layout(team: TeamSpec, limit: int, reward_dim: int) -> Layout:
    """Arrays of one episode of up to ``limit`` steps, as it is gathered (a joint state is not kept again)."""
    agents = team.n_agents
    layout: Layout = {
        "obs": ((limit + 1, agents, team.obs_dim), DTYPE[team.obs_kind]),
        "available": ((limit + 1, agents, team.n_actions), bool),
        "actions": ((limit, agents), np.int64),
        "rewards": ((limit, reward_dim), np.float32),
    }
    if not team.state_is_joint_obs:
        layout["state"] = ((limit + 1, team.state_dim), DTYPE[team.state_kind])
    return layout


def layout_bytes(layout: Layout) -> int:
    """Memory of a layout's arrays."""
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values())


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What every batch of a team's steps has; which axes it has they say."""

    obs: Tensor
    state: Tensor
    available: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor


@dataclass(frozen=True, kw_only=True)
class EpisodeBatch(Steps):
    """Whole episodes of one team, padded to the longest.

    Attributes:
        obs: float32 or uint8 [B, T+1, A, O]; row ``length`` of an episode exists to bootstrap.
        state: float32 or uint8 [B, T+1, S].
        available: bool [B, T+1, A, U]; all true in padding.
        actions: int64 [B, T, A]; 0 in padding.
        rewards: float32 [B, T, R], R = 1 for a team reward.
        terminated: bool [B, T], a true end; truncation (time limit) is NOT one.
        mask: bool [B, T], a step that really happened.
        policies: int64 [B, A], which of its sub-policies every agent played; None where it has one.
        before: int64 [B, A], the actions before the first row, -1 at the start of an episode; None of whole episodes.
        last: bool [B, T], the last step of its episode; None of whole episodes, where the mask says it.
        rivals: the same steps as every other team of the environment saw and did them, for learners that ask for them
            (``BaseLearner.sees_rivals``); else nothing.
    """

    mask: Tensor
    policies: Tensor | None = None
    before: Tensor | None = None
    last: Tensor | None = None
    rivals: tuple[EpisodeBatch, ...] = ()

    @property
    def n_episodes(self) -> int:
        """B."""
        return self.mask.shape[0]

    @property
    def n_steps(self) -> int:
        """T."""
        return self.mask.shape[1]

    @cached_property
    def rows(self) -> Tensor:
        """Rows that were seen: the real steps, and the one behind the last, bool [B, T+1]."""
        return torch.cat([torch.ones_like(self.mask[:, :1]), self.mask], 1)

    @cached_property
    def packing(self) -> Packing | None:
        """Those of :attr:`rows` that are real."""
        return Packing.of(self.rows)

    @cached_property
    def step_packing(self) -> Packing | None:
        """The steps, or the rows behind them, that are real."""
        return Packing.of(self.mask)

    @cached_property
    def choices(self) -> Tensor:
        """Where an agent has more than one action: bool [B, T+1, A]."""
        return self.available.sum(-1) > 1

    @cached_property
    def deciding(self) -> Packing | None:
        """Every agent's rows up to its last choice, for policies: the dead have none. Else as :attr:`packing`."""
        if self.mask.is_cpu and bool(self.choices.all()):
            return self.packing
        return until_last(self.choices & self.rows.unsqueeze(-1), self.rows, self.packing)

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What readers have made of it and need again, by reader."""
        return {}

    def last_actions(self, kind: Kind) -> Tensor:
        """One-hot last actions, beside numbers of that kind: [B, T+1, A, U]; zeros before an episode's first."""
        dtype = torch.float32 if kind == "floats" else torch.uint8
        last = torch.zeros(self.available.shape, dtype=dtype, device=self.actions.device)
        last[:, 1:].scatter_(-1, self.actions.unsqueeze(-1), UNIT[kind])
        if self.before is not None:
            known = (self.before >= 0).to(dtype).unsqueeze(-1) * UNIT[kind]
            last[:, 0].scatter_(-1, self.before.clamp(min=0).unsqueeze(-1), known)
        return last

    def tensors(self) -> dict[str, Tensor]:
        """All that the team has itself, by name."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: x for name, x in own.items() if isinstance(x, Tensor)}

    def of_agents(self, agents: Tensor) -> EpisodeBatch:
        """What some agents saw and did: int64 [A'], their numbers; state and rewards stay the team's."""
        own: dict[str, Any] = {"obs": self.obs[:, :, agents], "available": self.available[:, :, agents]}
        of_rows = {"policies": self.policies, "before": self.before}
        own |= {name: x[:, agents] for name, x in of_rows.items() if x is not None}
        return replace(self, **own, actions=self.actions[:, :, agents])

    def to(self, device: torch.device | str) -> EpisodeBatch:
        """Copy to a device (no copy where it already is)."""
        there: dict[str, Any] = {name: x.to(device) for name, x in self.tensors().items()}
        return replace(self, **there, rivals=tuple(rival.to(device) for rival in self.rivals))


def one_hots(n: int, kind: Kind, device: torch.device) -> Tensor:
    """Rows that tell n things apart, beside numbers of that kind: [n, n]."""
    eye = torch.eye(n, device=device)
    return eye if kind == "floats" else (eye * UNIT[kind]).to(torch.uint8)


def read_as(x: Tensor, kind: Kind, wanted: Kind) -> Tensor:
    """Observations or states of one kind as another, which is the same or floats."""
    return x if kind == wanted else x.float() / UNIT[kind]


@dataclass(frozen=True, kw_only=True)
class EpisodeStats:
    """What happened in a set of finished episodes, for the log.

    Attributes:
        returns: float64 [E, R'], undiscounted, per team name (R' = 1 or number of agents).
        lengths: int64 [E].
        info: info key -> float64 [E]; NaN where an episode did not report it.
        dropped: episodes lost because their environment died.
    """

    returns: Mapping[str, np.ndarray]
    lengths: np.ndarray
    info: Mapping[str, np.ndarray]
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class PolicyOutput:
    """A controller's networks over whole episodes.

    Attributes:
        values: float32 [B, T+1, A, U], logits of a policy or Q-values, unmasked.
    """

    values: Tensor
