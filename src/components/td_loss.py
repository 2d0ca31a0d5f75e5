"""The loss of values that are chosen and summed, or each agent's own, as one node of autograd's graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from components.td_kernels import squared_errors


def has_kernel(q: Tensor, target: Tensor) -> bool:
    """Whether :func:`td_loss` takes such tensors: single precision on the CPU."""
    fits = q.dtype == target.dtype == torch.float32 and q.device.type == "cpu"
    return fits and target.numel() > 0 and target.shape[-1] in (1, q.shape[-2])


def td_loss(q: Tensor, actions: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of (value - target)^2, and the values, without gradient, as the target: [P, 1] or [P, A].

    Args:
        q: [P, A, U].
        actions: int64 [P, A].
        target: [P, 1], of the sum over agents; or [P, A], of every agent's own.
    """
    return _Loss.apply(q, actions, target)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, actions: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        target = target.contiguous()
        made, of_q = torch.empty_like(target), torch.zeros_like(q, memory_format=torch.contiguous_format)
        arrays = (x.contiguous().numpy() for x in (q, actions, target, made, of_q))
        loss = squared_errors(*arrays) / target.numel()
        ctx.save_for_backward(of_q)
        ctx.mark_non_differentiable(made)
        return torch.tensor(loss, dtype=q.dtype), made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (of_q,) = ctx.saved_tensors
        return of_q * grad, None, None
