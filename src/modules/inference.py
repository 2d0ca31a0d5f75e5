"""What agents believe of each other's policies (Lowe et al. 2017, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.packing import Packing
from modules.sharing import Grouped


class Approximations(nn.Module):
    """muhat_i^j(.|o_j): a set of all agents' networks for every group of agents that shares its parameters.

    All see the same replay, so that what agents of one group believe is the same.

    Args:
        make: builds networks of all agents, as those that act.
        groups: agents that share their parameters.
    """

    believer: Tensor

    def __init__(self, make: Callable[[], Grouped], groups: list[list[int]]) -> None:
        super().__init__()
        self.sets = nn.ModuleList(make() for _ in groups)
        of = [next(k for k, group in enumerate(groups) if agent in group) for agent in range(sum(map(len, groups)))]
        self.register_buffer("believer", torch.tensor(of), persistent=False)

    def forward(self, x: Tensor, *, packing: Packing | None = None) -> Tensor:
        """Inputs of all agents [B, T, A, I] -> logits of agent j as agent i believes them, [B, T, A (i), A (j), U]."""
        beliefs = torch.stack([one(x, packing=packing) for one in self.sets], 2)
        return beliefs.index_select(2, self.believer)
