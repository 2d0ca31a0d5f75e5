"""Linear layers over many leading axes as one matrix product each.

PyTorch takes a layer's input of three and more axes through a view of the product's result, and a ReLU in place on a
view costs a copy in the backward pass; a slice of a longer tensor even ends in a batched product. Rows avoid both.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from modules.sparse_rows import LiveColumns, SparseRows


def linear(layer: nn.Linear, x: Tensor | SparseRows | LiveColumns) -> Tensor:
    """``layer`` on the last axis: [..., I] -> [..., O]."""
    return _through(layer, x).view(*x.shape[:-1], layer.out_features)


def linear_relu(layer: nn.Linear, x: Tensor | SparseRows | LiveColumns) -> Tensor:
    """``layer`` on the last axis, then ReLU: [..., I] -> [..., O]."""
    return F.relu(_through(layer, x), inplace=True).view(*x.shape[:-1], layer.out_features)


def _through(layer: nn.Linear, x: Tensor | SparseRows | LiveColumns) -> Tensor:
    return x.through(layer) if isinstance(x, SparseRows | LiveColumns) else layer(x.flatten(0, -2))
