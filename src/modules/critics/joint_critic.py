"""Q(s, u) of whole joint actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.first_linear import FirstLinear, as_one_layer
from modules.rows import linear, linear_relu


class JointCritic(nn.Module):
    """MLP on the state and the one-hot actions of all agents.

    Args:
        state_dim: S.
        n_agents: A.
        n_actions: U.
        hidden_dim: H, width of both hidden layers.
        unit: what stands for 1 in a state of bytes.
    """

    offsets: Tensor

    def __init__(self, state_dim: int, n_agents: int, n_actions: int, *, hidden_dim: int, unit: int = 1) -> None:
        super().__init__()
        self.n_actions = n_actions
        self.state = FirstLinear(state_dim, hidden_dim, unit=unit)
        self.action = nn.Embedding(n_agents * n_actions, hidden_dim)
        as_one_layer(state_dim + n_agents * n_actions, self.state, self.action)
        self.hidden, self.last = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, 1)
        self.register_buffer("offsets", torch.arange(n_agents) * n_actions, persistent=False)

    def forward(self, state: Tensor, actions: Tensor) -> Tensor:
        """State [B, T, S] and actions int64 [B, T, A] -> Q(s, u) [B, T, 1]."""
        return self._rest(linear(self.state, state) + self.action(actions + self.offsets).sum(-2))

    def each(self, state: Tensor, actions: Tensor) -> Tensor:
        """Q(s, (u^-a, .)) of all of every agent's own actions: [B, T, A, U]; arguments as of :meth:`forward`."""
        columns = self.action(actions + self.offsets)  # [B, T, A, H]
        partners = (linear(self.state, state) + columns.sum(-2)).unsqueeze(-2) - columns
        own = self.action.weight.view(len(self.offsets), self.n_actions, -1)
        return self._rest(partners.unsqueeze(-2) + own).squeeze(-1)

    def _rest(self, first: Tensor) -> Tensor:
        return linear(self.last, linear_relu(self.hidden, F.relu(first)))
