"""What COMA and ASAE share: a joint critic, advantages of all own actions, and how those are scaled."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from core.data import Metrics, TeamSpec
from core.errors import UserError
from estimators.masked import masked_mean
from learners.actor_critic import ActorCriticLearner, ActorCriticSettings
from learners.base import LearnerSettings
from learners.critics.joint_q import JointQ, JointQSettings
from learners.critics.part import Iteration


class CounterfactualSettings(JointQSettings, ActorCriticSettings):
    """What COMA and ASAE read."""

    standardise_advantages: bool = Field(
        False,
        description="Divide advantages by their root mean square over available actions; the policy does not weight "
        "it, since what is left once the policy is certain is noise.",
    )


class CounterfactualLearner(ActorCriticLearner):
    """Actors against a joint critic Q(s, u); the arguments are those of :class:`ActorCriticLearner`.

    Raises:
        UserError: individual rewards, for which there is no joint Q.
    """

    Settings: type[LearnerSettings] = CounterfactualSettings
    critic: JointQ
    settings: CounterfactualSettings

    def __init__(self, spec: TeamSpec, settings: CounterfactualSettings, *others: Any, **named: Any) -> None:
        super().__init__(spec, settings, *others, **named)
        if self.reward_dim != 1:
            raise UserError(
                f"{settings.learner} assigns credit for one team reward: set common_reward=True, "
                "or use iql for individual rewards."
            )

    def make_critic(self) -> JointQ:
        """Q(s, u), in groups as the actors."""
        return JointQ(self, self.settings, self.controller.groups, self.controller.generators["learner"])

    def advantages(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Advantages of all own actions: [B, T, A, U]; ``log_pi`` as in :meth:`credit`."""
        raise NotImplementedError

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """The advantages of all own actions, scaled: [B, T, A, U]."""
        advantages, metrics = self.advantages(it, log_pi)
        mask = it.batch.mask
        taken = advantages.gather(-1, it.batch.actions.unsqueeze(-1))
        metrics["advantage_mean"] = masked_mean(taken, mask)
        metrics["advantage_abs"] = masked_mean(taken.abs(), mask)
        if self.settings.standardise_advantages:  # their mean under pi is zero already
            available = it.batch.available[:, :-1]
            square = (advantages**2 * available).sum(-1) / available.sum(-1)
            advantages = advantages / masked_mean(square, mask).sqrt().clamp(min=1e-6)
        return advantages, metrics
