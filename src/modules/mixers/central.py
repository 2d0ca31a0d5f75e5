"""Weighted QMIX's unrestricted mixer (Rashid et al. 2020, arXiv 2006.10800)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from modules.first_linear import FirstLinear
from modules.rows import linear, linear_relu


class CentralMixer(nn.Module):
    """Q*(s, u): an MLP on the agents' values and the state, and a value of the state.

    Args:
        state_dim: S.
        n_agents: A.
        hidden_dim: width of its three hidden layers.
        value_dim: width of the state's own value.
        unit: what stands for 1 in a state of bytes.
    """

    def __init__(self, state_dim: int, n_agents: int, *, hidden_dim: int, value_dim: int, unit: int = 1) -> None:
        super().__init__()
        self.sizes = [hidden_dim, value_dim]
        self.first = FirstLinear(state_dim, sum(self.sizes), unit=unit)
        self.values = nn.Linear(n_agents, hidden_dim, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(2))
        self.last, self.value = nn.Linear(hidden_dim, 1), nn.Linear(value_dim, 1)

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """The agents' chosen values [B, T, A] and state [B, T, S] -> [B, T, 1]."""
        hidden, value = linear(self.first, state).split(self.sizes, dim=-1)
        hidden = F.relu(hidden + linear(self.values, q))
        for layer in self.hidden:
            hidden = linear_relu(layer, hidden)  # type: ignore[arg-type]
        return linear(self.last, hidden) + linear(self.value, F.relu(value))
