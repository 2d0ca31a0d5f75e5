"""Attention among the tokens of a team.

PyTorch's is made for hundreds of tokens: with three or eight it takes three to six times as long as the kernels here,
which do the work in single precision on the CPU.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modules.transformer.attention_kernels import attention, attention_back


def attend(query: Tensor, memory: Tensor, hidden: Tensor | None, n_heads: int) -> Tensor:
    """Mix values by the softmax of query key^T / sqrt(D / heads), head by head.

    Args:
        query: [N, Q, D].
        memory: [N, K, 2 D], keys and values.
        hidden: bool [Q, K], where a token does not look; not all of a row.
        n_heads: into which D is divided.

    Returns:
        [N, Q, D]
    """
    plain = query.dtype == torch.float32 and query.device.type == "cpu" and not torch.jit.is_tracing()
    if plain:
        if hidden is None:
            hidden = torch.zeros(query.shape[1], memory.shape[1], dtype=torch.bool)
        given = query.contiguous(), memory.contiguous(), hidden, n_heads
        return _Attention.apply(*given) if torch.is_grad_enabled() else _forward(*given)[0]

    def heads(x: Tensor) -> Tensor:  # [N, K, D] -> [N, heads, K, D / heads]
        return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)

    key, value = (heads(part) for part in memory.chunk(2, -1))
    seen = None if hidden is None else ~hidden
    mixed = F.scaled_dot_product_attention(heads(query), key, value, attn_mask=seen)
    return mixed.transpose(1, 2).flatten(2)


def _scale(query: Tensor, n_heads: int) -> np.float32:
    return np.float32(1 / math.sqrt(query.shape[-1] // n_heads))


def _forward(query: Tensor, memory: Tensor, hidden: Tensor, n_heads: int) -> tuple[Tensor, Tensor]:
    """What is mixed, and the shares."""
    out, shares = torch.empty_like(query), query.new_empty(len(query), n_heads, query.shape[1], memory.shape[1])
    given = [x.detach().numpy() for x in (query, memory, hidden)]
    attention(*given, _scale(query, n_heads), shares.numpy(), out.numpy())
    return out, shares


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, memory: Tensor, hidden: Tensor, n_heads: int) -> Tensor:
        out, shares = _forward(query, memory, hidden, n_heads)
        ctx.save_for_backward(query, memory, shares)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, memory, shares = ctx.saved_tensors
        found = torch.zeros_like(query), torch.zeros_like(memory)
        slopes, scale = grad.new_empty(memory.shape[1]), _scale(query, shares.shape[1])
        given = [x.detach().numpy() for x in (grad.contiguous(), query, memory)]
        attention_back(*given, scale, *(x.numpy() for x in (shares, *found, slopes)))
        return *found, None, None
