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
    """Hidden states [T, N, H] and, if kept, h with h_0 [T+1, N, H], gates r|z [T, N, 2H], n and W_hn h [T, N, H]."""
    n_steps, n_rows, _ = x.shape
    n_hidden = w_hh.shape[1]
    gates = torch.addmm(b_ih, x.reshape(n_steps * n_rows, -1), w_ih.t()).view(n_steps, n_rows, 3 * n_hidden)
    gates[..., 2 * n_hidden :].mul_(2)  # tanh(a) = 2 sigmoid(2 a) - 1, and sigmoid is three times as fast
    hidden = x.new_zeros(n_steps + 1, n_rows, n_hidden)
    recurrent = x.new_empty(n_steps if keep else 1, n_rows, 3 * n_hidden)
    w_t = w_hh.t()
    rz_steps = gates[..., : 2 * n_hidden].unbind(0)
    r_steps, z_steps, new_steps = (part.unbind(0) for part in gates.split(n_hidden, dim=-1))
    recurrent_rz, recurrent_n = recurrent[..., : 2 * n_hidden].unbind(0), recurrent[..., 2 * n_hidden :].unbind(0)
    recurrent_all, hidden_steps = recurrent.unbind(0), hidden.unbind(0)
    for t in range(n_steps):
        k = t if keep else 0
        torch.addmm(b_hh, hidden_steps[t], w_t, out=recurrent_all[k])
        rz_steps[t].add_(recurrent_rz[k]).sigmoid_()
        new_steps[t].addcmul_(r_steps[t], recurrent_n[k], value=2).sigmoid_().mul_(2).sub_(1)
        torch.lerp(new_steps[t], hidden_steps[t], z_steps[t], out=hidden_steps[t + 1])  # (1 - z) n + z h
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
        r, z, n = gates.split(n_hidden, dim=-1)
        # d h_t / d (pre-activations of r, z, W_hn h): elementwise factors of the carried gradient, all steps at once
        factor_n = (1 - z) * (1 - n * n)
        factors = torch.empty_like(gates).view(n_steps, n_rows, 3, n_hidden)
        torch.mul(factor_n * recurrent[..., 2 * n_hidden :], r * (1 - r), out=factors[:, :, 0])
        torch.mul(hidden[:-1] - n, z * (1 - z), out=factors[:, :, 1])
        torch.mul(factor_n, r, out=factors[:, :, 2])
        carried = grad_out.clone()  # becomes the total gradient of h_t
        carried_steps, z_steps, factor_steps = carried.unbind(0), z.unbind(0), factors.unbind(0)
        flat_steps = factors.view(n_steps, n_rows, 3 * n_hidden).unbind(0)
        for t in range(n_steps - 1, -1, -1):
            factor_steps[t].mul_(carried_steps[t].unsqueeze(1))
            if t > 0:
                carried_steps[t - 1].addcmul_(carried_steps[t], z_steps[t]).addmm_(flat_steps[t], w_hh)
        grad_recurrent = factors.view(n_steps * n_rows, 3 * n_hidden)
        grad_w_hh = grad_recurrent.t() @ hidden[:-1].reshape(-1, n_hidden)
        grad_b_hh = grad_recurrent.sum(0)
        factors[:, :, 2] = carried * factor_n  # now the gradient of the input gates
        grad_w_ih = grad_recurrent.t() @ x.reshape(n_steps * n_rows, -1)
        grad_b_ih = grad_recurrent.sum(0)
        grad_x = (grad_recurrent @ w_ih).view_as(x) if ctx.needs_input_grad[0] else None
        return grad_x, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh
