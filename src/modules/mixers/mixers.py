"""QMIX's monotonic mixing network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.first_linear import FirstLinear
from modules.mixers.mixing import can_mix, mixing
from modules.rows import linear
from modules.sparse_rows import LARGE, LiveColumns


class QMixer(nn.Module):
    """Q_tot, monotonic in every agent's Q: weights made by hypernetworks of the state (Rashid et al. 2018, Figure 2).

    Args:
        state_dim: S.
        n_agents: A.
        embed_dim: width of the mixing layer.
        hypernet_layers: 1 (linear) or 2 (one hidden layer).
        hypernet_embed: width of that hidden layer.
        unit: what stands for 1 in a state of bytes.
        monotonic: false leaves the weights their signs (FACMAC's other mixer).
    """

    def __init__(
        self,
        state_dim: int,
        n_agents: int,
        *,
        embed_dim: int,
        hypernet_layers: int,
        hypernet_embed: int,
        unit: int = 1,
        monotonic: bool = True,
    ) -> None:
        super().__init__()
        self.embed_dim, self.hypernet_layers, self.monotonic = embed_dim, hypernet_layers, monotonic
        sizes = (n_agents * embed_dim, embed_dim)
        # the first layers of the four hypernetworks are one linear map of the state
        self.first_sizes = [
            *(sizes if hypernet_layers == 1 else (hypernet_embed, hypernet_embed)),
            embed_dim,
            embed_dim,
        ]
        self.first = FirstLinear(state_dim, sum(self.first_sizes), unit=unit)
        if hypernet_layers == 2:
            self.weight_1, self.weight_2 = (nn.Linear(hypernet_embed, size) for size in sizes)
        self.value = nn.Linear(embed_dim, 1)

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """The agents' chosen Q-values [B, T, A] and state [B, T, S] -> Q_tot [B, T, 1]."""
        if self.hypernet_layers == 2 and can_mix(q, state):
            state, weight = state.flatten(0, -2), self.first.weight
            if state.numel() >= LARGE and isinstance(live := LiveColumns.of(state), LiveColumns):
                state, weight = live.narrow(weight)
            nets = [self.weight_1, self.weight_2, self.value]
            parameters = [weight, self.first.bias, *(one for net in nets for one in (net.weight, net.bias))]
            total = mixing(q.flatten(0, -2), state, parameters, monotonic=self.monotonic)
            return total.view(*q.shape[:-1], 1)
        weight_1, weight_2, value, bias_1 = linear(self.first, state).split(self.first_sizes, dim=-1)
        if self.hypernet_layers == 2:
            weight_1, weight_2 = linear(self.weight_1, F.relu(weight_1)), linear(self.weight_2, F.relu(weight_2))
        if self.monotonic:
            weight_1, weight_2 = weight_1.abs(), weight_2.abs()
        per_agent = weight_1.unflatten(-1, (q.shape[-1], self.embed_dim))
        hidden = F.elu((q.unsqueeze(-1) * per_agent).sum(-2) + bias_1)
        return (hidden * weight_2).sum(-1, keepdim=True) + linear(self.value, F.relu(value))


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
