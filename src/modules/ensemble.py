"""Several sub-policies for every agent, one of which it plays throughout an episode (Lowe et al. 2017, section 4.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.packing import Packing
from modules.sharing import Grouped


class Ensemble(nn.Module):
    """K times the agents' networks; an agent's output is that of its own choice.

    Args:
        make: builds the networks of all agents once.
        size: K.
    """

    def __init__(self, make: Callable[[], Grouped], size: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(make() for _ in range(size))

    @property
    def recurrent(self) -> bool:
        """Whether they have a memory."""
        return bool(self.members[0].recurrent)

    @property
    def nets(self) -> list[nn.Module]:
        """The networks of all sub-policies."""
        return [net for member in self.members for net in member.nets]  # type: ignore[union-attr]

    def forward(self, x: Tensor, policies: Tensor, *, packing: Packing | None = None) -> Tensor:
        """Whole episodes: [B, T, A, I] and the sub-policies that were played, int64 [B, A] -> [B, T, A, U]."""
        outs = torch.stack([member(x, packing=packing) for member in self.members])
        return _of(outs, policies.unsqueeze(1))

    def step(self, x: Tensor, h: Tensor, policies: Tensor) -> tuple[Tensor, Tensor]:
        """One time step: x [N, A, I], h [N, A, H], policies int64 [N, A] -> [N, A, U], [N, A, H]."""
        outs, hiddens = zip(*(member.step(x, h) for member in self.members), strict=True)  # type: ignore[operator]
        return _of(torch.stack(outs), policies), _of(torch.stack(hiddens), policies)


def _of(values: Tensor, policies: Tensor) -> Tensor:
    """The rows [..., A, U] of [K, ..., A, U] that int64 [..., A] (broadcast) chooses."""
    index = policies.unsqueeze(0).unsqueeze(-1).expand(1, *values.shape[1:])
    return values.gather(0, index).squeeze(0)
