"""The linear critic of DOP, fitted to new episodes by TD(lambda) and to replayed ones by tree backup."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from core.data import EpisodeBatch, Metrics, one_hots
from core.kinds import UNIT
from core.metrics import Later
from estimators.masked import masked_mean, mean_abs
from estimators.returns import continues_from_mask, tree_backup
from learners.base import BaseLearner
from learners.critics.part import ActionValues, CriticSettings, Iteration, JointInputs, mean_metrics
from modules.critics.linear_critic import LinearCritic, LinearValues, StateBias, Utility, Weights
from modules.sharing import Grouped


class LinearQSettings(CriticSettings):
    """What the linear critic reads."""

    mixing_embed_dim: int = Field(32, ge=1, description="Entries of which the agents' weights k(s) are sums.")
    normalise_weights: bool = Field(True, description="The weights k(s) of all agents add up to 1.")
    state_bias: bool = Field(False, description="Add a bias b(s) to Q_tot (in the paper, not in the authors' code).")
    kappa: float = Field(2 / 3, ge=0, le=1, description="Weight of replayed episodes in the critic's loss.")
    tb_lambda: float = Field(0.93, ge=0, le=1, description="lambda of the tree backup on replayed episodes.")
    tb_steps: int = Field(5, ge=1, description="Its steps.")


class LinearQ(ActionValues):
    """Q_tot(s, u) = sum_i k_i(s) Q_i(s, o_i, i, u_i) + b(s), k >= 0 (Wang et al. 2021).

    Minimises kappa E_replayed (Q_tot - y)^2 + (1 - kappa) E_new (Q_tot - G)^2, with y of tree backup under the present
    policy and G of executed actions (``CriticPart.returns``), both from the lagging critic. While nothing is replayed
    the new episodes count alone.

    Args:
        learner, settings, groups: see :class:`CriticPart`.
    """

    net: LinearCritic
    settings: LinearQSettings

    def __init__(self, learner: BaseLearner, settings: LinearQSettings, groups: list[list[int]]) -> None:
        self.settings = settings
        super().__init__(learner, settings, groups)

    def make_net(self, groups: list[list[int]]) -> LinearCritic:
        """Build utilities of all groups, and what is the team's."""
        spec, s = self.spec, self.settings
        size = {"embed_dim": s.mixing_embed_dim, "unit": UNIT[spec.state_kind]}
        weights = Weights(spec.state_dim, spec.n_agents, normalised=s.normalise_weights, **size)
        return LinearCritic(
            Grouped(self.make, groups), weights, StateBias(spec.state_dim, **size) if s.state_bias else None
        )

    def make(self, agents: list[int]) -> Utility:
        """Build the network of a group of agents."""
        spec = self.spec
        return Utility(
            shared_dim=spec.state_dim,
            own_dim=spec.obs_dim + spec.n_agents,
            n_actions=spec.n_actions,
            hidden_dim=self.settings.critic_hidden_dim,
            shared_unit=UNIT[spec.state_kind],
            own_unit=UNIT[spec.obs_kind],
        )

    def inputs(self, batch: EpisodeBatch) -> JointInputs:
        """State, own observation and the agent's number, of whole episodes."""
        agent_id = one_hots(self.spec.n_agents, self.spec.obs_kind, self.device)
        own = torch.cat([batch.obs, agent_id.expand(*batch.obs.shape[:2], -1, -1)], -1)
        return JointInputs(own=own, shared=batch.state, real=batch.rows)

    def values(self, inputs: JointInputs) -> LinearValues:
        """Utilities, weights and bias of all rows."""
        return self.net(inputs.own, inputs.shared, packing=inputs.packing)

    def q(self, inputs: JointInputs, joint_actions: Tensor) -> Tensor:
        """Q_tot of every own action beside the partners' actions: int64 [B, T, M, A] -> [B, T, A, M, U]."""
        return self.values(inputs).beside(joint_actions)

    def lagging(self, it: Iteration) -> tuple[Tensor, Tensor]:
        """Q_tot of what was done [B, T, 1], and its mean under the policy [B, T+1, 1], of the lagging critic."""
        assert self.target is not None
        values = self.target.net(it.inputs.own, it.inputs.shared, packing=it.inputs.packing)
        return values.taken(pad(it.batch.actions))[:, :-1], values.expected(it.log_pi.exp())

    def targets(self, it: Iteration) -> Tensor:
        """G of new episodes [B, T, 1]: from executed actions, and the policy's mean where none was executed."""
        taken, expected = self.lagging(it)
        real = pad(it.batch.mask).unsqueeze(-1)
        return self.returns(it, torch.where(real, pad(taken), expected))

    def backups(self, it: Iteration) -> Tensor:
        """y of replayed episodes: [B, T, 1]."""
        s, (taken, expected) = self.settings, self.lagging(it)
        log_probs = it.log_pi[:, :-1].gather(-1, it.batch.actions.unsqueeze(-1)).squeeze(-1)
        return tree_backup(
            rewards=it.rewards,
            discounts=it.discounts,
            taken=taken,
            expected=expected,
            probs=log_probs.sum(-1, keepdim=True).exp(),
            lam=s.tb_lambda,
            n=s.tb_steps,
            continues=continues_from_mask(it.batch.mask).unsqueeze(-1),
        )

    def fit(self, it: Iteration) -> Metrics:
        """``critic_updates`` gradient steps, each on all new and replayed episodes."""
        with torch.no_grad():
            targets = self.targets(it)
            backups = None if it.replayed is None else self.backups(it.replayed)
        return mean_metrics([self.step(it, targets, backups) for _ in range(self.settings.critic_updates)])

    def step(self, it: Iteration, targets: Tensor, backups: Tensor | None) -> Metrics:
        """One gradient step; targets [B, T, 1], and of replayed episodes."""
        taken, error = self._error(it, targets)
        loss, more = masked_mean(error**2, it.batch.mask), Metrics()
        if it.replayed is not None and backups is not None:
            _, wrong = self._error(it.replayed, backups)
            mask, kappa = it.replayed.batch.mask, self.settings.kappa
            loss = kappa * masked_mean(wrong**2, mask) + (1 - kappa) * loss
            more["replayed_td_error_abs"] = Later(mean_abs, wrong, mask)
        return self.descend(loss, taken=taken, target=targets, mask=it.batch.mask) | more

    def _error(self, it: Iteration, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Q_tot of what was done, and how much that is above its target: two [B, T, 1]."""
        taken = self.values(it.inputs[:-1]).taken(it.batch.actions)
        return taken, taken - targets


def pad(x: Tensor) -> Tensor:
    """One more row of zeros behind the last step: [B, T, ...] -> [B, T+1, ...]."""
    return torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)
