"""Advantages of executed actions against state values: what the PPO family, HAPPO and HATRPO share."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from core.data import Metrics
from core.metrics import Later
from estimators.masked import masked_mean, masked_standardise, mean_abs
from learners.actor_critic import ActorCriticLearner, ActorCriticSettings
from learners.critics.part import Iteration
from learners.critics.value_part import ValuePart


class AdvantageSettings(ActorCriticSettings):
    """What actors against state values read."""

    standardise_advantages: bool = Field(
        False, description="Advantages of a batch to mean 0 and deviation 1, over what counts in the actors' losses."
    )


class AdvantageLearner(ActorCriticLearner):
    """Actors against state values: A_ti = G_ti - V_i(x_ti), with GAE where ``returns=td_lambda`` without a target."""

    individual_rewards = True
    critic: ValuePart
    settings: AdvantageSettings

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Advantages of the executed actions: [B, T, A]."""
        return self.scaled(it, it.estimates.returns - it.estimates.values)

    def scaled(self, it: Iteration, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """Advantages [B, T, A] as the actors' objective takes them, and what is told of them."""
        metrics: Metrics = {
            "advantage_mean": Later(masked_mean, advantages, it.batch.mask),
            "advantage_abs": Later(mean_abs, advantages, it.batch.mask),
        }
        if self.settings.standardise_advantages:
            advantages = masked_standardise(advantages, it.weights)
        return advantages, metrics
