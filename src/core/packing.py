"""Episodes of different lengths as rows without the padding between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FULL = 0.9  # a batch of which so much is real stays as it is
FEW = 64  # rows that are not worth sorting


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The real rows of a padded batch, all first ones, then all second ones, ..., the longest episode first.

    So the rows of one time step lie together, and the episodes that go on are the first of those of the step before
    (the order of ``torch.nn.utils.rnn.PackedSequence``). Where agents are packed one by one, an agent's part of an
    episode is what an episode is else.

    Attributes:
        index: int64 [P], row number in the flattened batch [B * T], or [B * T * A].
        sizes: rows of each time step; they never grow.
        shape: B and T; B, T and A where agents are packed one by one.
    """

    index: Tensor
    sizes: list[int]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, real: Tensor) -> Packing | None:
        """Pack the true rows of a mask; None where little would be gained, and on devices, which would have to wait.

        Args:
            real: bool [B, T], or [B, T, A]; every episode's (or agent's) real rows come first.
        """
        if real.device.type != "cpu" or real.numel() <= FEW:
            return None
        rows = real if real.dim() == 2 else real.transpose(1, 2).flatten(0, 1)
        lengths = rows.sum(1)
        if not 0 < int(lengths.sum()) < FULL * real.numel():
            return None
        order = lengths.argsort(descending=True, stable=True)
        steps, places = rows[order].t().nonzero(as_tuple=True)
        sizes = [size for size in rows.sum(0).tolist() if size > 0]
        n_agents, who = real[0, 0].numel(), order[places]
        index = (who // n_agents * real.shape[1] + steps) * n_agents + who % n_agents
        return cls(index=index, sizes=sizes, shape=tuple(real.shape))

    def pack(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [1, P, ...], or [B, T, A, ...] -> [1, P, 1, ...]; what is packed already stays as it is."""
        n_axes = len(self.shape)
        packed_shape = (1, len(self.index), 1)[:n_axes]
        if x.shape[:n_axes] == packed_shape:  # there is padding, so that B = 1 has more rows
            return x
        rows = x.flatten(0, n_axes - 1).index_select(0, self.index)
        return rows.view(*packed_shape, *x.shape[n_axes:])

    def unpack(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`pack`, zero in padding."""
        n_axes = len(self.shape)
        rows = x.new_zeros(math.prod(self.shape), *x.shape[n_axes:])
        return rows.index_copy(0, self.index, x.flatten(0, n_axes - 1)).unflatten(0, self.shape)


def until_last(some: Tensor, rows: Tensor, packing: Packing | None) -> Packing | None:
    """Every agent's rows up to the last of some; what there is already where these are about as many.

    Args:
        some: bool [B, T, A].
        rows: bool [B, T], real ones.
        packing: of these.
    """
    if some.device.type != "cpu":
        return packing
    times = torch.arange(1, rows.shape[1] + 1).view(1, -1, 1)
    ends = (times * some).amax(1, keepdim=True)  # [B, 1, A]
    if int(ends.sum()) >= FULL * int(rows.sum()) * some.shape[2]:
        return packing
    return Packing.of(times <= ends)


def packed(packing: Packing | None, function: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """``function`` of [B, T, ...] on the real rows alone, zero in padding; on all of them without a packing."""
    return function(*xs) if packing is None else packing.unpack(function(*map(packing.pack, xs)))
