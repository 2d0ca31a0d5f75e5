"""Linear layers with ReLUs between them as one node of autograd's graph.

At the sizes of this field (64 units, some hundred rows) the graph's bookkeeping takes as long as the products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modules.layer_kernels import relu_backward

VECTOR = 16  # floats


def layers(x: Tensor, *linears: nn.Linear, rectified: bool = False) -> Tensor:
    """Rows through linear layers, a ReLU behind each but the last: [N, I] -> [N, O].

    Args:
        x: floats.
        linears: with biases.
        rectified: a ReLU behind the last one too.
    """
    fast = x.dtype == torch.float32 and x.device.type == "cpu" and not torch.jit.is_tracing()
    parameters = []
    for layer in linears:
        own = layer._parameters  # as attributes they are looked for in three places each
        parameters += [own["weight"], own["bias"]]
    if fast and torch.is_grad_enabled():
        return _Layers.apply(x, rectified, *parameters)
    return _forward(x, rectified, parameters)[-1]


def _forward(x: Tensor, rectified: bool, parameters: Any) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last."""
    outs, last = [x], len(parameters) - 2
    for k in range(0, len(parameters), 2):
        out = F.linear(outs[-1], parameters[k], parameters[k + 1])
        outs.append(out.relu_() if rectified or k < last else out)
    return outs


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rectified: bool, *parameters: Tensor) -> Tensor:
        outs = _forward(x, rectified, parameters)
        ctx.save_for_backward(*outs, *parameters[::2])
        ctx.rectified = rectified
        return outs[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        n = len(saved) // 2
        outs, weights = saved[: n + 1], saved[n + 1 :]
        grads: list[Tensor | None] = [None] * (2 * n)
        if ctx.rectified:
            grad = grad.clone(memory_format=torch.contiguous_format)
        for k in range(n - 1, -1, -1):
            if k < n - 1 or ctx.rectified:
                of_bias = grad.new_empty(grad.shape[1])
                relu_backward(outs[k + 1].numpy(), grad.numpy(), of_bias.numpy())
            else:
                of_bias = grad.sum(0)
            grads[2 * k], grads[2 * k + 1] = _of_weight(grad, outs[k]), of_bias
            if k > 0 or ctx.needs_input_grad[0]:
                grad = torch.mm(grad, weights[k])
        return grad if ctx.needs_input_grad[0] else None, None, *grads


def _of_weight(grad: Tensor, x: Tensor) -> Tensor:
    """grad^T x; the product is faster where its rows fill a processor's vectors."""
    return torch.mm(grad.t(), x) if x.shape[1] % VECTOR == 0 else torch.mm(x.t(), grad).t()
