"""Linear layers over many leading axes as one matrix product each.

PyTorch takes a layer's input of three and more axes through a view of the product's result, and a ReLU in place on a
view costs a copy in the backward pass; a slice of a longer tensor even ends in a batched product. Rows avoid both.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer`` on the last axis: [..., I] -> [..., O]."""
    return layer(x.flatten(0, -2)).view(*x.shape[:-1], layer.out_features)


def linear_relu(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer`` on the last axis, then ReLU: [..., I] -> [..., O]."""
    return F.relu(layer(x.flatten(0, -2)), inplace=True).view(*x.shape[:-1], layer.out_features)
