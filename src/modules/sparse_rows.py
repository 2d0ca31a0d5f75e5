"""Inputs that are mostly zero, for a first layer that sees them many times.

On battle maps nine entries of an observation in ten are of units out of sight, hence 0. The rows of a batch go through
a first layer at every epoch and every step of a critic's fit, so that it pays to note once which entries are not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modules import sparse_kernels as kernels

MOST = 0.25  # share of entries that are not 0 from which on a dense product is as fast
WIDE = 32  # narrower rows are not worth it
LOOKED_AT = 64  # rows by which the share is told
LARGE, ALIVE = 1 << 20, 0.8  # entries from which on, and share of columns up to which, it pays to leave columns out


class SparseRows:
    """Rows [..., I] of which few entries are not 0; stands for the tensor where a layer is applied to it.

    Args:
        x: float32 on the CPU.

    Attributes:
        shape: of the tensor.
    """

    def __init__(self, x: Tensor) -> None:
        self.shape = x.shape
        rows = x.flatten(0, -2).contiguous().numpy()
        self._starts = torch.zeros(len(rows) + 1, dtype=torch.int64).numpy()
        kernels.count(rows, self._starts)
        n = int(self._starts[-1]) + 1
        self._columns, self._values = torch.empty(n, dtype=torch.int32).numpy(), torch.empty(n).numpy()
        kernels.gather(rows, self._starts, self._columns, self._values)

    @staticmethod
    def of(x: Tensor) -> Any:
        """The rows, where that is faster; else the tensor itself."""
        if not _has_kernels(x) or x.shape[-1] < WIDE:
            return x
        rows = x.flatten(0, -2)
        some = rows[:: max(1, len(rows) // LOOKED_AT)]
        if not len(some):
            return x
        if int(some.count_nonzero()) <= MOST * some.numel():
            return SparseRows(x)
        return x if x.numel() < LARGE else LiveColumns.of(x)

    def transpose(self, first: int, second: int) -> SparseRows:
        """Exchange the first two axes, of which one has a single entry, so that the rows stay in their order."""
        assert {first, second} == {0, 1}
        assert 1 in self.shape[:2]
        other, shape = object.__new__(SparseRows), list(self.shape)
        vars(other).update(vars(self))
        shape[first], shape[second] = shape[second], shape[first]
        other.shape = torch.Size(shape)
        return other

    def through(self, layer: nn.Linear) -> Tensor:
        """The layer, of which columns beyond I do not count: [N, H], N rows one after another."""
        return _Product.apply(layer.weight, layer.bias, self)

    def times(self, columns: Tensor, bias: Tensor | None = None) -> Tensor:
        """Their product with weights [I', H] whose rows beyond I do not count, plus [H]: [N, H]; without gradient."""
        out = columns.new_empty(len(self._starts) - 1, columns.shape[1])
        offsets = columns.new_zeros(columns.shape[1]) if bias is None else bias.detach()
        weights = columns.detach().contiguous().numpy()
        kernels.product(self._starts, self._columns, self._values, weights, offsets.numpy(), out.numpy())
        return out

    def add_products(self, grad: Tensor, of_columns: Tensor) -> None:
        """Add to ``of_columns`` [I', H] the gradient that follows from that of :meth:`times`, [N, H]."""
        kernels.product_back(self._starts, self._columns, self._values, grad.numpy(), of_columns.numpy())


class LiveColumns:
    """Rows [..., I] of which some columns are 0 throughout (channels in which nobody speaks), without these.

    Args:
        x: the other columns [..., I'].
        columns: int64 [I'], which they are.
        n_columns: I.

    Attributes:
        shape: of the tensor with all columns.
    """

    def __init__(self, x: Tensor, columns: Tensor, n_columns: int) -> None:
        self._x, self._columns = x, columns
        self.shape = torch.Size((*x.shape[:-1], n_columns))

    @staticmethod
    def of(x: Tensor) -> Any:
        """The rows, where that is faster; else the tensor itself."""
        if not _has_kernels(x):
            return x
        rows, live = x.flatten(0, -2).contiguous().numpy(), torch.zeros(x.shape[-1], dtype=torch.uint8)
        kernels.live(rows, live.numpy())
        columns = live.nonzero().squeeze(1)
        if len(columns) > ALIVE * len(live):
            return x
        narrow = x.new_empty(*x.shape[:-1], len(columns))
        kernels.pick(rows, columns.numpy(), narrow.flatten(0, -2).numpy())  # PyTorch's takes ten times as long
        return LiveColumns(narrow, columns, len(live))

    def transpose(self, first: int, second: int) -> LiveColumns:
        """Exchange the first two axes."""
        return LiveColumns(self._x.transpose(first, second), self._columns, self.shape[-1])

    def through(self, layer: nn.Linear) -> Tensor:
        """As :meth:`SparseRows.through`."""
        x, weight = self.narrow(layer.weight)
        return F.linear(x, weight, layer.bias)

    def narrow(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The rows [N, I'] and a weight's columns [O, I'] for them."""
        return self._x.flatten(0, -2), weight.index_select(1, self._columns)


def _has_kernels(x: Tensor) -> bool:
    """Whether kernels read tensors like this one: bytes are not, nor what lies on a device."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, rows: SparseRows) -> Tensor:
        ctx.rows, ctx.n_inputs = rows, weight.shape[1]
        return rows.times(weight.t(), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad.contiguous()
        of_weight = grad.new_zeros(ctx.n_inputs, grad.shape[1])
        ctx.rows.add_products(grad, of_weight)
        return of_weight.t().contiguous(), grad.sum(0) if ctx.needs_input_grad[1] else None, None
