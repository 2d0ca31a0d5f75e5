"""QTRAN (Son et al. 2019, arXiv 1905.05408)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.action_selectors import greedy
from core.data import Metrics
from core.kinds import UNIT
from core.row_batch import RowBatch
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

    def bootstrap(self, batch: RowBatch, seen: Seen) -> Tensor:
        """Q(s', u') at the greedy actions of the agents: [1, P, 1]."""
        return self.target.net["joint"](batch.ahead(batch.state), seen.following())

    def loss(self, batch: RowBatch, seen: Seen, target: Tensor) -> tuple[Tensor, Metrics]:
        """That of Q(s, u), and of the conditions at greedy actions and elsewhere (eqs. 5 to 7)."""
        s, q = self.settings, seen.q
        joint = self.net["joint"](seen.state, batch.actions)
        value = self.net["value"](seen.state.unsqueeze(2)).squeeze(2)
        best = greedy(q.detach(), seen.available)
        with torch.no_grad():
            joint_best = self.net["joint"](seen.state, best)
        optimal = _sum(q, best) - joint_best + value
        td = masked_mean((joint - target) ** 2, batch.mask)
        opt = masked_mean(optimal**2, batch.mask)
        nopt = masked_mean(self._elsewhere(batch, seen, joint, value) ** 2, batch.mask)
        more = {"opt_loss": opt.detach(), "nopt_loss": nopt.detach(), "joint_loss": td.detach()}
        return td + s.lambda_opt * opt + s.lambda_nopt * nopt, td_metrics(batch, joint, target) | more

    def _elsewhere(self, batch: RowBatch, seen: Seen, joint: Tensor, value: Tensor) -> Tensor:
        """What should be 0 of actions that are not greedy: [1, P, 1], or [1, P, A] of ``alt``."""
        total = _sum(seen.q, batch.actions)
        if self.settings.qtran == "base":
            return (total - joint.detach() + value).clamp(max=0)
        with torch.no_grad():
            each = self.net["joint"].each(seen.state, batch.actions)  # type: ignore[operator]
        others = total - chosen(seen.q, batch.actions)  # [1, P, A]
        every = others.unsqueeze(-1) + seen.q - each + value.unsqueeze(-1)
        return every.masked_fill(~seen.available, torch.inf).amin(-1)


def _sum(q: Tensor, actions: Tensor) -> Tensor:
    """sum_i q_i(u_i): [1, P, 1]."""
    return chosen(q, actions).sum(-1, keepdim=True)
