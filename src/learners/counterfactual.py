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
from estimators.softmax import probabilities
from learners.actor_critic import ActorCriticLearner, ActorCriticSettings
from learners.base import LearnerSettings
from learners.critics.joint_q import JointQ, JointQSettings
from learners.critics.part import ActionValues, Iteration, JointInputs, Judged


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


Beside = tuple[JointInputs, Tensor, Tensor, Tensor | None]


@dataclass(frozen=True, kw_only=True)
class DoublyRobust:
    """What the critic says before it is fitted.

    Attributes:
        advantage: [B, T, A], A_mar of what was done, under pi_i.
        standard_error: [B, T, A], its Monte-Carlo error.
        residual: [B, T, A], R.
    """

    advantage: Tensor
    standard_error: Tensor
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

    @property
    def of_all(self) -> bool:
        """Whether advantages of all own actions are wanted, not those of the executed ones alone."""
        return not self.robust and self.settings.standardise_advantages

    def of_executed(self, it: Iteration, advantages: Tensor) -> Tensor:
        """Those of :meth:`credit` that the executed actions have: [B, T, A]."""
        return advantages.gather(-1, it.batch.actions.unsqueeze(-1)).squeeze(-1) if self.of_all else advantages

    def make_critic(self) -> ActionValues:
        """Q(s, u), in groups as the actors."""
        settings: Any = self.settings  # CounterfactualSettings, but for leaves with another critic
        return JointQ(self, settings, self.controller.groups, self.controller.generators["learner"])

    # -- what a leaf states ---------------------------------------------------------------------------------------

    def joint_actions(self, log_pi: Tensor, executed: Tensor | None, real: Tensor | None = None) -> Tensor:
        """Joint actions beside which own actions are judged: int64 [B, T, M, A].

        Args:
            log_pi: [B, T, A, U], policies of the partners.
            executed: int64 [B, T, A], the first sample; None draws all.
            real: bool [B, T], rows that are wanted; None: all.
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
        q = self.critic.q(inputs, self.joint_actions(partners, executed, inputs.real))  # [B, T, A, M, U]
        return marginal(q, pi), q[..., 0, :]

    def freeze(self, batch: EpisodeBatch, log_pi: Tensor) -> Iteration:
        """What stays fixed, the doubly robust residual included."""
        it = super().freeze(batch, log_pi)
        if not self.robust:
            return it
        with torch.no_grad():
            return replace(it, estimates=self._estimates(it))

    def judge_taken(
        self, inputs: JointInputs, pi: Tensor, partners: Tensor, executed: Tensor | None, actions: Tensor
    ) -> Judged:
        """Credit of one own action of each agent, int64 [B, T, A]; the rest as of :meth:`evaluate`."""
        critic: Any = self.critic  # JointQ; leaves with another one say themselves how it judges
        return critic.judge(inputs, self.joint_actions(partners, executed, inputs.real), pi, actions)

    def judge(self, it: Iteration) -> Judged:
        """Credit of what was done under pi_i, V in the place of E Q with a value head, of all rows: [B, T+1, A]."""
        executed = self._executed(it)
        result = self.judge_taken(it.inputs, probabilities(it.log_pi), it.log_pi, executed, executed)
        values, taken = self.critic.judged(it.inputs, result.value, result.first[:, :-1])
        return replace(result, value=values, first=taken)

    def _estimates(self, it: Iteration) -> DoublyRobust:
        result = self.judge(it)
        taken = result.value[:, :-1] if self.settings.advantage == "gae" else result.first
        residual = residuals(
            rewards=it.rewards.expand_as(taken),
            discounts=it.discounts,
            values=result.value,
            taken=taken,
            lam=self.settings.residual_lambda,
            continues=continues_from_mask(it.batch.mask).unsqueeze(-1),
        )
        advantage, error = result.advantage[:, :-1], result.standard_error[:, :-1]
        return DoublyRobust(advantage=advantage, standard_error=error, residual=residual)

    def _executed(self, it: Iteration) -> Tensor:
        """Executed joint actions, int64 [B, T+1, A]; in the row after an episode's last step, where none was, drawn."""
        actions, rows = it.batch.actions, torch.arange(it.batch.n_episodes, device=self.device)
        end = it.batch.mask.sum(1)
        drawn = self.joint_actions(it.log_pi[rows, end].unsqueeze(1), None)  # [B, 1, M, A]
        executed = torch.cat([actions, torch.zeros_like(actions[:, :1])], dim=1)
        executed[rows, end] = drawn[:, 0, 0]
        return executed

    def _beside(self, it: Iteration, log_pi: Tensor | None) -> Beside:
        """What :meth:`evaluate` is given; ``log_pi`` as in :meth:`credit`."""
        # the executed action was drawn from pi_i: it is sample 1 under pi_i, and none under later policies
        partners, executed = (it.log_pi[:, :-1], it.batch.actions) if log_pi is None else (log_pi, None)
        return it.inputs[:-1], probabilities(it.log_pi[:, :-1]), partners, executed

    def advantages(self, it: Iteration, log_pi: Tensor | None) -> Marginal:
        """The critic's advantages of all own actions; ``log_pi`` as in :meth:`credit`."""
        return self.evaluate(*self._beside(it, log_pi))[0]

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Scaled advantages of the executed actions [B, T, A]; of all own ones [B, T, A, U] where ``of_all``."""
        mask, actions, every = it.batch.mask, it.batch.actions, None
        if self.of_all:
            result = self.advantages(it, log_pi)
            every, own = result.advantage, actions.unsqueeze(-1)
            taken, error = (x.gather(-1, own).squeeze(-1) for x in (every, result.standard_error))
        elif self.robust and log_pi is None:
            taken, error = it.estimates.advantage, it.estimates.standard_error
        else:
            judged = self.judge_taken(*self._beside(it, log_pi), actions)
            taken, error = judged.advantage, judged.standard_error
        metrics: Metrics = {"marginal_standard_error": Later(masked_mean, error, mask)} if self.samples else {}
        if self.robust:
            taken, more = self._with_residual(it, taken, log_pi)
            metrics |= more
        metrics |= {"advantage_mean": Later(masked_mean, taken, mask), "advantage_abs": Later(mean_abs, taken, mask)}
        if not self.settings.standardise_advantages:
            return taken if every is None else every, metrics
        if every is None:
            return masked_standardise(taken, it.weights), metrics
        available = it.batch.available[:, :-1]  # their mean under pi is zero already
        square = (every**2 * available).sum(-1) / available.sum(-1)
        return every / masked_mean(square, mask).sqrt().clamp(min=1e-6), metrics

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
