"""All of QMIX's mixer as one node of autograd's graph.

Its four small layers, five ReLUs and absolute values, and the mixing are sixty small operators otherwise, which take
twice as long as their products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from modules.mixers.mixing_kernels import mix_backward, mix_forward, relu_backward


def can_mix(q: Tensor, state: Tensor) -> bool:
    """Whether :func:`mixing` takes such tensors: single precision on the CPU, not traced for other programs."""
    return q.dtype == state.dtype == torch.float32 and q.device.type == "cpu" and not torch.jit.is_tracing()


def mixing(q: Tensor, state: Tensor, parameters: list[Tensor], *, monotonic: bool) -> Tensor:
    """Q_tot [P, 1].

    Args:
        q: [P, A].
        state: [P, S].
        parameters: weights and biases of the first layer, to [2 H + 2 E] (of the hypernetworks of both weights, of the
            value, and the bias), of the hypernetworks' second layers, to [A E] and [E], and of the value's, to [1].
        monotonic: absolute values of the weights count.
    """
    if torch.is_grad_enabled():
        return _Mixing.apply(monotonic, q, state, *parameters)
    return _forward(monotonic, q, state, *parameters)[0]


def _forward(monotonic: bool, q: Tensor, state: Tensor, *parameters: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    w0, b0, w1, b1, w2, b2, k, c = parameters
    width, embed = w1.shape[1], k.shape[1]
    q, of_state = q.contiguous(), torch.addmm(b0, state, w0.t())
    rectified = of_state[:, : 2 * width].relu()
    first = torch.addmm(b1, rectified[:, :width], w1.t())
    second = torch.addmm(b2, rectified[:, width:], w2.t())
    hidden, total = q.new_empty(len(q), embed), q.new_empty(len(q), 1)
    arrays = [x.detach().numpy() for x in (q, of_state, first, second, k, c)]
    mix_forward(*arrays, monotonic, hidden.numpy(), total.numpy())
    return total, (q, of_state, first, second, k, hidden, rectified, state)


class _Mixing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, monotonic: bool, q: Tensor, state: Tensor, *parameters: Tensor) -> Tensor:
        total, kept = _forward(monotonic, q, state, *parameters)
        ctx.save_for_backward(*kept, *parameters[:6:2])
        ctx.monotonic = monotonic
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, of_state, first, second, k, hidden, rectified, state, w0, w1, w2 = ctx.saved_tensors
        kept = [x.detach().numpy() for x in (q, of_state, first, second, k, hidden)]
        grads = [torch.empty_like(x) for x in (q, of_state, first, second)] + [torch.zeros_like(k)]
        mix_backward(grad.contiguous().numpy(), *kept, ctx.monotonic, *(x.numpy() for x in grads))
        grad_q, grad_state, grad_first, grad_second, grad_k = grads
        width = w1.shape[1]
        torch.mm(grad_first, w1, out=grad_state[:, :width])
        torch.mm(grad_second, w2, out=grad_state[:, width : 2 * width])
        relu_backward(rectified.numpy(), grad_state.numpy())
        of_weights = []
        layers = ((grad_state, state), (grad_first, rectified[:, :width]), (grad_second, rectified[:, width:]))
        for part, inputs in layers:  # a product for the gradient of a wider layer is faster this way round
            wide = part.shape[1] > inputs.shape[1]
            of_weights += [(inputs.t() @ part).t() if wide else part.t() @ inputs, part.sum(0)]
        of_input = grad_state @ w0 if ctx.needs_input_grad[2] else None
        return None, grad_q, of_input, *of_weights, grad_k, grad.sum(0)
