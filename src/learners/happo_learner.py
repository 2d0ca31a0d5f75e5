"""HAPPO (Kuba et al. 2022): PPO of one agent after another."""

from __future__ import annotations

from torch import Tensor

from core.data import Metrics
from learners.base import LearnerSettings
from learners.critics.part import Iteration
from learners.ppo_learner import StateValueLearner, SurrogateSettings
from learners.sequential import SequentialLearner, SequentialSettings


class HAPPOSettings(SequentialSettings, SurrogateSettings):
    """What HAPPO reads: what PPO reads."""


class HAPPOLearner(SequentialLearner, StateValueLearner):
    """min(r M A, clip(r, 1 - eps, 1 + eps) M A), all epochs of one agent before the next one's."""

    Settings: type[LearnerSettings] = HAPPOSettings
    settings: HAPPOSettings

    def turn(self, it: Iteration, advantages: Tensor, *, t_env: int) -> Metrics:
        """All epochs of one group."""
        return StateValueLearner.move_actors(self, it, self.policy(it, t_env=t_env), advantages, t_env=t_env)
