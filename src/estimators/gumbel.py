"""Draws of discrete actions through which gradients pass."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from estimators.noise import exponential
from estimators.softmax import softmax


def gumbel_softmax(
    logits: Tensor, available: Tensor, *, temperature: float, generator: torch.Generator | None = None
) -> Tensor:
    """Straight-through Gumbel-softmax (Jang et al. 2017): a one-hot draw, the gradient of y = softmax((l + g) / tau).

    Args:
        logits: [..., U].
        available: bool [..., U], at least one per row; other actions have neither value nor gradient.
        temperature: tau.
        generator: of the Gumbel noise g; None is none, so that the best action is taken.

    Returns:
        [..., U], exactly one-hot (the first of equals).
    """
    noisy = logits
    if generator is not None:  # -log E with E ~ Exp(1) is Gumbel
        noise = exponential(logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
        noisy = logits - noise.clamp_(min=torch.finfo(logits.dtype).tiny).log_()
    noisy = noisy.masked_fill(~available, -torch.inf)
    hard = hard_of(noisy)
    if not noisy.requires_grad:
        return hard
    soft = softmax(noisy / temperature)
    return hard + (soft - soft.detach())


def hard_of(values: Tensor) -> Tensor:
    """One-hot at the greatest value, the first of equals: [..., U] -> [..., U]."""
    return F.one_hot(values.argmax(-1), values.shape[-1]).to(values.dtype)
