"""A GRU whose sequence pass is fast on a CPU.

``nn.GRU`` on the CPU records some twenty small autograd nodes per time step; at the sizes of this field (64 units,
a hundred rows) their overhead costs more than the arithmetic. Here the whole sequence is one autograd node: the
input gates are one matrix product, and a step of either pass is one more and one kernel.
Parameters, names and results are those of ``nn.GRU`` (Cho et al. 2014, in cuDNN's form), which does the work itself
on CUDA and in other precisions than single.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modules.gru_kernels import backward_step, forward_step, input_gradients


class SequenceGRU(nn.GRU):
    """One GRU layer over whole sequences that start with a zero hidden state."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)

    def sequence(self, x: Tensor) -> Tensor:
        """Inputs [T, N, I] -> hidden states [T, N, H]."""
        weights = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        if x.is_cuda or x.dtype != torch.float32:
            return super().forward(x)[0]
        if torch.is_grad_enabled():
            return _Sequence.apply(x, *weights)
        return _forward(x, *weights, keep=False)[0]

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """One step: input [N, I], hidden state [N, H] -> next hidden state [N, H]."""
        return torch.gru_cell(x, h, self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)


def _forward(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, *, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Hidden states [T, N, H]; if kept, h with h_0 [T+1, N, H], gates r|z|n and m = W_hn h + b_hn [T, N, 3H]."""
    n_steps, n_rows, _ = x.shape
    n_hidden = w_hh.shape[1]
    both = slice(0, 2 * n_hidden)
    bias = torch.cat([b_ih[both] + b_hh[both], b_ih[2 * n_hidden :], b_hh[2 * n_hidden :]])
    gates = torch.mm(x.reshape(n_steps * n_rows, -1), w_ih.t()).view(n_steps, n_rows, 3 * n_hidden)
    hidden = x.new_empty(n_steps + 1, n_rows, n_hidden)
    hidden[0] = 0
    recurrent = x.new_empty(n_steps if keep else 1, n_rows, 3 * n_hidden)
    w_t, states, products = w_hh.t(), hidden.unbind(0), recurrent.unbind(0)
    arrays = hidden.numpy(), gates.numpy()
    places, offsets = [product.numpy() for product in products], bias.numpy()
    for t in range(n_steps):
        k = t if keep else 0
        torch.mm(states[t], w_t, out=products[k])
        forward_step(t, *arrays, places[k], offsets)
    return hidden[1:], (hidden, gates, recurrent)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        out, (hidden, gates, recurrent) = _forward(x, w_ih, w_hh, b_ih, b_hh, keep=True)
        ctx.save_for_backward(x, w_ih, w_hh, hidden, gates, recurrent)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, w_ih, w_hh, hidden, gates, recurrent = ctx.saved_tensors
        n_steps, n_rows, n_hidden = grad_out.shape
        factors = torch.empty_like(gates)
        carried = grad_out.clone(memory_format=torch.contiguous_format)  # becomes the whole gradient of h_t
        arrays = tuple(each.numpy() for each in (hidden, gates, recurrent, carried, factors))
        carried_steps, factor_steps = carried.unbind(0), factors.unbind(0)
        for t in range(n_steps - 1, -1, -1):
            backward_step(t, *arrays)
            if t > 0:
                carried_steps[t - 1].addmm_(factor_steps[t], w_hh)
        grads = factors.view(n_steps * n_rows, 3 * n_hidden)  # of the recurrent pre-activations
        grad_w_hh = grads.t() @ hidden[:-1].reshape(-1, n_hidden)
        grad_b_hh = grads.sum(0)
        input_gradients(carried.numpy(), gates.numpy(), factors.numpy())  # now of the input gates
        grad_w_ih = grads.t() @ x.reshape(n_steps * n_rows, -1)
        grad_b_ih = torch.cat([grad_b_hh[: 2 * n_hidden], grads[:, 2 * n_hidden :].sum(0)])
        grad_x = (grads @ w_ih).view_as(x) if ctx.needs_input_grad[0] else None
        return grad_x, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh
