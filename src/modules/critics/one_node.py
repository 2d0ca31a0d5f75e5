"""Q of executed joint actions as a single node of the graph: what a critic's fit does at every step.

Forward and backward it is the matrix products and the kernels of ``beside_kernels``. As nodes of their own these, and
the slices between them, cost as much again at the sizes of this field.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from modules.critics import beside_kernels as kernels
from modules.sparse_rows import SparseRows


def taken_values(
    own: Tensor | SparseRows,
    shared: Tensor,
    joint: Tensor,
    actions: Tensor,
    agents: Tensor,
    parameters: tuple[Tensor, ...],
) -> Tensor:
    """Q(s, u) [N] of rows of float32 on the CPU, N = S A'; with gradients of the parameters alone.

    Args:
        own: [S A', O'], or sparse; without what is the agents' numbers, which is the rest of the columns of W_own.
        shared: [S, S'].
        joint: int64 [S, 1, A].
        actions: int64 [S A'], the own ones.
        agents: int64 [A'].
        parameters: W_own [H, O' + A], W_shared [H, S'], its bias [H] and the table [A U, H] of the first layer; weight
            and bias of the second and of the last one.
    """
    return _Taken.apply(own, shared, joint.contiguous(), actions.contiguous(), agents, *parameters)


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor | SparseRows,
        shared: Tensor,
        joint: Tensor,
        actions: Tensor,
        agents: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        w_own, w_shared, b_shared, table, w2, b2, w3, b3 = parameters
        n_steps, n_own, size, width = len(shared), len(agents), len(b2), own.shape[-1]
        columns = w_own.t()
        if isinstance(own, SparseRows):
            of_own = own.times(columns)
        else:
            of_own = torch.mm(own, columns[:width]) if width else own.new_zeros(len(own), size)
        given = w_own.shape[1] == width
        numbers = w_own.new_zeros(n_own, size) if given else columns[width:].index_select(0, agents)
        of_shared = torch.addmm(b_shared, shared, w_shared.t())
        hidden, scratch = of_own.new_empty(n_steps * n_own, size), of_own.new_empty(size).numpy()
        arrays = [x.numpy() for x in (numbers, of_shared, table.detach(), joint, agents)]
        axes = (n_steps, n_own, 1, size)
        kernels.first_layer(of_own.view(n_steps, n_own, size).numpy(), *arrays, hidden.view(axes).numpy(), scratch)
        z = torch.addmm(b2, hidden, w2.t())
        out = z.new_empty(len(z))
        last = [x.detach().numpy() for x in (z, w3, b3, actions, out)]
        kernels.taken(*last, scratch)
        ctx.save_for_backward(shared, joint, actions, agents, hidden, z, w_own, w2, w3)
        ctx.own, ctx.table_shape = own, table.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        shared, joint, actions, agents, hidden, z, w_own, w2, w3 = ctx.saved_tensors
        own, n_steps, n_own, size = ctx.own, len(shared), len(agents), hidden.shape[1]
        of_z, of_w3, of_b3 = torch.empty_like(z), torch.zeros_like(w3), grad.new_zeros(len(w3))
        last = [x.detach().numpy() for x in (grad.contiguous(), z, w3, actions, of_z, of_w3, of_b3)]
        kernels.taken_back(*last)
        of_w2, of_b2, of_hidden = torch.mm(of_z.t(), hidden), of_z.sum(0), torch.mm(of_z, w2)
        of_own, of_numbers = grad.new_empty(n_steps * n_own, size), grad.new_zeros(n_own, size)
        of_shared, of_table = grad.new_empty(n_steps, size), grad.new_zeros(ctx.table_shape)
        axes = (n_steps, n_own, 1, size)
        first = (of_hidden.view(axes), hidden.view(axes), joint, agents, of_own.view(n_steps, n_own, size))
        arrays = [x.numpy() for x in (*first, of_numbers, of_shared, of_table)]
        kernels.first_layer_back(*arrays, grad.new_empty(size).numpy())
        width, of_w_own = own.shape[-1], grad.new_zeros(w_own.shape[1], size)
        if isinstance(own, SparseRows):
            own.add_products(of_own, of_w_own)
        elif width:
            torch.mm(own.t(), of_own, out=of_w_own[:width])
        if width < len(of_w_own):
            of_w_own[width:][agents] = of_numbers
        of_w_shared = torch.mm(shared.t(), of_shared).t()  # this way round the product is faster
        of_first = of_w_own.t(), of_w_shared, of_shared.sum(0), of_table
        return (None, None, None, None, None, *of_first, of_w2, of_b2, of_w3, of_b3)
