"""HATRPO (Kuba et al. 2022): a trust region step of one agent after another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from components.trust_region import Fisher, FlatParameters, line_search, natural_step
from core.data import Metrics
from estimators import surrogates
from estimators.masked import masked_mean
from learners.base import LearnerSettings
from learners.critics.part import Iteration
from learners.proximal import movement
from learners.sequential import SequentialLearner, SequentialSettings


class HATRPOSettings(SequentialSettings):
    """What HATRPO reads; lr is the critic's where critic_lr is not given, and that of a warm start."""

    kl_threshold: float = Field(0.01, gt=0, description="Largest mean KL[pi_i, pi] of an agent's step.")
    conjugate_steps: int = Field(10, ge=1, description="Most steps of the conjugate gradient.")
    damping: float = Field(0.1, ge=0, description="Added to the diagonal of the KL's Hessian.")
    line_search_tries: int = Field(10, ge=1, description="How many lengths of the step are tried.")
    line_search_factor: float = Field(0.8, gt=0, lt=1, description="Each length is the one before times this.")
    line_search_accept: float = Field(
        0.5, ge=0, le=1, description="Least improvement that is accepted, as a share of what the gradient promises."
    )


@dataclass(frozen=True)
class Judgement:
    """What a policy does to the data of another.

    Attributes:
        gain: scalar, the mean of r M A, and the entropy bonus.
        entropy: scalar.
        kl: scalar, the mean of KL[pi_i, pi].
    """

    gain: Tensor
    entropy: Tensor
    kl: Tensor


class HATRPOLearner(SequentialLearner):
    """One step per agent: up the natural gradient of r M A, within a bound on the true KL, or none."""

    Settings: type[LearnerSettings] = HATRPOSettings
    settings: HATRPOSettings

    def turn(self, it: Iteration, advantages: Tensor, *, t_env: int) -> Metrics:
        """One group's step."""
        assert it.group is not None, "a turn is one group's"
        s, coef = self.settings, self.entropy_coef(t_env)
        parameters = FlatParameters(self.controller.agents.nets[it.group].parameters())

        def policy() -> Tensor:
            return self.log_policy(it, t_env=t_env)[:, :-1]

        weights = it.weights if it.weights.dim() == 3 else it.weights.unsqueeze(-1)
        product = Fisher(parameters, policy, weights, damping=s.damping)
        before = self.judge(it, product.log_pi, advantages, coef)
        gradient = parameters.gradient(before.gain, keep=True)
        step = natural_step(product, gradient, bound=s.kl_threshold, steps=s.conjugate_steps)
        self.actor_optimizer.groups[it.group].note(-before.gain.detach(), gradient.norm())
        promised, start, after = gradient.dot(step), before.gain.detach(), before

        def accepts(share: float) -> bool:
            nonlocal after
            with torch.no_grad():
                after = self.judge(it, policy(), advantages, coef)
            gained = after.gain - start
            enough = gained >= s.line_search_accept * share * promised
            return bool((after.kl <= s.kl_threshold) & enough & (gained > 0))

        tried = line_search(parameters, step, accepts, tries=s.line_search_tries, factor=s.line_search_factor)
        return {
            "pg_loss": -start,
            "entropy": before.entropy.detach(),
            "agent_grad_norm": gradient.norm(),
            "step_accepted": float(tried is not None),
            "step_share": 0.0 if tried is None else s.line_search_factor**tried,
            "step_kl": 0.0 if tried is None else after.kl,
        }

    def judge(self, it: Iteration, log_pi: Tensor, advantages: Tensor, entropy_coef: float) -> Judgement:
        """A policy [B, T, A', U] on the iteration's data."""
        entropy = masked_mean(surrogates.entropy(log_pi), it.weights)
        gain = masked_mean(it.ratio(log_pi) * advantages, it.weights) + entropy_coef * entropy
        return Judgement(gain, entropy, masked_mean(surrogates.kl(it.log_pi[:, :-1], log_pi), it.weights))

    def after(self, it: Iteration, *, t_env: int) -> Metrics:
        """How far the policies have moved."""
        return movement(self, it, t_env)
