"""SePS's variational autoencoder (Christianos et al. 2021): what an agent's number tells of what it meets."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AgentVAE(nn.Module):
    """q(z | id) from the number alone, p(o', r | z, o, u) from everything but the number.

    All ids begin at z = 0: what sets them apart later is what they met, and not how their weights were drawn.

    Args:
        n_ids: agents, or parts of their episodes, that are to be told apart.
        input_dim: I, of observation and action.
        output_dim: O, of next observation and reward.
        z_dim, hidden_dim: sizes.
    """

    def __init__(self, n_ids: int, input_dim: int, output_dim: int, *, z_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_ids, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 2 * z_dim))
        last = self.encoder[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.decoder = nn.Sequential(
            nn.Linear(z_dim + input_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, output_dim),
        )  # fmt: skip
        self.register_buffer("ids", torch.eye(n_ids), persistent=False)

    def encode(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of every id's z: two [n_ids, Z]."""
        mean, log_variance = self.encoder(self.ids).chunk(2, -1)
        return mean, log_variance

    def loss(self, ids: Tensor, x: Tensor, y: Tensor, noise: Tensor, *, beta: float) -> Tensor:
        """Squared errors, summed, and beta times KL[q || N(0, 1)]: the mean over rows, a scalar.

        Args:
            ids: int64 [N].
            x, y: [N, I] and [N, O].
            noise: [N, Z], of a standard normal distribution.
            beta: weight of the KL.
        """
        means, log_variances = self.encode()
        mean, log_variance = means[ids], log_variances[ids]
        z = mean + noise * (log_variance / 2).exp()
        errors = (self.decoder(torch.cat([z, x], -1)) - y).square().sum(-1)
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2
        return (errors + beta * kl).mean()
