"""The first layer of a network, which reads observations or states as they are stored."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = 1 << 23  # entries that are floats at once: 32 MiB


class FirstLinear(nn.Linear):
    """A linear layer that takes bytes too.

    Images would be four times as large as floats, for every time step of a batch, and again for the backward pass; so
    bytes become floats a few rows at a time. They have no gradient. Parameters and their names are ``nn.Linear``'s.

    Args:
        in_features, out_features, bias: as of ``nn.Linear``.
        unit: what stands for 1 among bytes (``core.kinds.UNIT``).
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, unit: int = 1) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.unit = unit
        self._narrow = in_features < out_features  # so the product for the weights' gradient is faster the other way

    def is_plain(self, x: Tensor) -> bool:
        """Whether rows like these take what ``nn.Linear`` does."""
        return x.dtype != torch.uint8 and x.shape[-1] == self.in_features and self.bias is not None

    def forward(self, x: Tensor) -> Tensor:
        """Rows [N, I], floats or bytes -> floats [N, O]; of narrower rows the entries that are missing count as 0."""
        weight = self.weight if x.shape[-1] == self.in_features else self.weight[:, : x.shape[-1]]
        if x.dtype == torch.float32 and self.bias is not None and self._narrow and torch.is_grad_enabled():
            return torch.addmm(self.bias, x, weight.t().contiguous())
        if x.dtype != torch.uint8:
            return F.linear(x, weight, self.bias)
        return _Bytes.apply(x, weight, self.bias, self.unit)


def as_one_layer(n_inputs: int, *parts: nn.Module) -> None:
    """Initialise the parts of a first layer as one ``nn.Linear`` on all of its inputs together."""
    bound = 1 / math.sqrt(n_inputs)
    for part in parts:
        for parameter in part.parameters():
            nn.init.uniform_(parameter, -bound, bound)


class _Bytes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, unit: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.unit = unit
        columns = (weight / unit).t()
        out = weight.new_empty(len(x), len(weight))
        for rows, part in _parts(x, out):
            torch.mm(rows.to(weight.dtype), columns, out=part)
        return out if bias is None else out.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        grad_weight = grad.new_zeros(grad.shape[1], x.shape[1])
        for rows, part in _parts(x, grad):
            grad_weight.addmm_(part.t(), rows.to(grad.dtype))
        return None, grad_weight.div_(ctx.unit), grad.sum(0) if ctx.needs_input_grad[2] else None, None


def _parts(x: Tensor, other: Tensor) -> Any:
    """Pairs of a few rows each."""
    rows = max(1, CHUNK // x.shape[1])
    return zip(x.split(rows), other.split(rows), strict=True)
