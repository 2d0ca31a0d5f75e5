"""What COMA, ASAE and DOP share: credit from a critic's values of joint actions, how advantages are scaled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from core.data import EpisodeBatch, Metrics, TeamSpec
from core.metrics import Later
from estimators.credit import Marginal, marginal, partner_ratio
from estimators.masked import masked_mean, masked_standardise, mean_abs
from estimators.returns import continues_from_mask, residuals
from learners.actor_critic import ActorCriticLearner, ActorCriticSettings
from learners.base import LearnerSettings
from learners.critics.joint_q import JointQ, JointQSettings
from learners.critics.part import ActionValues, Iteration, JointInputs


class CreditSettings(ActorCriticSettings):
    """What every learner reads that takes credit from values of joint actions."""

    advantage: Literal["critic", "doubly_robust", "gae"] = Field(
        "critic",
        description="The critic's advantages alone (the papers), or with the residual of what really followed; gae: "
        "GAE with V = E Q (MAPPO's), which assigns no credit.",
    )
    residual_lambda: float = Field(0.95, ge=0, le=1, description="lambda of the doubly robust residual.")
    residual_weight: float = Field(1.0, ge=0, description="Weight of the doubly robust residual.")
    standardise_advantages: bool = Field(
        False,
        description="advantage=critic: divide by their root mean square over available actions, not weighted by the "
        "policy, since what is left once it is certain is noise. doubly_robust: mean 0 and deviation 1 over the batch.",
    )


class CounterfactualSettings(JointQSettings, CreditSettings):
    """What COMA and ASAE read."""

    partner_ratio_bound: float = Field(
        2.0, gt=1, description="With resync, the partners' ratio on the residual lies between 1 / bound and bound."
    )


@dataclass(frozen=True, kw_only=True)
class DoublyRobust:
    """What the critic says before it is fitted.

    Attributes:
        marginal: advantages under pi_i, over the executed steps.
        residual: [B, T, A], R.
    """

    marginal: Marginal
    residual: Tensor


class CounterfactualLearner(ActorCriticLearner):
    """Actors against a joint critic Q(s, u); the arguments are those of :class:`ActorCriticLearner`.

    With ``advantage=doubly_robust``, A_dr = A_mar(s_t, u_t^a) + R_t (:func:`estimators.returns.residuals`): unbiased up
    to a baseline for every critic where lambda is 1, and the critic's own advantage where it is right. There the critic
    is fitted after the actors, since one that has been fitted to these returns leaves no residual. With
    ``advantage=gae`` the residual is GAE, V in the place of Q, and stands alone.
    """

    Settings: type[LearnerSettings] = CounterfactualSettings
    critic: ActionValues
    settings: CreditSettings
    samples = False
    """Whether advantages are means over samples, whose error is worth a metric."""

    def __init__(self, spec: TeamSpec, settings: CreditSettings, *others: Any, **named: Any) -> None:
        super().__init__(spec, settings, *others, **named)
        self.robust = settings.advantage != "critic"
        self.critic.fits_first = not self.robust

    def make_critic(self) -> ActionValues:
        """Q(s, u), in groups as the actors."""
        settings: Any = self.settings  # CounterfactualSettings, but for leaves with another critic
        return JointQ(self, settings, self.controller.groups, self.controller.generators["learner"])

    # -- what a leaf states ---------------------------------------------------------------------------------------

    def joint_actions(self, log_pi: Tensor, executed: Tensor | None) -> Tensor:
        """Joint actions beside which own actions are judged: int64 [B, T, M, A].

        Args:
            log_pi: [B, T, A, U], policies of the partners.
            executed: int64 [B, T, A], the first sample; None draws all.
        """
        raise NotImplementedError

    # -- credit ---------------------------------------------------------------------------------------------------

    def evaluate(
        self, inputs: JointInputs, pi: Tensor, partners: Tensor, executed: Tensor | None
    ) -> tuple[Marginal, Tensor]:
        """Advantages of all own actions beside the partners' joint actions, and the Q-values of the first sample.

        Args:
            inputs: of T rows.
            pi: [B, T, A, U], own policies in the baseline.
            partners: [B, T, A, U], log-policies of the partners.
            executed: see :meth:`joint_actions`.

        Returns:
            the advantages, and Q(s, (u^-a, .)) beside the first sample: [B, T, A, U].
        """
        q = self.critic.q(inputs, self.joint_actions(partners, executed))  # [B, T, A, M, U]
        return marginal(q, pi), q[..., 0, :]

    def freeze(self, batch: EpisodeBatch, log_pi: Tensor) -> Iteration:
        """What stays fixed, the doubly robust residual included."""
        it = super().freeze(batch, log_pi)
        if not self.robust:
            return it
        with torch.no_grad():
            return replace(it, estimates=self._estimates(it))

    def judge(self, it: Iteration) -> tuple[Marginal, Tensor]:
        """Advantages and values under pi_i of all rows [B, T+1, ...], and Q-values of what was done [B, T, A]."""
        actions = it.batch.actions
        result, q = self.evaluate(it.inputs, it.log_pi.exp(), it.log_pi, self._executed(it))
        taken = q[:, :-1].gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        values, taken = self.critic.judged(it.inputs, result.value, taken)
        return replace(result, value=values), taken

    def _estimates(self, it: Iteration) -> DoublyRobust:
        result, taken = self.judge(it)
        if self.settings.advantage == "gae":
            taken = result.value[:, :-1]
        residual = residuals(
            rewards=it.rewards.expand_as(taken),
            discounts=it.discounts,
            values=result.value,
            taken=taken,
            lam=self.settings.residual_lambda,
            continues=continues_from_mask(it.batch.mask).unsqueeze(-1),
        )
        return DoublyRobust(marginal=result.steps(slice(0, -1)), residual=residual)

    def _executed(self, it: Iteration) -> Tensor:
        """Executed joint actions, int64 [B, T+1, A]; in the row after an episode's last step, where none was, drawn."""
        actions, rows = it.batch.actions, torch.arange(it.batch.n_episodes, device=self.device)
        end = it.batch.mask.sum(1)
        drawn = self.joint_actions(it.log_pi[rows, end].unsqueeze(1), None)  # [B, 1, M, A]
        executed = torch.cat([actions, torch.zeros_like(actions[:, :1])], dim=1)
        executed[rows, end] = drawn[:, 0, 0]
        return executed

    def advantages(self, it: Iteration, log_pi: Tensor | None) -> Marginal:
        """The critic's advantages of all own actions; ``log_pi`` as in :meth:`credit`."""
        if log_pi is None and it.estimates is not None:
            return it.estimates.marginal
        # the executed action was drawn from pi_i: it is sample 1 under pi_i, and none under later policies
        partners, executed = (it.log_pi[:, :-1], it.batch.actions) if log_pi is None else (log_pi, None)
        return self.evaluate(it.inputs[:-1], it.log_pi[:, :-1].exp(), partners, executed)[0]

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Scaled advantages of all own actions [B, T, A, U], of the executed ones alone [B, T, A] if doubly robust."""
        result, mask, executed = self.advantages(it, log_pi), it.batch.mask, it.batch.actions.unsqueeze(-1)
        advantages = result.advantage
        metrics: Metrics = {}
        if self.samples:
            metrics["marginal_standard_error"] = Later(_error_of, result, executed, mask)
        taken = advantages.gather(-1, executed)
        if self.robust:
            taken, more = self._with_residual(it, taken.squeeze(-1), log_pi)
            metrics |= more
        metrics |= {"advantage_mean": Later(masked_mean, taken, mask), "advantage_abs": Later(mean_abs, taken, mask)}
        if not self.settings.standardise_advantages:
            return taken if self.robust else advantages, metrics
        if self.robust:
            return masked_standardise(taken, it.weights), metrics
        available = it.batch.available[:, :-1]  # their mean under pi is zero already
        square = (advantages**2 * available).sum(-1) / available.sum(-1)
        return advantages / masked_mean(square, mask).sqrt().clamp(min=1e-6), metrics

    def _with_residual(self, it: Iteration, taken: Tensor, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """A_dr of the executed actions: [B, T, A]; under later policies the residual is weighted by the partners'."""
        residual = self.settings.residual_weight * it.estimates.residual
        metrics: Metrics = {
            "marginal_abs": Later(mean_abs, taken, it.batch.mask),
            "residual_abs": Later(mean_abs, residual, it.batch.mask),
        }
        if log_pi is not None:
            settings: Any = self.settings  # of a leaf that re-estimates credit
            bound = settings.partner_ratio_bound
            residual = residual * partner_ratio(log_pi, it.log_pi[:, :-1], it.batch.actions, bound=bound)
        return (residual if self.settings.advantage == "gae" else taken + residual), metrics


def _error_of(result: Marginal, executed: Tensor, mask: Tensor) -> Tensor:
    """Mean standard error of executed actions, int64 [B, T, A, 1]."""
    return masked_mean(result.standard_error.gather(-1, executed), mask)
