"""Running mean and variance of rewards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class RunningNorm:
    """Standardises by the mean and deviation of everything seen so far (Chan et al. 1979's pairwise update).

    ``low`` and ``high`` are the least and the greatest value seen, as they came.

    Every reward counts once, when it is gathered; how often it is replayed has no influence. The mean is subtracted
    only where asked: in episodes of varying length that changes what is optimal.

    Args:
        size: number of reward entries R.
        centre: subtract the mean, not only divide by the deviation.
    """

    def __init__(self, size: int, *, centre: bool, device: torch.device | str = "cpu") -> None:
        self.centre = centre
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64, device=device)
        self.sum_squares = torch.zeros(size, dtype=torch.float64, device=device)
        self.low = torch.full((size,), torch.inf, device=device)
        self.high = torch.full((size,), -torch.inf, device=device)
        self._now: tuple[Tensor, Tensor] | None = None  # mean and deviation, until something new is seen

    def update(self, values: Tensor, mask: Tensor) -> None:
        """See new values [B, T, R] where mask bool [B, T] holds."""
        seen = values[mask].double()
        n = len(seen)
        if n == 0:
            return
        self.low = torch.minimum(self.low, seen.amin(0).float())
        self.high = torch.maximum(self.high, seen.amax(0).float())
        mean = seen.mean(0)
        delta = mean - self.mean
        total = self.count + n
        self.sum_squares += ((seen - mean) ** 2).sum(0) + delta**2 * (self.count * n / total)
        self.mean += delta * (n / total)
        self.count, self._now = total, None

    def __call__(self, values: Tensor) -> Tensor:
        """Standardise values [..., R]; as they are while fewer than two were seen."""
        if self.count < 2:
            return values
        if self._now is None or self._now[1].device != values.device:
            std = (self.sum_squares / self.count).sqrt().float().clamp(min=1e-6)
            self._now = self.mean.float().to(values.device), std.to(values.device)
        centre, std = self._now
        return (values - centre) / std if self.centre else values / std

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes."""
        tensors = {key: getattr(self, key).clone() for key in ("mean", "sum_squares", "low", "high")}
        return {"count": self.count, **tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.count, self._now = state["count"], None
        for key in ("mean", "sum_squares", "low", "high"):
            getattr(self, key).copy_(state[key])
