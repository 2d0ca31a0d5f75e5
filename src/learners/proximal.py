"""What ASAE and the PPO family share: several epochs on each batch, a clip range, a bound on the KL."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from core.data import Metrics
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

    def clipped(self, it: Iteration, ratio: Tensor, loss: Tensor) -> tuple[Tensor, Metrics]:
        """A loss [B, T, A], and which share of the ratios [B, T, A] has left the clip range."""
        outside = ((ratio.detach() - 1).abs() > self.settings.eps_clip).float()
        return loss, {"clip_fraction": masked_mean(outside, it.weights)}

    def stop(self, it: Iteration, log_pi: Tensor) -> bool:
        """Whether the mean KL[pi_{i+1}, pi_i] has exceeded the bound."""
        if self.settings.target_kl is None:
            return False
        kl = masked_mean(surrogates.kl(log_pi, it.log_pi[:, :-1]), it.batch.mask)
        return bool(kl > self.settings.target_kl)

    def after(self, it: Iteration, *, t_env: int) -> Metrics:
        """How far the policies have moved."""
        return movement(self, it, t_env)


def movement(learner: ActorCriticLearner, it: Iteration, t_env: int) -> Metrics:
    """KL[pi_{i+1}, pi_i] of every agent, their mean, and its sum over an agent's partners (eq. 14)."""
    with torch.no_grad():
        present = learner.controller.log_policy(it.batch, t_env=t_env)[:, :-1]
        per_decision = surrogates.kl(present, it.log_pi[:, :-1])  # [B, T, A]
        per_agent = [masked_mean(part, it.batch.mask) for part in per_decision.unbind(-1)]
    total = torch.stack(per_agent).sum()
    metrics: Metrics = {f"kl_agent_{a}": value for a, value in enumerate(per_agent)}
    n = len(per_agent)
    metrics["kl_mean"] = total / n
    metrics["kl_partners"] = total * (n - 1) / n  # mean over agents of the sum over the others
    return metrics
