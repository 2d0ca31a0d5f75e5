"""What critics of state values share: normalised targets, clipped and Huber losses, minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from torch import Tensor

from components.value_norm import ValueNorm
from core.data import Metrics
from core.errors import UserError
from core.packing import Packing
from estimators.masked import masked_mean
from estimators.value_losses import clipped, squared
from learners.base import BaseLearner
from learners.critics.part import CriticPart, Iteration, Rows, TargetSettings, mean_metrics


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
        minibatches: Callable[[int], Iterable[Rows]],
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
        weights, (old, target) = self.weights(it), self.normalised(it)
        passes: list[Metrics] = []
        for _ in range(self.settings.critic_updates):
            passes = [
                self._step(it.inputs[rows, :-1], self._packing(it, rows), weights[rows], old[rows], target[rows])
                for rows in self.minibatches(it.batch.n_episodes)
            ]
        return mean_metrics(passes)

    def _packing(self, it: Iteration, rows: Rows) -> Packing | None:
        return Packing.of(it.batch.mask[rows]) if isinstance(rows, Tensor) else it.batch.step_packing

    def _step(self, inputs: Any, packing: Packing | None, weights: Tensor, old: Tensor, target: Tensor) -> Metrics:
        value = self.raw(self.net, inputs, packing)
        loss = masked_mean(self.loss(value, target, old), weights)
        return self.descend(value - target, loss, taken=value, target=target, mask=weights)

    def loss(self, value: Tensor, target: Tensor, old: Tensor) -> Tensor:
        """The value loss per entry."""
        s = self.settings
        if s.value_clip is None:
            return squared(value - target, s.huber_delta)
        return clipped(value, target, old, clip_range=s.value_clip, delta=s.huber_delta)

    def state_dict(self) -> dict[str, Any]:
        """The statistics of the targets."""
        return {} if self.norm is None else self.norm.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        if self.norm is not None:
            self.norm.load_state_dict(state)
