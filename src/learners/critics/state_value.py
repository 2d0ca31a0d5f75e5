"""State values V(x) of every agent: the critic of IA2C, MAA2C, IPPO and MAPPO."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from core.data import EpisodeBatch, TeamSpec, one_hots, read_as
from core.errors import UserError
from core.kinds import UNIT, Kind
from learners.base import BaseLearner
from learners.critics.part import CriticSettings
from learners.critics.value_part import ValuePart, ValueSettings
from modules.agents.rnn_agent import RNNAgent


class StateValueSettings(ValueSettings, CriticSettings):
    """What the state-value critic reads."""

    critic_input: Literal["obs", "state", "state_obs"] = Field(
        "state", description="What V sees: own observation, state, or both."
    )
    critic_agent_id: bool = Field(
        True, description="Give V the agent's number; with critic_input=state false makes it one value for the team."
    )
    critic_use_rnn: bool = Field(False, description="A GRU in the critic.")
    target_critic: bool = Field(False, description="Targets bootstrap from a lagging critic.")
    death_masking: bool = Field(False, description="V of a dead agent sees nothing but its number (Yu et al. 2022).")


class StateValue(ValuePart):
    """V_i(x) for every agent, x its observation, the state, or both; the arguments are those of ``ValuePart``.

    Raises:
        UserError: as ``ValuePart``, or agents with rewards of their own would have one value.
    """

    settings: StateValueSettings

    def __init__(
        self,
        learner: BaseLearner,
        settings: StateValueSettings,
        groups: list[list[int]],
        *,
        reward_dim: int,
        **others: Any,
    ) -> None:
        one_value = settings.critic_input == "state" and not settings.critic_agent_id
        if reward_dim > 1 and one_value and any(len(group) > 1 for group in groups):
            raise UserError(
                "critic_input=state critic_agent_id=False is one value for all agents of a network, but with "
                "common_reward=False each has its own: give critic_agent_id=true, or parameter_sharing=none."
            )
        super().__init__(learner, settings, groups, reward_dim=reward_dim, **others)

    @staticmethod
    def n_outputs(spec: TeamSpec) -> int:
        """How many values a network gives of an agent."""
        return 1

    @property
    def appended(self) -> int:
        """Width of what a subclass gives the networks beside, behind the rest."""
        return 0

    def make(self, agents: list[int]) -> RNNAgent:
        """Build the network of a group of agents."""
        spec, s = self.spec, self.settings
        size = spec.obs_dim * (s.critic_input != "state") + spec.state_dim * (s.critic_input != "obs")
        unit = UNIT[self._kind]
        size += spec.n_agents * s.critic_agent_id + self.appended
        return RNNAgent(size, self.n_outputs(spec), hidden_dim=s.critic_hidden_dim, use_rnn=s.critic_use_rnn, unit=unit)

    @property
    def _kind(self) -> Kind:
        """Of the inputs: that of what is seen, floats where state and observation differ."""
        spec, seen = self.spec, self.settings.critic_input
        if seen == "state_obs":
            return spec.obs_kind if spec.obs_kind == spec.state_kind else "floats"
        return spec.obs_kind if seen == "obs" else spec.state_kind

    def inputs(self, batch: EpisodeBatch) -> Any:
        """State, own observation and the agent's number, as far as asked for, of whole episodes: [B, T+1, A, I]."""
        s, spec, kind, shape = self.settings, self.spec, self._kind, (*batch.obs.shape[:3], -1)
        parts = []
        if s.critic_input != "obs":
            parts.append(read_as(batch.state, spec.state_kind, kind).unsqueeze(2).expand(shape))
        if s.critic_input != "state":
            parts.append(read_as(batch.obs, spec.obs_kind, kind))
        if s.death_masking:
            living = batch.available.sum(-1, keepdim=True) > 1
            parts = [part * living for part in parts]
        if s.critic_agent_id:
            parts.append(one_hots(spec.n_agents, kind, self.device).expand(shape))
        return torch.cat(parts, -1)
