"""DOP: off-policy decomposed policy gradients (Wang et al. 2021)."""

from __future__ import annotations

from torch import Tensor

from estimators.credit import Marginal, counterfactual
from learners.base import LearnerSettings
from learners.coma_learner import COMALearner
from learners.counterfactual import CreditSettings
from learners.critics.linear_q import LinearQ, LinearQSettings
from learners.critics.part import JointInputs, Judged
from learners.replayed import BufferSettings


class DOPSettings(LinearQSettings, CreditSettings, BufferSettings):
    """What DOP reads."""


class DOPLearner(COMALearner):
    """COMA's policy gradient with a critic that is linear in utilities of own actions: Q_tot = sum_i k_i Q_i(u_i) + b.

    So an agent's counterfactual advantage is k_i (Q_i(u) - sum_u' pi_i(u') Q_i(u')) whatever its partners do: COMA's
    and ASAE's of this critic at once. The critic learns from replayed episodes too, the actors from new ones alone.
    """

    Settings: type[LearnerSettings] = DOPSettings
    rehearses = True
    critic: LinearQ
    settings: DOPSettings

    def make_critic(self) -> LinearQ:
        """Q_tot, its utilities in groups as the actors."""
        return LinearQ(self, self.settings, self.controller.groups)

    def evaluate(
        self, inputs: JointInputs, pi: Tensor, partners: Tensor, executed: Tensor | None
    ) -> tuple[Marginal, Tensor]:
        """Advantages and V(s) = E_pi Q_tot, both exact; arguments as of ``CounterfactualLearner.evaluate``."""
        values = self.critic.values(inputs)
        advantage = values.k.unsqueeze(-1) * counterfactual(values.q, pi)
        expected = values.expected(pi).expand_as(values.k)
        beside = values.beside(self.joint_actions(partners, executed))[..., 0, :]
        return Marginal(advantage, expected), beside

    def judge_taken(
        self, inputs: JointInputs, pi: Tensor, partners: Tensor, executed: Tensor | None, actions: Tensor
    ) -> Judged:
        """From :meth:`evaluate`."""
        return Judged.of(*self.evaluate(inputs, pi, partners, executed), actions)
