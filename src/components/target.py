"""Target networks."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Target(Generic[ModuleT]):
    """A lagging copy of a network.

    Args:
        online: the network that is trained.
        interval_or_tau: above 1, copy every so many updates (hard); otherwise move by this fraction at each
            update (soft). EPyMARL's ``target_update_interval_or_tau``.
    """

    def __init__(self, online: ModuleT, interval_or_tau: float) -> None:
        self.online = online
        self.net: ModuleT = copy.deepcopy(online).requires_grad_(False)
        self.interval_or_tau = interval_or_tau
        self.updates = 0
        self._lagging: list[Tensor] = list(self.net.parameters())  # walking them takes longer than moving them
        self._leading: list[Tensor] = list(online.parameters())

    def copy(self) -> None:
        """Be as the online network is (after its weights were loaded)."""
        self.net.load_state_dict(self.online.state_dict())

    def update(self) -> None:
        """Count one update of the online network and follow it."""
        self.updates += 1
        if self.interval_or_tau > 1:
            if self.updates % int(self.interval_or_tau) == 0:
                self.copy()
            return
        if self._lagging:
            with torch.no_grad():
                torch._foreach_lerp_(self._lagging, self._leading, self.interval_or_tau)

    def state_dict(self) -> dict[str, object]:
        """The lagging weights and the counter."""
        return {"net": self.net.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore :meth:`state_dict`."""
        self.net.load_state_dict(state["net"])  # type: ignore[arg-type]
        self.updates = int(state["updates"])  # type: ignore[call-overload]
