"""Reductions that see real steps only, and log-probabilities that see available actions only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from estimators.softmax import log_softmax


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the entries whose step (or decision) counts; the others may be anything, infinite too.

    Args:
        x: [B, T, ...].
        mask: bool [B, T] steps, or [B, T, A] decisions; None where all count.

    Returns:
        scalar; 0 where nothing happened.
    """
    if mask is None:
        return x.mean()
    padding = ~mask.reshape(mask.shape + (1,) * (x.dim() - mask.dim()))
    per_step = x.numel() // max(mask.numel(), 1)
    return x.masked_fill(padding, 0.0).sum() / (mask.sum() * per_step).clamp(min=1)


def mean_abs(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean magnitude; the arguments are those of :func:`masked_mean`."""
    return masked_mean(x.abs(), mask)


def mean_error(x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of |x - y|; the arguments are those of :func:`mean_square`."""
    return mean_abs(x - y, mask)


def mean_square(x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (x - y)^2; the arguments are those of :func:`masked_mean`, of one shape or to be expanded to it."""
    if mask is None and x.shape == y.shape:
        return F.mse_loss(x, y)  # one operator each way
    return masked_mean((x - y) ** 2, mask)


def masked_standardise(x: Tensor, mask: Tensor) -> Tensor:
    """Subtract the mean and divide by the (population) deviation of the entries that count.

    Args:
        x: [B, T, ...].
        mask: as in :func:`masked_mean`.

    Returns:
        [B, T, ...]; (x - mean) / (deviation + 1e-5).
    """
    centred = x - masked_mean(x, mask)
    return centred / (masked_mean(centred**2, mask).sqrt() + 1e-5)


def masked_log_softmax(logits: Tensor, available: Tensor) -> Tensor:
    """Log-probabilities over available actions.

    Args:
        logits: [..., U].
        available: bool [..., U], at least one per row.

    Returns:
        [..., U]; unavailable actions get a huge negative but finite number, so that p * log p is 0 and no NaN arises.
    """
    return log_softmax(logits.masked_fill(~available, torch.finfo(logits.dtype).min / 4))


def likeliest(log_pi: Tensor, mask: Tensor) -> Tensor:
    """Mean probability of the likeliest actions: log-probabilities [B, T, ..., U]; mask as in :func:`masked_mean`."""
    return masked_mean(log_pi.amax(-1).exp(), mask)
