"""COMA (Foerster et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from components.draws import sample_joint
from learners.counterfactual import CounterfactualLearner


class COMALearner(CounterfactualLearner):
    """Counterfactual multi-agent policy gradients: A^a = Q(s, u) - sum_{u'} pi^a(u') Q(s, (u^-a, u')), eq. 4.

    The actors minimise -A log pi(u) at the executed actions.
    """

    def joint_actions(self, log_pi: Tensor, executed: Tensor | None, real: Tensor | None = None) -> Tensor:
        """The executed actions of the others (drawn where nothing was executed): int64 [B, T, 1, A]."""
        if executed is not None:
            return executed.unsqueeze(2)
        return sample_joint(log_pi, n_samples=1, generator=self.controller.generators["learner"], real=real)
