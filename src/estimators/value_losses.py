"""Losses of a state value, per entry and not yet reduced."""

from __future__ import annotations

import torch
from torch import Tensor


def squared(error: Tensor, delta: float | None = None) -> Tensor:
    """e^2, or with ``delta`` Huber's loss: e^2 / 2 up to |e| = delta, then delta (|e| - delta / 2) (Huber 1964)."""
    if delta is None:
        return error**2
    size = error.abs()
    return torch.where(size <= delta, error**2 / 2, delta * (size - delta / 2))


def clipped(value: Tensor, target: Tensor, old: Tensor, *, clip_range: float, delta: float | None) -> Tensor:
    """max(l(V - G), l(V_old + clip(V - V_old, -eps, eps) - G)): PPO's value loss (Schulman et al. 2017's code).

    Args:
        value, target, old: V with gradient, G, and V before the update; any matching shapes.
        clip_range: eps.
        delta: of :func:`squared`.
    """
    near = old + (value - old).clamp(-clip_range, clip_range)
    return torch.maximum(squared(value - target, delta), squared(near - target, delta))
