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
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from modules.gru_kernels import backward_step, forward_step, single_step


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
        tracing = torch.jit.is_tracing()
        p: dict[str, Any] = self._parameters  # as attributes they are looked for in three places each
        if tracing and torch.onnx.is_in_onnx_export():  # which knows no gru_cell
            return self._plain_step(x, h)
        w_ih, w_hh, b_ih, b_hh = p["weight_ih_l0"], p["weight_hh_l0"], p["bias_ih_l0"], p["bias_hh_l0"]
        if tracing or torch.is_grad_enabled() or not x.is_cpu or not x.dtype == h.dtype == torch.float32:
            return torch.gru_cell(x, h, w_ih, w_hh, b_ih, b_hh)
        before, gates, recurrent = h.contiguous(), torch.mm(x, w_ih.t()), torch.mm(h, w_hh.t())
        after, biases = torch.empty_like(before), (b_ih.detach().numpy(), b_hh.detach().numpy())
        single_step(before.numpy(), gates.numpy(), recurrent.numpy(), *biases, after.numpy())
        return after

    def _plain_step(self, x: Tensor, h: Tensor) -> Tensor:
        r, z, n = F.linear(x, self.weight_ih_l0, self.bias_ih_l0).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, self.weight_hh_l0, self.bias_hh_l0).chunk(3, -1)
        n = torch.tanh(n + torch.sigmoid(r + h_r) * h_n)
        return n + torch.sigmoid(z + h_z) * (h - n)


def _before(hidden: Tensor, sizes: list[int]) -> list[Tensor]:
    """The states before each step, of the sequences that have it: views of hidden, whose first rows are h_0."""
    blocks = hidden.split([sizes[0], *sizes])
    return [block if len(block) == size else block[:size] for block, size in zip(blocks, sizes, strict=False)]


def _forward(
    x: Tensor, sizes: list[int], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, *, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Hidden states [P, H]; h with h_0 [N+P, H], gates r|z|n [P, 3H] and, if kept, m = W_hn h + b_hn [P, H]."""
    first, n_hidden = sizes[0], w_hh.shape[1]
    both = slice(0, 2 * n_hidden)
    bias = torch.cat([b_ih[both] + b_hh[both], b_ih[2 * n_hidden :], b_hh[2 * n_hidden :]])
    gates = torch.mm(x, w_ih.t())
    hidden = x.new_empty(first + len(x), n_hidden)
    hidden[:first] = 0
    recurrent = x.new_zeros(first, 3 * n_hidden)  # of one step; W h_0 is zero
    kept = x.new_empty(len(x) if keep else 0, n_hidden)
    w_t, arrays = w_hh.t(), [each.numpy() for each in (hidden, gates, recurrent, kept, bias)]
    start, before = 0, 0
    for state, size in zip(_before(hidden, sizes), sizes, strict=True):
        if start > 0:
            torch.mm(state, w_t, out=recurrent if size == first else recurrent[:size])
        forward_step(*arrays, before, start, size)
        before, start = first + start, start + size
    return hidden[first:], (hidden, gates, kept)


def _steps_with_gradient(grad_out: Tensor, sizes: list[int]) -> list[int]:
    """Sizes without the last steps that have none, as the row behind episodes has where it is only looked at."""
    end = len(grad_out)
    for n_steps in range(len(sizes), 1, -1):
        start = end - sizes[n_steps - 1]
        if grad_out[start:end].any():
            return sizes[:n_steps]
        end = start
    return sizes[:1]


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes: list[int], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> Tensor:
        out, (hidden, gates, kept) = _forward(x, sizes, w_ih, w_hh, b_ih, b_hh, keep=True)
        ctx.save_for_backward(x, w_ih, w_hh, hidden, gates, kept)
        ctx.sizes = sizes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, w_ih, w_hh, hidden, gates, kept = ctx.saved_tensors
        sizes = _steps_with_gradient(grad_out, ctx.sizes)
        n_rows, first, size = sum(sizes), sizes[0], grad_out.shape[1]
        factors = gates.new_empty(n_rows, 4 * size)  # of n, r, z and m
        carried, of_bias = gates.new_zeros(first, size), gates.new_zeros(4 * size)
        arrays = [each.numpy() for each in (hidden, gates, kept, grad_out.contiguous(), carried, factors, of_bias)]
        of_states, start = factors[:, size:].split(sizes), n_rows  # r, z and m are made of W h'
        for t in range(len(sizes) - 1, -1, -1):
            start -= sizes[t]
            before = first + start - sizes[t - 1] if t > 0 else 0
            backward_step(*arrays, before, start, sizes[t])
            if t > 0:
                (carried if sizes[t] == first else carried[: sizes[t]]).addmm_(of_states[t], w_hh)
        grad_w_hh = torch.mm(_states(hidden, sizes).t(), factors[first:, size:]).t()  # this way round it is faster
        of_inputs = factors[:, : 3 * size]  # n, r and z are made of W x
        grad_w_ih = torch.mm(x[:n_rows].t(), of_inputs).t()
        n, r_z = of_bias[:size], of_bias[size : 3 * size]
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = x.new_empty(x.shape)
            torch.mm(of_inputs, torch.cat([w_ih[2 * size :], w_ih[: 2 * size]]), out=grad_x[:n_rows])
            grad_x[n_rows:] = 0
        in_order = torch.cat([grad_w_ih[size:], grad_w_ih[:size]])
        return grad_x, None, in_order, grad_w_hh, torch.cat([r_z, n]), of_bias[size:]


def _states(hidden: Tensor, sizes: list[int]) -> Tensor:
    """The states before every step but the first, whose are zero: [P - N, H]."""
    first, n_rows = sizes[0], sum(sizes)
    return hidden[first:n_rows] if sizes[-1] == first else torch.cat(_before(hidden[: first + n_rows], sizes)[1:])
