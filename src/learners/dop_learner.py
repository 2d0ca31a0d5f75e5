"""DOP: off-policy decomposed policy gradients (Wang et al. 2021)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from controllers.basic_controller import BasicController
from core.data import TeamSpec
from core.errors import UserError
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

    Raises:
        UserError: a controller whose policies depend on executed actions.
    """

    Settings: type[LearnerSettings] = DOPSettings
    rehearses = True
    critic: LinearQ
    settings: DOPSettings

    def __init__(self, spec: TeamSpec, settings: DOPSettings, controller: BasicController, **others: Any) -> None:
        if controller.one_network:
            raise UserError(
                f"mac={controller.settings.mac}: its policy of an agent depends on what those before it do, but "
                f"{settings.learner} takes means over independent policies: give mac=basic_mac."
            )
        super().__init__(spec, settings, controller, **others)

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
