"""A GRU whose sequence pass is fast on a CPU.

``nn.GRU`` on the CPU records some twenty small autograd nodes per time step; at the sizes of this field (64 units,
a hundred rows) their overhead costs more than the arithmetic. Here the whole sequence is one autograd node: the
input gates are one matrix product, and a step of either pass is one more and one kernel.
Parameters, names and results are those of ``nn.GRU`` (Cho et al. 2014, in cuDNN's form), which does the work itself
on CUDA and in other precisions than single.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from modules.gru_kernels import backward_step, forward_step, input_gradients


class SequenceGRU(nn.GRU):
    """One GRU layer over whole sequences that start with a zero hidden state."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)

    def sequence(self, x: Tensor, sizes: list[int]) -> Tensor:
        """All steps of sequences of different lengths.

        Args:
            x: [P, I], the first step of all sequences, then the second of those that have one, ...
            sizes: sequences of each step, which never grow; those that go on are the first of the step before.

        Returns:
            hidden states [P, H]
        """
        weights = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        if x.is_cuda or x.dtype != torch.float32:
            return super().forward(PackedSequence(x, torch.tensor(sizes)))[0].data
        if torch.is_grad_enabled():
            return _Sequence.apply(x, sizes, *weights)
        return _forward(x, sizes, *weights, keep=False)[0]

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """One step: input [N, I], hidden state [N, H] -> next hidden state [N, H]."""
        if torch.jit.is_tracing() and torch.onnx.is_in_onnx_export():  # which knows no gru_cell
            return self._plain_step(x, h)
        return torch.gru_cell(x, h, self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)

    def _plain_step(self, x: Tensor, h: Tensor) -> Tensor:
        r, z, n = F.linear(x, self.weight_ih_l0, self.bias_ih_l0).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, self.weight_hh_l0, self.bias_hh_l0).chunk(3, -1)
        n = torch.tanh(n + torch.sigmoid(r + h_r) * h_n)
        return n + torch.sigmoid(z + h_z) * (h - n)


def _before(hidden: Any, sizes: list[int]) -> list[Any]:
    """The states before each step, of the sequences that have it: views of hidden, whose first rows are h_0."""
    starts = accumulate([0, sizes[0], *sizes])
    return [hidden[start : start + size] for start, size in zip(starts, sizes, strict=False)]


def _after(rows: Any, sizes: list[int]) -> list[Any]:
    """The rows of each step: views of the P rows of all steps."""
    return [rows[end - size : end] for end, size in zip(accumulate(sizes), sizes, strict=True)]


def _forward(
    x: Tensor, sizes: list[int], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, *, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Hidden states [P, H]; if kept, h with h_0 [N+P, H], gates r|z|n and m = W_hn h + b_hn [P, 3H]."""
    first, n_hidden = sizes[0], w_hh.shape[1]
    both = slice(0, 2 * n_hidden)
    bias = torch.cat([b_ih[both] + b_hh[both], b_ih[2 * n_hidden :], b_hh[2 * n_hidden :]])
    gates = torch.mm(x, w_ih.t())
    hidden = x.new_empty(first + len(x), n_hidden)
    hidden[:first] = 0
    recurrent = x.new_empty(len(x) if keep else first, 3 * n_hidden)
    w_t, offsets = w_hh.t(), bias.numpy()
    products = _after(recurrent, sizes) if keep else [recurrent[:size] for size in sizes]
    of_steps = zip(
        *(_before(hidden, sizes), products),
        *(_before(hidden.numpy(), sizes), _after(hidden[first:].numpy(), sizes), _after(gates.numpy(), sizes)),
        strict=True,
    )
    for state, product, *arrays in of_steps:
        torch.mm(state, w_t, out=product)
        forward_step(*arrays, product.numpy(), offsets)
    return hidden[first:], (hidden, gates, recurrent)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes: list[int], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> Tensor:
        out, (hidden, gates, recurrent) = _forward(x, sizes, w_ih, w_hh, b_ih, b_hh, keep=True)
        ctx.save_for_backward(x, w_ih, w_hh, hidden, gates, recurrent)
        ctx.sizes = sizes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, w_ih, w_hh, hidden, gates, recurrent = ctx.saved_tensors
        sizes, n_hidden = ctx.sizes, grad_out.shape[1]
        factors = torch.empty_like(gates)
        carried = torch.empty_like(hidden)  # becomes the whole gradient of every state
        carried[: sizes[0]], carried[sizes[0] :] = 0, grad_out
        of_states = carried[sizes[0] :]
        numbers = [each.numpy() for each in (hidden, gates, recurrent, of_states, factors, carried)]
        arrays = [of(each, sizes) for of, each in zip((_before, *[_after] * 4, _before), numbers, strict=True)]
        earlier, of_gates = _before(carried, sizes), _after(factors, sizes)
        for t in range(len(sizes) - 1, -1, -1):
            backward_step(*(each[t] for each in arrays))
            if t > 0:
                earlier[t].addmm_(of_gates[t], w_hh)
        grad_w_hh = factors.t() @ torch.cat(_before(hidden, sizes))
        grad_b_hh = factors.sum(0)
        input_gradients(of_states.numpy(), gates.numpy(), factors.numpy())  # factors are of the input gates now
        grad_w_ih = factors.t() @ x
        grad_b_ih = torch.cat([grad_b_hh[: 2 * n_hidden], factors[:, 2 * n_hidden :].sum(0)])
        grad_x = factors @ w_ih if ctx.needs_input_grad[0] else None
        return grad_x, None, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh
