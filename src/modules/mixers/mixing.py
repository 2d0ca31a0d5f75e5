"""All of QMIX's mixer behind the state's first layer as one node of autograd's graph.

Its three small layers, five ReLUs and absolute values, and the mixing are fifty small operators otherwise, which take
twice as long as their products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modules.mixers.mixing_kernels import mix_backward, mix_forward, relu_backward


def can_mix(q: Tensor, state: Tensor) -> bool:
    """Whether :func:`mixing` takes such tensors: single precision on the CPU, not traced for other programs."""
    return q.dtype == state.dtype == torch.float32 and q.device.type == "cpu" and not torch.jit.is_tracing()


def mixing(q: Tensor, state: Tensor, nets: list[nn.Linear], *, monotonic: bool) -> Tensor:
    """Q_tot [P, 1].

    Args:
        q: [P, A].
        state: [P, 2 H + 2 E], the first layer: of the hypernetworks of both weights, of the value, and the bias.
        nets: the hypernetworks' second layers, to [A E] and [E], and the value's, to [1].
        monotonic: absolute values of the weights count.
    """
    parameters = [parameter for net in nets for parameter in (net.weight, net.bias)]
    if torch.is_grad_enabled():
        return _Mixing.apply(monotonic, q, state, *parameters)
    return _forward(monotonic, q, state, *parameters)[0]


def _forward(monotonic: bool, q: Tensor, state: Tensor, *parameters: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    w1, b1, w2, b2, k, c = parameters
    width, embed = w1.shape[1], k.shape[1]
    q, rectified = q.contiguous(), state[:, : 2 * width].relu()
    first = torch.addmm(b1, rectified[:, :width], w1.t())
    second = torch.addmm(b2, rectified[:, width:], w2.t())
    hidden, total = q.new_empty(len(q), embed), q.new_empty(len(q), 1)
    arrays = [x.detach().numpy() for x in (q, state, first, second, k, c)]
    mix_forward(*arrays, monotonic, hidden.numpy(), total.numpy())
    return total, (q, state, first, second, k, hidden, rectified)


class _Mixing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, monotonic: bool, q: Tensor, state: Tensor, *parameters: Tensor) -> Tensor:
        total, kept = _forward(monotonic, q, state, *parameters)
        ctx.save_for_backward(*kept, parameters[0], parameters[2])
        ctx.monotonic = monotonic
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, state, first, second, k, hidden, rectified, w1, w2 = ctx.saved_tensors
        kept = [x.detach().numpy() for x in (q, state, first, second, k, hidden)]
        grads = [torch.empty_like(x) for x in (q, state, first, second)] + [torch.zeros_like(k)]
        mix_backward(grad.contiguous().numpy(), *kept, ctx.monotonic, *(x.numpy() for x in grads))
        grad_q, grad_state, grad_first, grad_second, grad_k = grads
        width = w1.shape[1]
        torch.mm(grad_first, w1, out=grad_state[:, :width])
        torch.mm(grad_second, w2, out=grad_state[:, width : 2 * width])
        relu_backward(rectified.numpy(), grad_state.numpy())
        of_weights = []
        for part, inputs in ((grad_first, rectified[:, :width]), (grad_second, rectified[:, width:])):
            of_weights += [part.t() @ inputs, part.sum(0)]
        return None, grad_q, grad_state, *of_weights, grad_k, grad.sum(0)
