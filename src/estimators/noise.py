"""Random numbers of an exponential distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MANY = 512  # draws from which on four operators are faster than one


def exponential(
    shape: Sequence[int], *, generator: torch.Generator | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Draws E ~ Exp(1); many of them by inversion, E = -log(1 - X) with X uniform in [0, 1).

    That takes a third of ``exponential_``'s time. On the CPU they are the numbers that it draws (in double precision to
    the last unit), and blocks are those of one large draw.
    """
    if math.prod(shape) < MANY:
        return torch.empty(tuple(shape), dtype=dtype, device=device).exponential_(generator=generator)
    uniform = torch.rand(tuple(shape), generator=generator, dtype=torch.float64, device=device)
    return from_uniform(uniform, dtype)


def from_uniform(uniform: Tensor, dtype: torch.dtype) -> Tensor:
    """:func:`exponential` from X, float64 of any shape, which is destroyed."""
    return uniform.neg_().log1p_().neg_().to(dtype)
