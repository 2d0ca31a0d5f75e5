"""One object that owns zero_grad, backward, clip and step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adam", "rmsprop"]


class Optimizer:
    """Adam or RMSprop with gradient clipping.

    Args:
        parameters: what is optimised.
        kind: "adam" or "rmsprop" (PyMARL's).
        lr: learning rate.
        grad_norm_clip: largest gradient norm.
        alpha: RMSprop's smoothing.
        eps: added to the denominator.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        kind: OptimizerName,
        lr: float,
        grad_norm_clip: float,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        self.parameters = list(parameters)
        self.grad_norm_clip = grad_norm_clip
        self._optimizer: torch.optim.Optimizer
        self._steps: list[tuple[Tensor, Tensor]] = []
        if kind == "adam":
            self._optimizer = torch.optim.Adam(self.parameters, lr=lr, eps=eps, fused=True)
        else:
            self._optimizer = torch.optim.RMSprop(self.parameters, lr=lr, alpha=alpha, eps=eps, foreach=True)

    def step(self, loss: Tensor) -> Tensor:
        """One update; returns the gradient's norm before clipping, a scalar tensor."""
        self._optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.grad_norm_clip, foreach=True)
        self._optimizer.step()
        norm = norm.detach()
        self._steps.append((loss.detach(), norm))
        return norm

    def take_steps(self) -> list[tuple[Tensor, Tensor]]:
        """Return loss and gradient norm of every step since the last call, on the device: nobody has waited for it."""
        steps, self._steps = self._steps, []
        return steps

    def state_dict(self) -> dict[str, Any]:
        """State of the optimiser."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self._optimizer.load_state_dict(state)
