"""Log-probabilities of what was done and entropies: what the loss of a policy needs, without those of all actions.

In single precision on the CPU both are one node of the graph, one kernel forward and backward, which sees steps that
really happened alone, and so is the loss itself; otherwise PyTorch's operators do the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from components import decision_kernels as kernels
from components.action_selectors import policy_log_probs
from estimators.masked import masked_mean
from estimators.surrogates import Surrogate, entropy

FORMS = {"policy_gradient": 0, "ppo": 1, "clip": 2}


def decisions(
    logits: Tensor, available: Tensor, actions: Tensor, mask: Tensor, *, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Of ``components.action_selectors.policy_log_probs``, at executed steps.

    Args:
        logits: [B, T, A, U] or more steps.
        available: bool [B, T, A, U] or more steps.
        actions: int64 [B, T, A].
        mask: bool [B, T], steps.
        epsilon: share of the uniform policy.

    Returns:
        log-probabilities of the actions, and entropies: [B, T, A]; anything in padding.
    """
    if epsilon == 0 and logits.device.type == "cpu" and logits.dtype == torch.float32:
        given = (x.contiguous() for x in (available, actions, mask))
        return _Decisions.apply(logits.contiguous(), *given)
    steps = slice(actions.shape[1])
    log_pi = policy_log_probs(logits[:, steps], available[:, steps], epsilon)
    return log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1), entropy(log_pi)


class Improvement(NamedTuple):
    """What a step of the actors minimises, a scalar with gradient, and what it is made of, without.

    Attributes:
        loss: pg_loss less a share of the entropy.
        pg_loss, entropy: means over what counts, scalars.
        log_prob: [B, T, A], of what was done; anything where nothing counts.
    """

    loss: Tensor
    pg_loss: Tensor
    entropy: Tensor
    log_prob: Tensor


def improvement(
    logits: Tensor, available: Tensor, actions: Tensor, weights: Tensor, *, old: Tensor, advantages: Tensor,
    surrogate: Surrogate, entropy_coef: float, epsilon: float,
) -> Improvement:  # fmt: skip
    """The actors' loss.

    Args:
        logits, available, actions, epsilon: as of :func:`decisions`.
        weights: bool, what counts: steps [B, T], or decisions [B, T, A].
        old: [B, T, A], log-probabilities of the actions under the policy that gathered them.
        advantages: [B, T, A].
        surrogate: whose mean is minimised.
        entropy_coef: the entropy's share.
    """
    if epsilon == 0 and logits.device.type == "cpu" and logits.dtype == torch.float32:
        decisive = weights if weights.dim() == 3 else weights.unsqueeze(-1)
        given = (x.contiguous() for x in (available, actions, decisive, old, advantages))
        form = FORMS[surrogate.name], np.float32(surrogate.clip_range), np.float32(entropy_coef)
        return Improvement(*_Improvement.apply(logits.contiguous(), *given, form))
    log_prob, spread = decisions(logits, available, actions, weights, epsilon=epsilon)
    return improvement_of(log_prob, spread, weights, surrogate(log_prob, old, advantages), entropy_coef)


def improvement_of(
    log_prob: Tensor, spread: Tensor, weights: Tensor, surrogate: Tensor, entropy_coef: float
) -> Improvement:
    """The same from log-probabilities, entropies and a surrogate of every decision: [B, T, A] each."""
    pg_loss, mean = masked_mean(surrogate, weights), masked_mean(spread, weights)
    return Improvement(pg_loss - entropy_coef * mean, pg_loss.detach(), mean.detach(), log_prob.detach())


class _Decisions(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, available: Tensor, actions: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        log_prob, spread, norm = (logits.new_empty(actions.shape) for _ in range(3))
        given = [x.detach().numpy() for x in (logits, available, actions, mask, log_prob, spread, norm)]
        kernels.decisions(*given)
        ctx.save_for_backward(logits, available, actions, mask, spread, norm)
        return log_prob, spread

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_log_prob: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:
        saved = [x.detach().numpy() for x in ctx.saved_tensors]
        out = torch.zeros_like(ctx.saved_tensors[0])
        given = [x.contiguous().numpy() for x in (of_log_prob, of_entropy)]
        kernels.decisions_back(*given, *saved, out.numpy())
        return out, None, None, None


class _Improvement(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, available: Tensor, actions: Tensor, weights: Tensor, old: Tensor, advantages: Tensor,
        form: tuple[int, np.float32, np.float32],
    ) -> tuple[Tensor, ...]:  # fmt: skip
        log_prob, of_logits = torch.zeros_like(old), torch.zeros_like(logits)
        means = np.empty(3)
        given = [x.detach().numpy() for x in (logits, available, actions, weights, old, advantages)]
        kernels.surrogate(*given, *form, log_prob.numpy(), of_logits.numpy(), means)
        pg_loss, entropy, ctx.n = means.tolist()
        ctx.save_for_backward(of_logits)
        told = logits.new_tensor((pg_loss - float(form[2]) * entropy, pg_loss, entropy)).unbind()
        ctx.mark_non_differentiable(*told[1:], log_prob)
        return *told, log_prob

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (of_logits,) = ctx.saved_tensors
        return of_logits * (grad / ctx.n), *(None,) * 6
