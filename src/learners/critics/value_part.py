"""What critics of state values share: normalised targets, clipped and Huber losses, minibatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field
from torch import Tensor

from components.value_loss import value_loss
from components.value_norm import ValueNorm
from controllers.reading import laid_out
from core.data import Metrics
from core.errors import UserError
from core.packing import Packing
from learners.base import BaseLearner
from learners.critics.part import CriticPart, Iteration, TargetSettings, mean_metrics
from learners.minibatches import Rows, minibatches


class ValueSettings(TargetSettings):
    """What every critic of state values reads."""

    value_norm: bool = Field(False, description="The critic learns targets by their running mean and deviation.")
    value_clip: float | None = Field(None, gt=0, description="Clip range of PPO's value loss; null: no clipping.")
    huber_delta: float | None = Field(None, gt=0, description="Huber's delta of the value loss; null: squares.")
    value_active_masks: bool = Field(False, description="Fit V at decisions only, not where an agent had one action.")


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the critic says before it is fitted.

    Attributes:
        said: [B, T, A], what the networks said of executed steps, in their units.
        values: [B, T, A], V of executed steps, in units of rewards.
        returns: [B, T, A], G, the targets, in units of rewards.
    """

    said: Tensor
    values: Tensor
    returns: Tensor


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the fit learns from: executed steps of some episodes.

    Attributes:
        inputs: [B, T, A, I], what the networks see.
        weights: bool [B, T, A], what counts.
        old, target: [B, T, A], what they said, and what they are to say.
        mask: bool [B, T], steps.
    """

    inputs: Any
    weights: Tensor
    old: Tensor
    target: Tensor
    mask: Tensor


class ValuePart(CriticPart):
    """V_i of every agent; a leaf states its networks and what they see.

    Args:
        learner, settings, groups, lags: see :class:`CriticPart`.
        reward_dim: R of the batches; individual rewards have values of their own.
        minibatches: yields, for a number of episodes, those of every gradient step (an index or a slice).

    Raises:
        UserError: rewards and values would both be normalised.
    """

    settings: ValueSettings
    fits_first = False

    def __init__(
        self,
        learner: BaseLearner,
        settings: ValueSettings,
        groups: list[list[int]],
        *,
        reward_dim: int,
        minibatches: Callable[[int], Sequence[Rows]],
        lags: bool = False,
    ) -> None:
        self.settings, self.minibatches = settings, minibatches
        if settings.value_norm and settings.standardise_rewards:
            raise UserError(
                f"value_norm=True and standardise_rewards={settings.standardise_rewards} would both normalise what the "
                "critic learns: give one of them (value_norm=True standardise_rewards=false)."
            )
        super().__init__(learner, settings, groups, lags=lags)
        self.norm = ValueNorm(reward_dim, device=self.device) if settings.value_norm else None

    def raw(self, net: Any, inputs: Any, packing: Packing | None) -> Tensor:
        """What a network says, in normalised units: [B, T, A]; packing of the rows that are no padding."""
        return net(inputs, packing=packing).squeeze(-1)

    def in_rewards(self, said: Tensor) -> Tensor:
        """Values in units of rewards, of what a network said: [B, T, A]."""
        return said if self.norm is None else self.norm.denormalise(said)

    def estimate(self, it: Iteration) -> Estimates:
        """Values and targets under the critic as it is."""
        packing = it.batch.packing
        said = self.raw(self.net, it.inputs, packing)
        values = self.in_rewards(said)
        lagging = values if self.target is None else self.in_rewards(self.raw(self.target.net, it.inputs, packing))
        return Estimates(said=said[:, :-1], values=values[:, :-1], returns=self.returns(it, lagging))

    def weights(self, it: Iteration) -> Tensor:
        """What counts in the loss: bool [B, T, A]."""
        return it.active if self.settings.value_active_masks else it.batch.mask.unsqueeze(-1).expand_as(it.active)

    def see(self, it: Iteration) -> None:
        """Count this iteration's targets in their statistics, once."""
        if self.norm is not None:
            self.norm.update(it.estimates.returns, self.weights(it))

    def normalised(self, it: Iteration) -> tuple[Tensor, Tensor]:
        """What the networks said before the fit, and their targets, both in their units: two [B, T, A].

        They are held near what they said themselves. By the statistics, which have moved, the same V may be far from
        it: there the clipped loss would have no gradient, or one to the wrong side.
        """
        said, target = it.estimates.said, it.estimates.returns
        return (said, target) if self.norm is None else (said, self.norm.normalise(target))

    def fit(self, it: Iteration) -> Metrics:
        """``critic_updates`` passes over the batch, in minibatches of whole episodes."""
        self.see(it)
        old, target = self.normalised(it)
        lesson = Lesson(inputs=it.inputs[:, :-1], weights=self.weights(it), old=old, target=target, mask=it.batch.mask)
        passes: list[Metrics] = []
        whole: Lesson | None = None
        for _ in range(self.settings.critic_updates):
            rows = self.minibatches(it.batch.n_episodes)
            if isinstance(rows[0], Tensor):
                passes = [self._step(part, Packing.of(part.mask)) for part in minibatches(lesson, rows)]
            else:
                packing = it.batch.step_packing
                whole = whole or self._whole(lesson, packing)
                passes = [self._step(whole, packing)]
        return mean_metrics(passes)

    def _whole(self, lesson: Lesson, packing: Packing | None) -> Lesson:
        """All episodes, as the networks read them fastest, where they do so more than once."""
        if self.settings.critic_updates == 1 or not isinstance(lesson.inputs, Tensor):
            return lesson
        return replace(lesson, inputs=laid_out(self.net, lesson.inputs.contiguous(), packing))

    def _step(self, part: Lesson, packing: Packing | None) -> Metrics:
        value = self.raw(self.net, part.inputs, packing)
        loss = self.loss(value, part.target, part.old, part.weights)
        return self.descend(loss, taken=value, target=part.target, mask=part.weights)

    def loss(self, value: Tensor, target: Tensor, old: Tensor, weights: Tensor) -> Tensor:
        """The mean value loss."""
        s = self.settings
        return value_loss(value, target, old, weights, clip_range=s.value_clip, delta=s.huber_delta)

    def state_dict(self) -> dict[str, Any]:
        """The statistics of the targets."""
        return {} if self.norm is None else self.norm.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        if self.norm is not None:
            self.norm.load_state_dict(state)
