"""COMA (Foerster et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from core.data import Metrics
from estimators.credit import counterfactual
from estimators.surrogates import policy_gradient
from learners.counterfactual import CounterfactualLearner
from learners.critics.part import Iteration


class COMALearner(CounterfactualLearner):
    """Counterfactual multi-agent policy gradients: A^a = Q(s, u) - sum_{u'} pi^a(u') Q(s, (u^-a, u')), eq. 4."""

    def advantages(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Counterfactual advantages beside the executed actions of the others: [B, T, A, U]."""
        q = self.critic.q(it.inputs[:-1], it.batch.actions.unsqueeze(2)).squeeze(3)
        return counterfactual(q, it.log_pi[:, :-1].exp()), {}

    def objective(self, it: Iteration, log_pi: Tensor, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """-A log pi(u) at the executed actions: [B, T, A]."""
        executed = it.batch.actions.unsqueeze(-1)
        return policy_gradient(log_pi.gather(-1, executed), advantages.gather(-1, executed)).squeeze(-1), {}
