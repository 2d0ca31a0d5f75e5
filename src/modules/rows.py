"""Linear layers over many leading axes as one matrix product each.

PyTorch takes a layer's input of three and more axes through a view of the product's result, and a ReLU in place on a
view costs a copy in the backward pass; a slice of a longer tensor even ends in a batched product. Rows avoid both.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from modules.first_linear import FirstLinear
from modules.layers import layers
from modules.sparse_rows import LiveColumns, SparseRows


def linear(layer: nn.Linear, x: Tensor | SparseRows | LiveColumns) -> Tensor:
    """``layer`` on the last axis: [..., I] -> [..., O]."""
    return _through(layer, x).view(*x.shape[:-1], layer.out_features)


def linear_relu(layer: nn.Linear, x: Tensor | SparseRows | LiveColumns) -> Tensor:
    """``layer`` on the last axis, then ReLU: [..., I] -> [..., O]."""
    return F.relu(_through(layer, x), inplace=True).view(*x.shape[:-1], layer.out_features)


def mlp(
    x: Tensor | SparseRows | LiveColumns, first: FirstLinear, *linears: nn.Linear, rectified: bool = False
) -> Tensor:
    """Linear layers on the last axis, a ReLU behind each but the last: [..., I] -> [..., O].

    Args:
        x: what ``first`` takes.
        first, linears: the layers.
        rectified: a ReLU behind the last one too.
    """
    shape = (*x.shape[:-1], linears[-1].out_features if linears else first.out_features)
    if isinstance(x, Tensor) and first.is_plain(x):
        return layers(x.flatten(0, -2), first, *linears, rectified=rectified).view(shape)
    out = _through(first, x)
    if linears:
        out = layers(F.relu(out, inplace=True), *linears, rectified=rectified)
    elif rectified:
        out = F.relu(out, inplace=True)
    return out.view(shape)


def _through(layer: nn.Linear, x: Tensor | SparseRows | LiveColumns) -> Tensor:
    return x.through(layer) if isinstance(x, SparseRows | LiveColumns) else layer(x.flatten(0, -2))
