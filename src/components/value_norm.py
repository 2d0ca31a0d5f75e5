"""Value normalisation: a critic learns targets in units of their running deviation."""

from __future__ import annotations

import torch
from torch import Tensor


class ValueNorm:
    """Exponential averages of targets, corrected for their start at zero (Yu et al. 2022, value normalisation).

    m1, m2 and b average mean(x), mean(x^2) and 1; mu = m1 / b, sigma^2 = max(m2 / b - mu^2, 0.01). Until something
    was seen, mu = 0 and sigma = 1.

    Args:
        size: number of reward entries R.
        device: where values live.
        decay: weight of the past at each update.
    """

    def __init__(self, size: int, *, device: torch.device | str = "cpu", decay: float = 0.99999) -> None:
        self.decay = decay
        self.moments = torch.zeros(3, size, dtype=torch.float64, device=device)  # m1, m2, b

    def update(self, targets: Tensor, weights: Tensor) -> None:
        """See targets [B, T, A] where weights bool [B, T, A] hold; once per training iteration.

        With R = 1 all agents' targets count together, with R = A each agent's alone.
        """
        x, w = targets.double().masked_fill(~weights, 0.0), weights.double()
        sums = torch.stack([x.sum((0, 1)), (x**2).sum((0, 1)), w.sum((0, 1))])  # [3, A]
        if self.moments.shape[1] == 1:
            sums = sums.sum(1, keepdim=True)
        seen = sums[2] > 0
        moved = self.moments.lerp(sums / sums[2].clamp(min=1), 1 - self.decay)
        self.moments.copy_(torch.where(seen, moved, self.moments))

    def _scale(self) -> tuple[Tensor, Tensor]:
        first, second, bias = self.moments
        safe = bias.clamp(min=torch.finfo(torch.float64).tiny)
        mean = first / safe
        deviation = (second / safe - mean**2).clamp(min=0.01).sqrt()
        return mean.float(), torch.where(bias > 0, deviation, 1.0).float()

    def normalise(self, values: Tensor) -> Tensor:
        """(x - mu) / sigma: [..., R]."""
        mean, deviation = self._scale()
        return (values - mean) / deviation

    def denormalise(self, values: Tensor) -> Tensor:
        """sigma x + mu: [..., R]."""
        mean, deviation = self._scale()
        return values * deviation + mean

    def state_dict(self) -> dict[str, Tensor]:
        """The moments."""
        return {"moments": self.moments.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore :meth:`state_dict`."""
        self.moments.copy_(state["moments"])
