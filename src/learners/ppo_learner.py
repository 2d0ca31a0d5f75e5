"""IA2C, MAA2C (Mnih et al. 2016; Papoudakis et al. 2021), IPPO and MAPPO (de Witt et al. 2020; Yu et al. 2022)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from estimators.surrogates import Surrogate
from learners.advantage import AdvantageLearner, AdvantageSettings
from learners.base import LearnerSettings
from learners.critics.state_value import StateValue, StateValueSettings
from learners.proximal import ProximalLearner, ProximalSettings


class SurrogateSettings(AdvantageSettings, ProximalSettings):
    """What actors against state values read, where they take epochs of a surrogate."""

    surrogate: Literal["ppo", "clip", "policy_gradient"] = Field(
        "ppo", description="PPO's min(...), its clipped part alone, or A log pi (A2C: epochs=1)."
    )


class StateValueLearner(ProximalLearner, AdvantageLearner):
    """A policy gradient, or several epochs of PPO, against a critic of state values."""

    settings: SurrogateSettings

    @property
    def surrogate(self) -> Surrogate:
        """That of the settings."""
        return Surrogate(self.settings.surrogate, self.settings.eps_clip)


class PPOSettings(StateValueSettings, SurrogateSettings):
    """What IA2C, MAA2C, IPPO and MAPPO read: one learner, ``critic_input`` and ``surrogate`` tell them apart."""


class PPOLearner(StateValueLearner):
    """Actors with networks of their own, V of the observation or the state.

    Attributes:
        Critic: what its critic is.
    """

    Settings: type[LearnerSettings] = PPOSettings
    Critic: type[StateValue] = StateValue
    settings: PPOSettings

    def make_critic(self) -> StateValue:
        """Values of every agent, in groups as the actors."""
        return self.Critic(
            self,
            self.settings,
            self.controller.groups,
            reward_dim=self.reward_dim,
            minibatches=self.minibatches,
            lags=self.settings.target_critic,
        )
