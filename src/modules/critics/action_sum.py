"""The first layer of a critic of actions behind its products, and its ReLU, as one node of autograd's graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modules.critics.action_kernels import sum_backward, sum_forward


def action_sum(base: Tensor, own: Tensor, change: Tensor | None = None, columns: Tensor | None = None) -> Tensor:
    """relu(base + own + sum_u change_u columns_u): [P, A, H].

    Args:
        base: [P, H], of every step.
        own: [P, A, H], of every agent; or [1, A, H], the same at all steps.
        change: [P, A, U], how far its action is another one than in ``base``; None is not at all.
        columns: [A, U, H], what each of its actions adds; given with ``change``.
    """
    if base.dtype == torch.float32 and base.device.type == "cpu":
        if change is None or columns is None:
            change, columns = base.new_empty(0, own.shape[1], 0), base.new_empty(own.shape[1], 0, base.shape[1])
        return _Sum.apply(*(x.contiguous() for x in (base, own, change, columns)))
    total = base.unsqueeze(1) + own
    return F.relu(total if change is None else total + torch.einsum("pau,auh->pah", change, columns))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, base: Tensor, own: Tensor, change: Tensor, columns: Tensor) -> Tensor:
        out = base.new_empty(len(base), *own.shape[1:])
        sum_forward(*(x.numpy() for x in (base, own, change, columns, out)))
        ctx.save_for_backward(out, change, columns)
        ctx.n_own = len(own)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, change, columns = ctx.saved_tensors
        _, wants_own, wants_change, wants_columns = ctx.needs_input_grad
        of_base, of_change = grad.new_empty(len(out), out.shape[2]), torch.empty_like(change)
        of_own = grad.new_zeros(ctx.n_own * wants_own, *out.shape[1:])
        of_columns = columns.new_zeros(len(columns) * wants_columns, *columns.shape[1:])
        scratch = grad.new_empty(out.shape[2])
        arrays = (out, change, columns, grad.contiguous(), of_base, of_own, of_change, of_columns, scratch)
        sum_backward(*(x.numpy() for x in arrays))
        kept = ((of_own, wants_own), (of_change, wants_change), (of_columns, wants_columns))
        return of_base, *(x if wanted else None for x, wanted in kept)
