"""COMA (Foerster et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from controllers.policy import Policy
from core.data import Metrics
from estimators.credit import sample_joint
from estimators.surrogates import policy_gradient
from learners.counterfactual import CounterfactualLearner
from learners.critics.part import Iteration


class COMALearner(CounterfactualLearner):
    """Counterfactual multi-agent policy gradients: A^a = Q(s, u) - sum_{u'} pi^a(u') Q(s, (u^-a, u')), eq. 4."""

    def joint_actions(self, log_pi: Tensor, executed: Tensor | None, real: Tensor | None = None) -> Tensor:
        """The executed actions of the others (drawn where nothing was executed): int64 [B, T, 1, A]."""
        if executed is not None:
            return executed.unsqueeze(2)
        return sample_joint(log_pi, n_samples=1, generator=self.controller.generators["learner"], real=real)

    def objective(self, it: Iteration, policy: Policy, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """-A log pi(u) at the executed actions: [B, T, A]."""
        taken = self.of_executed(it, advantages)
        return policy_gradient(policy.executed, taken), {}
