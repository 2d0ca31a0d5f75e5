"""Log-probabilities of what was done and entropies: what the loss of a policy needs, without those of all actions.

In single precision on the CPU both are one node of the graph, one kernel forward and backward, which sees steps that
really happened alone; otherwise PyTorch's operators do the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from components import decision_kernels as kernels
from components.action_selectors import policy_log_probs
from estimators.surrogates import entropy


def decisions(
    logits: Tensor, available: Tensor, actions: Tensor, mask: Tensor, *, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Of ``components.action_selectors.policy_log_probs``, at executed steps.

    Args:
        logits: [B, T+1, A, U].
        available: bool [B, T+1, A, U].
        actions: int64 [B, T, A].
        mask: bool [B, T], steps.
        epsilon: share of the uniform policy.

    Returns:
        log-probabilities of the actions, and entropies: [B, T, A]; anything in padding.
    """
    if epsilon == 0 and logits.device.type == "cpu" and logits.dtype == torch.float32:
        given = (x.contiguous() for x in (available, actions, mask))
        return _Decisions.apply(logits.contiguous(), *given)
    log_pi = policy_log_probs(logits[:, :-1], available[:, :-1], epsilon)
    return log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1), entropy(log_pi)


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
