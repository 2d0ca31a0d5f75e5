"""State values V(x) of every agent: the critic of IA2C, MAA2C, IPPO and MAPPO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from components.value_norm import ValueNorm
from core.data import EpisodeBatch, Metrics, one_hots
from core.errors import UserError
from core.kinds import UNIT, Kind
from estimators.masked import masked_mean
from estimators.value_losses import clipped, squared
from learners.base import BaseLearner
from learners.critics.part import CriticPart, CriticSettings, Iteration, Rows, mean_metrics
from modules.agents.rnn_agent import RNNAgent


class StateValueSettings(CriticSettings):
    """What the state-value critic reads."""

    critic_input: Literal["obs", "state", "state_obs"] = Field(
        "state", description="What V sees beside the agent's number: own observation, state, or both."
    )
    critic_use_rnn: bool = Field(False, description="A GRU in the critic.")
    target_critic: bool = Field(False, description="Targets bootstrap from a lagging critic.")
    value_norm: bool = Field(False, description="The critic learns targets by their running mean and deviation.")
    value_clip: float | None = Field(None, gt=0, description="Clip range of PPO's value loss; null: no clipping.")
    huber_delta: float | None = Field(None, gt=0, description="Huber's delta of the value loss; null: squares.")
    death_masking: bool = Field(False, description="V of a dead agent sees its number alone (Yu et al. 2022).")
    value_active_masks: bool = Field(False, description="Fit V at decisions only, not where an agent had one action.")


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the critic says before it is fitted.

    Attributes:
        values: [B, T, A], V of executed steps, in units of rewards.
        returns: [B, T, A], G, the targets, in units of rewards.
    """

    values: Tensor
    returns: Tensor


class StateValue(CriticPart):
    """V_i(x) for every agent, x its observation, the state, or both.

    Args:
        learner, settings, groups: see :class:`CriticPart`.
        reward_dim: R of the batches; individual rewards have values of their own.
        minibatches: yields, for a number of episodes, those of every gradient step (an index or a slice).

    Raises:
        UserError: rewards and values would both be normalised.
    """

    settings: StateValueSettings
    fits_first = False

    def __init__(
        self,
        learner: BaseLearner,
        settings: StateValueSettings,
        groups: list[list[int]],
        *,
        reward_dim: int,
        minibatches: Callable[[int], Iterable[Rows]],
    ) -> None:
        self.settings, self.minibatches = settings, minibatches
        if settings.value_norm and settings.standardise_rewards:
            raise UserError(
                f"value_norm=True and standardise_rewards={settings.standardise_rewards} would both normalise what the "
                "critic learns: give one of them (value_norm=True standardise_rewards=false)."
            )
        super().__init__(learner, settings, groups, lags=settings.target_critic)
        self.norm = ValueNorm(reward_dim, device=self.device) if settings.value_norm else None

    def make(self, agents: list[int]) -> RNNAgent:
        """Build the network of a group of agents."""
        spec, s = self.spec, self.settings
        size = spec.obs_dim * (s.critic_input != "state") + spec.state_dim * (s.critic_input != "obs")
        unit = UNIT[self._kind]
        return RNNAgent(size + spec.n_agents, 1, hidden_dim=s.critic_hidden_dim, use_rnn=s.critic_use_rnn, unit=unit)

    @property
    def _kind(self) -> Kind:
        """Of the inputs: that of what is seen, floats where state and observation differ."""
        spec, seen = self.spec, self.settings.critic_input
        if seen == "state_obs":
            return spec.obs_kind if spec.obs_kind == spec.state_kind else "floats"
        return spec.obs_kind if seen == "obs" else spec.state_kind

    def inputs(self, batch: EpisodeBatch) -> Tensor:
        """State, own observation and the agent's number, of whole episodes: [B, T+1, A, I]."""
        s, spec, kind, shape = self.settings, self.spec, self._kind, (*batch.obs.shape[:3], -1)
        parts = []
        if s.critic_input != "obs":
            parts.append(_read_as(batch.state, spec.state_kind, kind).unsqueeze(2).expand(shape))
        if s.critic_input != "state":
            parts.append(_read_as(batch.obs, spec.obs_kind, kind))
        if s.death_masking:
            living = batch.available.sum(-1, keepdim=True) > 1
            parts = [part * living for part in parts]
        return torch.cat([*parts, one_hots(spec.n_agents, kind, self.device).expand(shape)], -1)

    def _values(self, net: Any, inputs: Tensor) -> Tensor:
        """V in units of rewards: [B, T+1, A]."""
        values = net(inputs).squeeze(-1)
        return values if self.norm is None else self.norm.denormalise(values)

    def estimate(self, it: Iteration) -> Estimates:
        """Values and targets under the critic as it is."""
        values = self._values(self.net, it.inputs)
        lagging = values if self.target is None else self._values(self.target.net, it.inputs)
        return Estimates(values=values[:, :-1], returns=self.returns(it, lagging))

    def fit(self, it: Iteration) -> Metrics:
        """``critic_updates`` passes over the batch, in minibatches of whole episodes."""
        weights = it.active if self.settings.value_active_masks else it.batch.mask.unsqueeze(-1).expand_as(it.active)
        old, target = it.estimates.values, it.estimates.returns
        if self.norm is not None:
            self.norm.update(target, weights)
            old, target = self.norm.normalise(old), self.norm.normalise(target)
        passes: list[Metrics] = []
        for _ in range(self.settings.critic_updates):
            passes = [
                self._step(it.inputs[rows, :-1], weights[rows], old[rows], target[rows])
                for rows in self.minibatches(it.batch.n_episodes)
            ]
        return mean_metrics(passes)

    def _step(self, inputs: Tensor, weights: Tensor, old: Tensor, target: Tensor) -> Metrics:
        s = self.settings
        value = self.net(inputs).squeeze(-1)
        if s.value_clip is None:
            loss = squared(value - target, s.huber_delta)
        else:
            loss = clipped(value, target, old, clip_range=s.value_clip, delta=s.huber_delta)
        return self.descend(value - target, masked_mean(loss, weights), taken=value, target=target, mask=weights)

    def state_dict(self) -> dict[str, Any]:
        """The statistics of the targets."""
        return {} if self.norm is None else self.norm.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        if self.norm is not None:
            self.norm.load_state_dict(state)


def _read_as(x: Tensor, kind: Kind, wanted: Kind) -> Tensor:
    """Observations or states of one kind as another, which is the same or floats."""
    return x if kind == wanted else x.float() / UNIT[kind]
