"""QTRAN (Son et al. 2019, arXiv 1905.05408)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.action_selectors import greedy
from core.data import EpisodeBatch, Metrics
from core.kinds import UNIT
from core.packing import packed
from estimators.masked import masked_mean
from learners.base import LearnerSettings
from learners.q_learner import DoubleQSettings, QLearner, Seen, chosen, td_metrics
from modules.agents.rnn_agent import RNNAgent
from modules.critics.joint_critic import JointCritic


class QTRANSettings(DoubleQSettings):
    """What QTRAN reads."""

    qtran: Literal["base", "alt"] = Field(
        "base",
        description="The condition is asked of what was done, or (alt) of the best of an agent's own actions.",
    )
    lambda_opt: float = Field(1.0, ge=0, description="Weight of the condition at greedy actions.")
    lambda_nopt: float = Field(0.1, ge=0, description="Weight of the condition elsewhere.")
    joint_hidden_dim: int = Field(64, ge=1, description="Width of the networks of Q(s, u) and V(s).")


class QTRANLearner(QLearner):
    """A joint Q(s, u), and agents whose greedy actions are its.

    D(u) = sum_i q_i(u_i) - Q(s, u) + V(s) must be 0 at the agents' greedy actions and nowhere below 0 (theorem 1): then
    these maximise Q. Q learns from rewards; the conditions move q and V alone. ``alt`` asks instead that
    min over u_i of D(u_i, u_-i) be 0 for every agent beside what the others did.
    """

    Settings: type[LearnerSettings] = QTRANSettings
    settings: QTRANSettings

    @classmethod
    def learns_individual_rewards(cls, settings: Any) -> bool:
        """Q(s, u) is the team's."""
        return False

    def make_parts(self) -> dict[str, nn.Module]:
        """Q(s, u) and V(s); the agents' values are summed."""
        spec, width, unit = self.spec, self.settings.joint_hidden_dim, UNIT[self.spec.state_kind]
        joint = JointCritic(spec.state_dim, spec.n_agents, spec.n_actions, hidden_dim=width, unit=unit)
        value = RNNAgent(spec.state_dim, 1, hidden_dim=width, use_rnn=False, unit=unit)
        return {"joint": joint, "value": value}

    def bootstrap(self, batch: EpisodeBatch, seen: Seen) -> Tensor:
        """Q(s', u') at the greedy actions of the agents: [B, T, 1]."""
        return packed(seen.steps, self.target.net["joint"], batch.state[:, 1:], seen.following())

    def loss(self, batch: EpisodeBatch, seen: Seen, target: Tensor) -> tuple[Tensor, Metrics]:
        """That of Q(s, u), and of the conditions at greedy actions and elsewhere (eqs. 5 to 7)."""
        s, state, q = self.settings, batch.state[:, :-1], seen.q[:, :-1]
        joint = packed(seen.steps, self.net["joint"], state, batch.actions)
        value = packed(seen.steps, self.net["value"], state.unsqueeze(2)).squeeze(2)
        best = greedy(q.detach(), batch.available[:, :-1])
        with torch.no_grad():
            joint_best = packed(seen.steps, self.net["joint"], state, best)
        optimal = _sum(q, best) - joint_best + value
        td = masked_mean((joint - target) ** 2, batch.mask)
        opt = masked_mean(optimal**2, batch.mask)
        nopt = masked_mean(self._elsewhere(batch, seen, joint, value) ** 2, batch.mask)
        more = {"opt_loss": opt.detach(), "nopt_loss": nopt.detach(), "joint_loss": td.detach()}
        return td + s.lambda_opt * opt + s.lambda_nopt * nopt, td_metrics(batch, joint, target) | more

    def _elsewhere(self, batch: EpisodeBatch, seen: Seen, joint: Tensor, value: Tensor) -> Tensor:
        """What should be 0 of actions that are not greedy: [B, T, 1], or [B, T, A] of ``alt``."""
        q = seen.q[:, :-1]
        total = _sum(q, batch.actions)
        if self.settings.qtran == "base":
            return (total - joint.detach() + value).clamp(max=0)
        with torch.no_grad():
            each = packed(seen.steps, self.net["joint"].each, batch.state[:, :-1], batch.actions)  # type: ignore[arg-type]
        others = total - chosen(q, batch.actions)  # [B, T, A]
        every = others.unsqueeze(-1) + q - each + value.unsqueeze(-1)
        return every.masked_fill(~batch.available[:, :-1], torch.inf).amin(-1)


def _sum(q: Tensor, actions: Tensor) -> Tensor:
    """sum_i q_i(u_i): [B, T, 1]."""
    return chosen(q, actions).sum(-1, keepdim=True)
