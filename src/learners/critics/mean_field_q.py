"""Q of the own action beside the neighbours' mean action: the critic of mean field actor-critic (Yang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from components.mean_field import MeanField, NeighbourSettings
from core.data import EpisodeBatch, TeamSpec
from core.kinds import Kind
from core.packing import Packing
from learners.base import BaseLearner
from learners.critics.part import Iteration
from learners.critics.state_value import StateValue, StateValueSettings
from learners.critics.value_part import Estimates


class MeanFieldQSettings(NeighbourSettings, StateValueSettings):
    """What the critic of mean field actor-critic reads."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What the critic sees.

    Attributes:
        seen: [B, T, A, I], the mean action included.
        actions: int64 [B, T, A]; anything in the row that exists to bootstrap.
    """

    seen: Tensor
    actions: Tensor

    def __getitem__(self, rows: Any) -> Beside:
        """Some of the episodes and time steps."""
        return Beside(seen=self.seen[rows], actions=self.actions[rows])


class MeanFieldQ(StateValue):
    """Q_i(x, u, abar_i) for all of an agent's own actions u; V_i = sum over u of pi(u) Q_i(x, u, abar_i) (eq. 10).

    Args:
        learner, settings, groups, others: see :class:`StateValue`.

    Raises:
        UserError: as there, or see :class:`MeanField`.
    """

    settings: MeanFieldQSettings

    def __init__(
        self, learner: BaseLearner, settings: MeanFieldQSettings, groups: list[list[int]], **others: Any
    ) -> None:
        self.field = MeanField(learner.spec, settings)
        super().__init__(learner, settings, groups, **others)

    @staticmethod
    def n_outputs(spec: TeamSpec) -> int:
        """One for every action."""
        return spec.n_actions

    @property
    def appended(self) -> int:
        """The mean action."""
        return self.spec.n_actions

    @property
    def _kind(self) -> Kind:
        """Bytes have no room for fractions."""
        return "floats"

    def inputs(self, batch: EpisodeBatch) -> Beside:
        """As of :class:`StateValue`, the neighbours' mean action, and what was done: of T+1 rows."""
        mean = self.field.of(batch)
        if self.settings.death_masking:
            mean = mean * (batch.available.sum(-1, keepdim=True) > 1)
        seen = torch.cat([super().inputs(batch), mean], -1)
        actions = torch.cat([batch.actions, torch.zeros_like(batch.actions[:, :1])], 1)
        return Beside(seen=seen, actions=actions)

    def raw(self, net: Any, inputs: Beside, packing: Packing | None) -> Tensor:
        """Q of what was done, in normalised units: [B, T, A]; packing as of :class:`ValuePart`'s."""
        return _taken(self._each(net, inputs, packing), inputs)

    def estimate(self, it: Iteration) -> Estimates:
        """Q of what was done, V under the policy that did it, and targets, under the critic as it is."""
        packing, pi = it.batch.packing, it.log_pi.exp()
        q = self._each(self.net, it.inputs, packing)
        lagging = q if self.target is None else self._each(self.target.net, it.inputs, packing)
        values, following = (self.in_rewards((pi * one).sum(-1)) for one in (q, lagging))
        said = _taken(q, it.inputs)[:, :-1]
        return Estimates(said=said, values=values[:, :-1], returns=self.returns(it, following))

    def _each(self, net: Any, inputs: Beside, packing: Packing | None) -> Tensor:
        return net(inputs.seen, packing=packing)


def _taken(q: Tensor, inputs: Beside) -> Tensor:
    return q.gather(-1, inputs.actions.unsqueeze(-1)).squeeze(-1)
