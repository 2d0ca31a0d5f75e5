"""Mean field actor-critic (Yang et al. 2018, arXiv 1802.05438)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from core.data import Metrics
from learners.base import LearnerSettings
from learners.critics.mean_field_q import MeanFieldQ, MeanFieldQSettings
from learners.critics.part import Iteration
from learners.ppo_learner import PPOLearner, PPOSettings


class MFACSettings(MeanFieldQSettings, PPOSettings):
    """What mean field actor-critic reads."""

    advantage: Literal["critic", "returns"] = Field(
        "critic",
        description="Q of what was done less V (the paper's Q, with a baseline), or the critic's targets less V.",
    )


class MFACLearner(PPOLearner):
    """Actors of the own observation against Q_i(x, u_i, abar_i), abar_i the mean of the neighbours' last actions."""

    Settings: type[LearnerSettings] = MFACSettings
    Critic = MeanFieldQ
    critic: MeanFieldQ
    settings: MFACSettings

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Advantages of the executed actions: [B, T, A]."""
        if self.settings.advantage == "returns":
            return super().credit(it, log_pi)
        return self.scaled(it, self.critic.in_rewards(it.estimates.said) - it.estimates.values)
