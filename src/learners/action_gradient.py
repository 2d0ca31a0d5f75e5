"""What learners share whose actors follow a critic's gradient in their actions: settings, rows, joint actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from components.action_selectors import policy_log_probs
from controllers.basic_controller import EVERY, BasicController
from core.data import EpisodeBatch, Metrics
from core.metrics import Later
from estimators.masked import likeliest, masked_mean
from estimators.surrogates import entropy
from learners.replayed import ReplaySettings

BEFORE, BEHIND = slice(None, -1), slice(1, None)


class ActionGradientSettings(ReplaySettings):
    """What learners read whose actors follow a critic's gradient in their actions."""

    batch_steps: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Steps per update instead of batch_size episodes, where networks have no memory.",
    )
    critic_lr: float | None = Field(None, gt=0, description="The critic's learning rate; null is the actor's lr.")
    critic_hidden_dim: int = Field(64, ge=1, description="Width of the critic's hidden layers.")
    gumbel_temperature: float = Field(
        1.0, ge=1e-6, description="Temperature of the Gumbel-softmax of the actors' draws."
    )
    target_policy: Literal["sample", "greedy"] = Field(
        "sample", description="The next actions in targets: draws from the lagging policies, or their best actions."
    )
    logit_penalty: float = Field(0.001, ge=0, description="Weight of the mean square of the policies' logits.")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What networks see of a batch, put together once for all that is asked of them.

    Attributes:
        batch: the batch.
        inputs: of the actors, [B, T+1, A, I].
        own: [B, T+1, A, O'], an agent's own part.
        shared: [B, T+1, S], what all agents share.
    """

    batch: EpisodeBatch
    inputs: Tensor
    own: Tensor
    shared: Tensor


def behind(controller: BasicController, agents: Any, batch: EpisodeBatch, inputs: Tensor) -> Tensor:
    """What networks like the controller's agents say of the rows behind the steps: [B, T, A, U].

    Args:
        controller: whose inputs these are.
        agents: the networks, e.g. those that lag.
        batch: whose steps they are.
        inputs: [B, T+1, A, I].
    """
    rows = EVERY if controller.agents.recurrent else BEHIND
    return controller.values(agents, inputs, batch, rows)[:, -batch.n_steps :]


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """One-hot actions of several teams, [..., A_k, U_k], as of one: [..., sum of A_k, largest U_k]."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.shape[-1] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[-1])) for part in parts], -2)


def own_beside(own: Tensor, supposed: Tensor) -> Tensor:
    """[B, T, A, U] in place of what agents suppose of themselves in [B, T, A, A, U]."""
    own_place = torch.eye(own.shape[2], dtype=torch.bool, device=own.device).unsqueeze(-1)
    return torch.where(own_place, own.unsqueeze(2), supposed)


def decision_weights(batch: EpisodeBatch, n_policies: int) -> Tensor:
    """Weights of decisions in the actors' objective: [B, T, A], of sum 1 where every sub-policy was played.

    Every sub-policy of every agent counts 1 / (K A) of it, in equal parts of the steps in which it was played (eq. 9).
    """
    real = batch.mask.unsqueeze(-1).expand(*batch.mask.shape, batch.actions.shape[-1]).float()
    if n_policies == 1 or batch.policies is None:
        return real / real.sum().clamp(min=1)
    played = F.one_hot(batch.policies, n_policies).to(real.dtype)  # [B, A, K]
    steps = torch.einsum("bta,bak->ak", real, played).clamp(min=1)
    return real * (played / steps).sum(-1).unsqueeze(1) / (n_policies * real.shape[-1])


def of_gradient(x: Tensor, factor: Tensor) -> Tensor:
    """x itself, through which the gradient passes so many times as large."""
    fixed = x.detach()
    return fixed + factor * (x - fixed)


def policy_metrics(logits: Tensor, available: Tensor, mask: Tensor) -> Metrics:
    """What is told of policies by logits [B, T, A, U], over steps bool [B, T]."""
    log_pi = Later(policy_log_probs, logits, available, 0.0)
    return {"entropy": Later(_entropy, log_pi, mask), "pi_max": Later(likeliest, log_pi, mask)}


def _entropy(log_pi: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(entropy(log_pi), mask)


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network, but not into it."""
    net.requires_grad_(False)
    try:
        yield
    finally:
        net.requires_grad_(True)
