"""ASAE: approximatively synchronous advantage estimation (Wan, Song, Lan and Zheng, arXiv 2012.03488)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from controllers.asae_controller import ASAEController
from controllers.policy import Policy
from core.data import Metrics, TeamSpec
from core.errors import UserError
from core.memory import amount, machine_memory
from core.metrics import Later
from estimators import surrogates
from estimators.credit import (
    Marginal,
    exact_marginal,
    joint_actions_of_partners,
    partner_probabilities,
)
from estimators.masked import masked_mean
from estimators.surrogates import Surrogate
from learners.counterfactual import CounterfactualLearner, CounterfactualSettings
from learners.critics.joint_q import JointQ
from learners.critics.part import Iteration, JointInputs, Judged
from learners.proximal import ProximalLearner, ProximalSettings

MOST = 100_000  # joint actions whose enumeration is still worth trying


class ASAESettings(CounterfactualSettings, ProximalSettings):
    """What ASAE reads beside what COMA reads; the number of samples is the controller's."""

    surrogate: Literal["ppo", "clip"] = Field("ppo", description="PPO's min(...), or eq. 18 as printed.")
    marginal: Literal["mc", "exact"] = Field("mc", description="Marginal over samples (eq. 10) or enumerated (eq. 8).")
    exact_limit: int = Field(1024, ge=1, description="Most joint actions of the partners that marginal=exact takes.")
    own_action: Literal["sampled", "expected"] = Field(
        "sampled", description="Surrogate at the executed own action, or weighted over all of them by pi_i."
    )
    resync: bool = Field(False, description="Re-estimate the marginal under the partners' present policies each epoch.")


class ASAELearner(ProximalLearner, CounterfactualLearner):
    """Marginal advantages under the partners' policies, optimised as PPO (eqs. 10 and 18)."""

    Settings = ASAESettings
    controller: ASAEController
    critic: JointQ
    settings: ASAESettings
    samples = True

    def __init__(self, spec: TeamSpec, settings: ASAESettings, controller: ASAEController, **others: Any) -> None:
        super().__init__(spec, settings, controller, **others)
        if not isinstance(controller, ASAEController):
            raise UserError("learner=asae_learner needs mac=asae_mac: its controller draws the joint samples.")
        if settings.own_action == "expected" and settings.advantage != "critic":
            raise UserError(
                "own_action=expected needs advantages of all own actions, but the residual of "
                f"advantage={settings.advantage} is of the executed one: give own_action=sampled, or advantage=critic."
            )
        if settings.marginal == "exact":
            self._check_combinations(spec.n_actions ** (spec.n_agents - 1))
        self._fits = 0  # steps that memory has room for
        self.enumerated: Tensor | None = None
        if settings.marginal == "exact":
            self.enumerated = joint_actions_of_partners(spec.n_agents, spec.n_actions).to(self.device)

    def _check_combinations(self, number: int) -> None:
        limit = self.settings.exact_limit
        if number > min(limit, MOST):
            most = f"exact_limit={limit}" if limit <= MOST else f"the {MOST:,} that are worth trying"
            raise UserError(
                f"marginal=exact would enumerate {number} joint actions of the partners per agent and step, more than "
                f"{most}: use marginal=mc" + (", or raise exact_limit." if number <= MOST else ".")
            )

    def _check_memory(self, n_steps: int) -> None:
        """Refuse what the system would end by force instead of a message: its pieces fit into memory, all do not."""
        if n_steps <= self._fits:
            return
        spec, memory = self.spec, machine_memory()
        each = 2 * self.settings.critic_hidden_dim + spec.n_actions  # two hidden layers and Q, for each joint action
        needed = 4 * n_steps * spec.n_agents * spec.n_actions ** (spec.n_agents - 1) * each
        if memory is not None and needed > memory:
            raise UserError(
                f"marginal=exact takes about {amount(needed)} for {n_steps:,} steps of {spec.n_agents} agents at once, "
                f"more than the {amount(memory)} that this process may have: use marginal=mc, or lower batch_size_run."
            )
        self._fits = n_steps

    def joint_actions(self, log_pi: Tensor, executed: Tensor | None, real: Tensor | None = None) -> Tensor:
        """m joint samples per state: int64 [B, T, M, A]."""
        return self.controller.sample_joint(log_pi, executed=executed, real=real)

    def evaluate(
        self, inputs: JointInputs, pi: Tensor, partners: Tensor, executed: Tensor | None
    ) -> tuple[Marginal, Tensor]:
        """Marginal advantages over samples (eq. 10) or by enumeration (eq. 8)."""
        if self.enumerated is None:
            return super().evaluate(inputs, pi, partners, executed)
        self._check_memory(inputs.real.numel())
        q = self.critic.enumerate(inputs, self.enumerated)  # [B, T, A, K, U]
        result = exact_marginal(q, partner_probabilities(partners.exp(), self.enumerated), pi)
        if executed is None:
            return result, q[..., 0, :]
        return result, self.critic.q(inputs, executed.unsqueeze(2)).squeeze(3)

    def judge_taken(
        self, inputs: JointInputs, pi: Tensor, partners: Tensor, executed: Tensor | None, actions: Tensor
    ) -> Judged:
        """As of :class:`CounterfactualLearner`, over samples or by enumeration."""
        if self.enumerated is None:
            return super().judge_taken(inputs, pi, partners, executed, actions)
        return Judged.of(*self.evaluate(inputs, pi, partners, executed), actions)

    @property
    def of_all(self) -> bool:
        """For the mean over own actions too."""
        return super().of_all or self.settings.own_action == "expected"

    @property
    def surrogate(self) -> Surrogate | None:
        """That of the settings (eq. 18), where executed own actions alone count."""
        s = self.settings
        return None if s.own_action == "expected" else Surrogate(s.surrogate, s.eps_clip)

    def objective(self, it: Iteration, policy: Policy, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """The clipped surrogate of every agent (eq. 18): [B, T, A]."""
        s, old = self.settings, it.log_pi[:, :-1]
        if s.own_action != "expected":
            return super().objective(it, policy, advantages)
        ratio = (policy.log_pi[:, : it.batch.n_steps] - old).masked_fill(~it.batch.available[:, :-1], 0.0).exp()
        loss = (old.exp() * surrogates.SURROGATES[s.surrogate](ratio, advantages, s.eps_clip)).sum(-1)
        return loss, {"clip_fraction": Later(_clipped, ratio, old, it.weights, s.eps_clip)}

    def recredit(self, epoch: int) -> bool:
        """Resynchronise: eq. 11 without the approximation pi_{i+1} ~ pi_i."""
        return self.settings.resync


def _clipped(ratio: Tensor, old: Tensor, weights: Tensor, eps_clip: float) -> Tensor:
    """Which share has left the clip range: ratios and log-probabilities of all own actions [B, T, A, U]."""
    return masked_mean((old.exp() * ((ratio - 1).abs() > eps_clip)).sum(-1), weights)
