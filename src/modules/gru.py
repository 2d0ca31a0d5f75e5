"""A GRU whose sequence pass is fast on a CPU.

``nn.GRU`` on the CPU records some twenty small autograd nodes per time step; at the sizes of this field (64 units,
a hundred rows) their overhead costs more than the arithmetic. Here the whole sequence is one autograd node: the
input gates are one matrix product, a step of the forward pass is six calls and of the backward pass three, because
everything in the chain rule but the carried gradient can be computed for all steps at once.
Parameters, names and results are those of ``nn.GRU`` (Cho et al. 2014, in cuDNN's form); CUDA uses cuDNN itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modules.gru_kernels import gate_factors, input_gradients


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
        if x.is_cuda:
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
    rz, new = slice(0, 2 * n_hidden), slice(2 * n_hidden, None)
    bias = torch.cat([b_ih[rz] + b_hh[rz], b_ih[new]])
    gates = torch.addmm(bias, x.reshape(n_steps * n_rows, -1), w_ih.t()).view(n_steps, n_rows, 3 * n_hidden)
    gates[..., new].mul_(2)  # tanh(a) = 2 sigmoid(2 a) - 1, and sigmoid is three times as fast
    hidden = x.new_empty(n_steps + 1, n_rows, n_hidden)
    hidden[0] = 0
    recurrent = x.new_empty(n_steps if keep else 1, n_rows, 3 * n_hidden)
    w_t, b_new = w_hh.t(), b_hh[new]
    gates_rz = gates[..., rz].unbind(0)
    gates_r, gates_z, gates_n = (part.unbind(0) for part in gates.split(n_hidden, dim=-1))
    recurrent_all, recurrent_rz, recurrent_n = (
        part.unbind(0) for part in (recurrent, recurrent[..., rz], recurrent[..., new])
    )
    states = hidden.unbind(0)
    for t in range(n_steps):
        k = t if keep else 0
        torch.mm(states[t], w_t, out=recurrent_all[k])
        gates_rz[t].add_(recurrent_rz[k]).sigmoid_()
        gates_n[t].addcmul_(gates_r[t], recurrent_n[k].add_(b_new), value=2).sigmoid_().mul_(2).sub_(1)
        torch.lerp(gates_n[t], states[t], gates_z[t], out=states[t + 1])  # (1 - z) n + z h
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
        gate_factors(hidden.numpy(), gates.numpy(), recurrent.numpy(), factors.numpy())
        carried_steps, z_steps = carried.unbind(0), gates[..., n_hidden : 2 * n_hidden].unbind(0)
        flat_steps, factor_steps = factors.unbind(0), factors.view(n_steps, n_rows, 3, n_hidden).unbind(0)
        for t in range(n_steps - 1, -1, -1):
            factor_steps[t].mul_(carried_steps[t].unsqueeze(1))
            if t > 0:
                carried_steps[t - 1].addcmul_(carried_steps[t], z_steps[t]).addmm_(flat_steps[t], w_hh)
        grads = factors.view(n_steps * n_rows, 3 * n_hidden)  # of the recurrent pre-activations
        grad_w_hh = grads.t() @ hidden[:-1].reshape(-1, n_hidden)
        grad_b_hh = grads.sum(0)
        input_gradients(carried.numpy(), gates.numpy(), factors.numpy())  # now of the input gates
        grad_w_ih = grads.t() @ x.reshape(n_steps * n_rows, -1)
        grad_b_ih = torch.cat([grad_b_hh[: 2 * n_hidden], grads[:, 2 * n_hidden :].sum(0)])
        grad_x = (grads @ w_ih).view_as(x) if ctx.needs_input_grad[0] else None
        return grad_x, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh
