"""What ASAE and the PPO family share: several epochs on each batch, a clip range, a bound on the KL."""

from __future__ import annotations

from operator import getitem

import torch
from pydantic import Field
from torch import Tensor

from controllers.policy import Policy
from core.data import EpisodeBatch, Metrics
from core.metrics import Later
from estimators import surrogates
from estimators.masked import masked_mean
from learners.actor_critic import ActorCriticLearner, ActorCriticSettings
from learners.critics.part import Iteration


class ProximalSettings(ActorCriticSettings):
    """What learners with several epochs on a batch read."""

    eps_clip: float = Field(0.1, gt=0, lt=1, description="Clip range of the ratio (eq. 18 of ASAE's paper).")
    epochs: int = Field(4, ge=1, description="Epochs of the surrogate on each batch.")
    target_kl: float | None = Field(None, gt=0, description="Stop the epochs when the mean KL exceeds this (eq. 17).")


class ProximalLearner(ActorCriticLearner):
    """Several epochs on a batch, as long as the policy stays near the one that gathered it."""

    settings: ProximalSettings

    @property
    def epochs(self) -> int:
        """Passes of the actors over each batch."""
        return self.settings.epochs

    def told(self, it: Iteration, log_prob: Tensor) -> Metrics:
        """Which share of the ratios [B, T, A] has left the clip range, where there is one."""
        if self.surrogate is not None and self.surrogate.name == "policy_gradient":
            return {}
        return {"clip_fraction": Later(_outside, log_prob, it.executed, it.weights, self.settings.eps_clip)}

    def stop(self, it: Iteration, policy: Policy) -> bool:
        """Whether the mean KL[pi_{i+1}, pi_i] has exceeded the bound."""
        if self.settings.target_kl is None:
            return False
        kl = masked_mean(surrogates.kl(policy.frozen()[:, :-1], it.log_pi[:, :-1]), it.batch.mask)
        return bool(kl > self.settings.target_kl)

    def after(self, it: Iteration, *, t_env: int) -> Metrics:
        """How far the policies have moved."""
        return movement(self, it, t_env)


def movement(learner: ActorCriticLearner, it: Iteration, t_env: int) -> Metrics:
    """KL[pi_{i+1}, pi_i] of every agent, their mean, and its sum over an agent's partners (eq. 14)."""
    n_agents = it.log_pi.shape[2]
    per_agent = Later(_divergences, learner, it.batch, it.log_pi, t_env)
    metrics: Metrics = {f"kl_agent_{a}": Later(getitem, per_agent, a) for a in range(n_agents)}
    metrics["kl_mean"] = Later(torch.mean, per_agent)
    metrics["kl_partners"] = Later(_of_partners, per_agent)
    return metrics


def _divergences(learner: ActorCriticLearner, batch: EpisodeBatch, log_pi: Tensor, t_env: int) -> Tensor:
    """Mean KL of the present policies from log_pi [B, T+1, A, U]: [A]."""
    present = learner.controller.log_policy(batch, t_env=t_env)[:, :-1]
    per_decision = surrogates.kl(present, log_pi[:, :-1])  # [B, T, A]
    return torch.stack([masked_mean(part, batch.mask) for part in per_decision.unbind(-1)])


def _of_partners(per_agent: Tensor) -> Tensor:
    """Mean over agents of the sum over the others, of [A]."""
    n = len(per_agent)
    return per_agent.sum() * (n - 1) / n


def _outside(log_prob: Tensor, old: Tensor, weights: Tensor, eps_clip: float) -> Tensor:
    """Which share of the ratios [B, T, A] has left the clip range."""
    return masked_mean((((log_prob - old).exp() - 1).abs() > eps_clip).float(), weights)
