"""What all learners share that train on replayed episodes or steps: settings, what is drawn, targets."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from components.replay import Replay
from core.data import EpisodeBatch
from core.row_batch import RowBatch
from estimators.returns import continues_from_mask, lambda_returns
from learners.base import BaseLearner, LearnerSettings


class BufferSettings(LearnerSettings):
    """What every learner with a replay buffer reads."""

    batch_size: int = Field(32, ge=1, description="Replayed episodes per update.")
    buffer_size: int = Field(5000, ge=1, description="Episodes in the replay buffer.")
    buffer_dtype: Literal["float32", "float16"] = Field(
        "float32",
        description="How it stores observations and states; float16 takes half the memory and rounds to 3 digits.",
    )


class ReplaySettings(BufferSettings):
    """What every learner reads that learns from replayed episodes alone."""

    episodes_per_update: int = Field(1, ge=1, description="One update for so many gathered episodes.")
    bound_targets: bool = Field(
        True, description="Keep targets among the discounted sums that the rewards seen so far can have."
    )
    q_lambda: float = Field(
        0.0, ge=0, le=1, description="lambda of the targets (Peng and Williams 1994); 0 looks one step ahead."
    )


class ReplayLearner(BaseLearner):
    """Learns off-policy."""

    on_policy = False
    settings: ReplaySettings

    @property
    def drawn(self) -> tuple[str, str]:
        """What an update learns from, and the setting that says how much, in words."""
        return f"{self.settings.batch_size} episodes", "batch_size"

    def draw(self, replay: Replay) -> EpisodeBatch | RowBatch:
        """What the next update learns from."""
        return replay.sample(self.settings.batch_size)

    def targets_of(self, batch: EpisodeBatch | RowBatch, bootstrap: Tensor) -> Tensor:
        """Targets of values [B, T, R], without gradient.

        Args:
            batch: what was drawn.
            bootstrap: what lagging networks give for the following rows, [B, T, R].
        """
        with torch.no_grad():
            if self.settings.bound_targets:
                bootstrap = bootstrap.clamp(*self.value_range())
            rewards, discounts = self.rewards(batch), self.discounts(batch)
            if self.settings.q_lambda == 0:
                return torch.addcmul(rewards, discounts, bootstrap)
            rewards = rewards.expand_as(bootstrap)
            if not isinstance(batch, RowBatch):
                return self._lambda(rewards, discounts, bootstrap, continues_from_mask(batch.mask))
            steps, going_on = batch.steps, (~batch.last).float()
            parts = [steps.unpack(x) for x in (rewards, discounts, bootstrap, going_on)]
            return steps.pack(self._lambda(*parts))

    def _lambda(self, rewards: Tensor, discounts: Tensor, bootstrap: Tensor, continues: Tensor) -> Tensor:
        """lambda returns; continues [B, T] is 1 where another step of the episode follows."""
        values = torch.cat([bootstrap[:, :1], bootstrap], 1)  # the first is not read
        return lambda_returns(
            rewards=rewards, discounts=discounts, values=values, lam=self.settings.q_lambda,
            continues=continues.unsqueeze(-1),
        )  # fmt: skip
