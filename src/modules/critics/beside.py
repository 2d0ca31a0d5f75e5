"""What a joint critic does between its matrix products, as single nodes of the graph.

At the sizes of this field a dozen small operators cost more than the products between them. In single precision on the
CPU each node is one kernel (``beside_kernels``), forward and backward; otherwise PyTorch's operators do the same.
Axes: S steps, A' agents of a network, A all agents, M samples, H hidden units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modules.critics import beside_kernels as kernels

Parts = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
BLOCK = 1 << 17  # numbers of a block of hidden units that stays in the processor's cache: 512 KiB


def has_kernels(x: Tensor) -> bool:
    """Whether kernels compute with tensors like this one."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def first_layer(own: Tensor, numbers: Tensor, shared: Tensor, table: Tensor, joint: Tensor, agents: Tensor) -> Tensor:
    """relu(own + numbers + shared + the sum of the partners' rows of the table).

    Args:
        own: [S, A', H].
        numbers: [A', H].
        shared: [S, H].
        table: [A U, H], a row for every agent and action.
        joint: int64 [S, M, A]; an agent's own entry has no influence on its row.
        agents: int64 [A'], whose rows ``own`` has.

    Returns:
        [S, A', M, H]
    """
    if has_kernels(own):
        parts = own.contiguous(), numbers.contiguous(), shared.contiguous(), table
        if torch.is_grad_enabled():
            return _First.apply(*parts, joint.contiguous(), agents)
        return _first(*parts, joint.contiguous(), agents)
    n_agents = joint.shape[2]
    offsets = torch.arange(n_agents, device=joint.device) * (len(table) // n_agents)
    columns = F.embedding((joint + offsets).transpose(1, 2), table)  # [S, A, M, H]
    partners = columns.sum(1, keepdim=True) - columns.index_select(1, agents)
    return F.relu(partners + (own + numbers + shared.unsqueeze(1)).unsqueeze(2))


def taken(z: Tensor, weight: Tensor, bias: Tensor, actions: Tensor) -> Tensor:
    """weight[u] . relu(z) + bias[u], u an action of each row: [N, H], [U, H], [U] and int64 [N] -> [N]."""
    if has_kernels(z):
        return _Taken.apply(z.contiguous(), weight, bias, actions.contiguous())
    return (F.relu(z) * weight[actions]).sum(-1) + bias[actions]


def over_samples(parts: Parts, weight: Tensor, bias: Tensor, of_action: Tensor, of_pi: Tensor) -> Tensor:
    """A second layer behind :func:`first_layer`, over its samples, block by block; without a gradient.

    Args:
        parts: what :func:`first_layer` is given.
        weight, bias: the layer's, [H, H] and [H].
        of_action, of_pi: [S, A', H], by which its output y = relu(layer) is multiplied.

    Returns:
        [S, A', 4]: the mean of y . of_action over samples, the standard error of the mean of y . (of_action - of_pi),
        the mean of y . of_pi, and y . of_action of the first sample.
    """
    own, numbers, shared, table, joint, agents = parts
    n_steps, n_own, size = own.shape
    n_samples = joint.shape[1]
    if not has_kernels(own):
        hidden = F.relu(F.linear(first_layer(*parts), weight, bias))
        taken, expected = ((hidden * x.unsqueeze(2)).sum(-1) for x in (of_action, of_pi))  # [S, A', M]
        spread = (taken - expected).std(2) if n_samples > 1 else torch.zeros_like(taken[:, :, 0])
        error = spread / n_samples**0.5
        return torch.stack([taken.mean(2), error, expected.mean(2), taken[:, :, 0]], -1)
    result = own.new_empty(n_steps, n_own, 4)
    arrays = [x.contiguous().numpy() for x in (own, numbers, shared, table, joint, agents, of_action, of_pi)]
    rows = [arrays[k] for k in (0, 2, 4, 6, 7)] + [result.numpy()]
    block = max(1, BLOCK // (n_own * n_samples * size))
    hidden, product = (own.new_empty(block * n_own * n_samples, size) for _ in range(2))
    scratch, each, columns = own.new_empty(3, size).numpy(), own.new_empty(n_samples).numpy(), weight.t()
    for start in range(0, n_steps, block):
        part_own, part_shared, part_joint, *others = (x[start : start + block] for x in rows)
        n = len(part_own) * n_own
        h, z = hidden[: n * n_samples], product[: n * n_samples]
        as_steps = h.numpy().reshape(len(part_own), n_own, n_samples, size)
        kernels.first_layer(part_own, arrays[1], part_shared, arrays[3], part_joint, arrays[5], as_steps, scratch[0])
        torch.mm(h, columns, out=z)
        flat = [x.reshape(n, *x.shape[2:]) for x in others]
        kernels.over_samples(z.numpy().reshape(n, n_samples, size), bias.numpy(), *flat, scratch, each)
    return result


def _first(own: Tensor, numbers: Tensor, shared: Tensor, table: Tensor, joint: Tensor, agents: Tensor) -> Tensor:
    out = own.new_empty(*own.shape[:2], joint.shape[1], own.shape[2])
    given = [x.detach().numpy() for x in (own, numbers, shared, table, joint, agents)]
    kernels.first_layer(*given, out.numpy(), own.new_empty(own.shape[2]).numpy())
    return out


class _First(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, own: Tensor, numbers: Tensor, shared: Tensor, table: Tensor, joint: Tensor, agents: Tensor
    ) -> Tensor:  # fmt: skip
        out = _first(own, numbers, shared, table, joint, agents)
        ctx.save_for_backward(out, joint, agents)
        ctx.shapes = own.shape, table.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, joint, agents = ctx.saved_tensors
        of_own, of_table = grad.new_empty(ctx.shapes[0]), grad.new_zeros(ctx.shapes[1])
        n_steps, n_own, size = of_own.shape
        of_numbers, of_shared = grad.new_zeros(n_own, size), grad.new_empty(n_steps, size)
        given = [x.numpy() for x in (grad.contiguous(), out, joint, agents, of_own, of_numbers, of_shared, of_table)]
        kernels.first_layer_back(*given, grad.new_empty(size).numpy())
        return of_own, of_numbers, of_shared, of_table, None, None


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, bias: Tensor, actions: Tensor) -> Tensor:
        out = z.new_empty(len(z))
        given = [x.detach().numpy() for x in (z, weight, bias, actions)]
        kernels.taken(*given, out.numpy(), z.new_empty(z.shape[1]).numpy())
        ctx.save_for_backward(z, weight, actions)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, weight, actions = ctx.saved_tensors
        of_z, of_weight = torch.empty_like(z), torch.zeros_like(weight)
        of_bias = weight.new_zeros(len(weight))
        given = [x.detach().numpy() for x in (grad.contiguous(), z, weight, actions, of_z, of_weight, of_bias)]
        kernels.taken_back(*given)
        return of_z, of_weight, of_bias, None
