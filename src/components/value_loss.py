"""The mean loss of state values.

In single precision on the CPU it is one node of the graph, one kernel for the loss and its gradient; otherwise
PyTorch's operators do the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from components.value_loss_kernels import value_loss as kernel
from estimators.masked import masked_mean
from estimators.value_losses import clipped, squared


def value_loss(
    value: Tensor, target: Tensor, old: Tensor, weights: Tensor, *, clip_range: float | None, delta: float | None
) -> Tensor:
    """Mean of ``estimators.value_losses.clipped``, or without a clip range of ``squared``.

    Args:
        value: [B, T, A], with gradient.
        target, old: [B, T, A], G and V before the update.
        weights: bool [B, T, A], what counts.
        clip_range, delta: as there.

    Returns:
        scalar; 0 where nothing counts.
    """
    if value.device.type == "cpu" and value.dtype == target.dtype == old.dtype == torch.float32:
        form = [np.float32(-1 if x is None else x) for x in (clip_range, delta)]
        return _ValueLoss.apply(value, *(x.contiguous() for x in (target, old, weights)), form)
    if clip_range is None:
        return masked_mean(squared(value - target, delta), weights)
    return masked_mean(clipped(value, target, old, clip_range=clip_range, delta=delta), weights)


class _ValueLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, value: Tensor, target: Tensor, old: Tensor, weights: Tensor, form: list[np.float32]
    ) -> Tensor:  # fmt: skip
        value = value.contiguous()
        slopes, means = torch.empty_like(value), np.empty(2)
        kernel(
            *(x.detach().view(-1).numpy() for x in (value, target, old, weights)), *form, slopes.view(-1).numpy(), means
        )
        ctx.save_for_backward(slopes)
        loss, ctx.n = means.tolist()
        return value.new_tensor(loss)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return slopes * (grad / ctx.n), None, None, None, None
