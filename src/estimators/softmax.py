"""Softmax over a last axis of few entries, as actions are."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SHORT = 16  # entries of a CPU's vector: PyTorch takes shorter rows entry by entry, seven times as long as columns
FEW = 512  # entries in all, that are not worth a copy


def softmax(x: Tensor) -> Tensor:
    """``torch.softmax`` over the last axis: [..., U] -> [..., U]."""
    return _by_columns(torch.softmax, x)


def log_softmax(x: Tensor) -> Tensor:
    """``torch.log_softmax`` over the last axis: [..., U] -> [..., U]."""
    return _by_columns(torch.log_softmax, x)


def probabilities(log_pi: Tensor) -> Tensor:
    """``log_pi.exp()``; what is not available, hugely negative, is 0 at once: it takes ``exp`` fifty times as long."""
    if log_pi.numel() < FEW or log_pi.device.type != "cpu":
        return log_pi.exp()
    least = math.log(torch.finfo(log_pi.dtype).tiny)
    return log_pi.clamp(min=least).exp() * (log_pi >= least)


def _by_columns(function: Callable[[Tensor, int], Tensor], x: Tensor) -> Tensor:
    if x.shape[-1] >= SHORT or x.numel() < FEW or x.device.type != "cpu":
        return function(x, -1)
    return function(x.movedim(-1, 0), 0).movedim(0, -1).contiguous()
