"""MAT and MAT-Dec (Wen et al. 2022): PPO against the values of a transformer's encoder."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from controllers.mat_controller import MATController
from core.data import TeamSpec
from core.errors import UserError
from learners.base import LearnerSettings
from learners.critics.encoder_value import EncoderValue, EncoderValueSettings, SharedEncoderValue
from learners.critics.value_part import ValueSettings
from learners.ppo_learner import StateValueLearner, SurrogateSettings


class MATSettings(ValueSettings, SurrogateSettings):
    """What MAT reads: the critic has no networks of its own but a head."""

    critic_updates: int = Field(
        1,
        ge=1,
        description="Gradient steps of the critic on each batch of a warm start; later it moves with the policy.",
    )


class MATLearner(StateValueLearner):
    """A transformer whose decoder acts and whose encoder values: one loss and one optimiser for both.

    Args:
        spec, settings, others: as of :class:`ActorCriticLearner`.
        controller: whose network it is.

    Raises:
        UserError: another controller; individual rewards, of which its decomposition of one advantage knows nothing.
    """

    Settings: type[LearnerSettings] = MATSettings
    individual_rewards = False
    dependent = True
    controller: MATController
    settings: MATSettings

    def __init__(self, spec: TeamSpec, settings: MATSettings, controller: MATController, **others: Any) -> None:
        if not isinstance(controller, MATController):
            raise UserError("learner=mat_learner needs mac=mat_mac: its critic is a head on that network's encoder.")
        super().__init__(spec, settings, controller, **others)
        self.actor_optimizer = self.critic.optimizer

    def make_critic(self) -> SharedEncoderValue:
        """V_i by a head on the encoder."""
        return SharedEncoderValue(
            self, self.settings, self.controller, reward_dim=self.reward_dim, minibatches=self.minibatches
        )

    def optimizers(self) -> dict[str, Any]:
        """The only one."""
        return {"agent_opt": self.actor_optimizer}


class MATDecSettings(EncoderValueSettings, SurrogateSettings):
    """What MAT-Dec reads."""


class MATDecLearner(StateValueLearner):
    """Actors of the own observation against an encoder of all agents' observations: MAPPO with another critic."""

    Settings: type[LearnerSettings] = MATDecSettings
    settings: MATDecSettings

    def make_critic(self) -> EncoderValue:
        """V_i by an encoder of its own."""
        return EncoderValue(self, self.settings, reward_dim=self.reward_dim, minibatches=self.minibatches)
