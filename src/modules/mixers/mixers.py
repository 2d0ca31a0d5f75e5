"""QMIX's monotonic mixing network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class QMixer(nn.Module):
    """Q_tot, monotonic in every agent's Q: weights made by hypernetworks of the state (Rashid et al. 2018, Figure 2).

    Args:
        state_dim: S.
        n_agents: A.
        embed_dim: width of the mixing layer.
        hypernet_layers: 1 (linear) or 2 (one hidden layer).
        hypernet_embed: width of that hidden layer.
    """

    def __init__(
        self, state_dim: int, n_agents: int, *, embed_dim: int, hypernet_layers: int, hypernet_embed: int
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim

        def hypernet(out_dim: int) -> nn.Module:
            if hypernet_layers == 1:
                return nn.Linear(state_dim, out_dim)
            return nn.Sequential(nn.Linear(state_dim, hypernet_embed), nn.ReLU(), nn.Linear(hypernet_embed, out_dim))

        self.weight_1 = hypernet(n_agents * embed_dim)
        self.weight_2 = hypernet(embed_dim)
        self.bias_1 = nn.Linear(state_dim, embed_dim)
        self.value = nn.Sequential(nn.Linear(state_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, 1))

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """The agents' chosen Q-values [B, T, A] and state [B, T, S] -> Q_tot [B, T, 1]."""
        weight_1 = self.weight_1(state).abs().unflatten(-1, (q.shape[-1], self.embed_dim))
        hidden = F.elu((q.unsqueeze(-1) * weight_1).sum(-2) + self.bias_1(state))
        weight_2 = self.weight_2(state).abs()
        return (hidden * weight_2).sum(-1, keepdim=True) + self.value(state)


class VDNMixer(nn.Module):
    """Q_tot is the sum of the agents' Q-values (Sunehag et al. 2018)."""

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """[B, T, A] -> [B, T, 1]; the state has no influence."""
        return torch.sum(q, dim=-1, keepdim=True)


class IndependentMixer(nn.Module):
    """Nothing is mixed: every agent learns its own Q (IQL, Tan 1993)."""

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """[B, T, A] -> [B, T, A]."""
        return q
