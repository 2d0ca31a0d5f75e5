"""DOP's critic: Q_tot(s, u) is linear in utilities of every agent's own action (Wang et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.packing import Packing, packed
from modules.first_linear import FirstLinear, as_one_layer
from modules.rows import linear, linear_relu
from modules.sharing import Grouped


@dataclass(frozen=True, kw_only=True)
class LinearValues:
    """Q_tot(s, u) = sum_i k_i(s) Q_i(s, u_i) + b(s).

    Attributes:
        q: [B, T, A, U], Q_i of every own action.
        k: [B, T, A], not negative.
        b: [B, T, 1].
    """

    q: Tensor
    k: Tensor
    b: Tensor

    def taken(self, actions: Tensor) -> Tensor:
        """Q_tot of joint actions int64 [B, T, A]: [B, T, 1]."""
        chosen = self.q.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return (self.k * chosen).sum(-1, keepdim=True) + self.b

    def expected(self, pi: Tensor) -> Tensor:
        """Exact mean of Q_tot under independent policies [B, T, A, U]: [B, T, 1]."""
        return (self.k * (pi * self.q).sum(-1)).sum(-1, keepdim=True) + self.b

    def beside(self, joint_actions: Tensor) -> Tensor:
        """Q_tot(s, (u^-a, .)) of every own action beside partners' actions int64 [B, T, M, A]: [B, T, A, M, U]."""
        own = (self.k.unsqueeze(-1) * self.q).unsqueeze(3)  # [B, T, A, 1, U]
        shape = (*own.shape[:3], joint_actions.shape[2], own.shape[-1])
        chosen = own.expand(shape).gather(-1, joint_actions.transpose(2, 3).unsqueeze(-1)).squeeze(-1)  # [B, T, A, M]
        partners = chosen.sum(2, keepdim=True) - chosen + self.b.unsqueeze(-1)
        return partners.unsqueeze(-1) + own


class Utility(nn.Module):
    """Q_i(s, o_i, i, .): an MLP whose last layers give a value and what each action adds to it.

    Args:
        shared_dim: S, entries of the state.
        own_dim: O', entries of an agent's own input (observation, one-hot agent).
        n_actions: U.
        hidden_dim: H, width of both hidden layers.
        shared_unit, own_unit: what stands for 1 where these inputs are bytes.
    """

    def __init__(
        self, *, shared_dim: int, own_dim: int, n_actions: int, hidden_dim: int, shared_unit: int = 1, own_unit: int = 1
    ) -> None:
        super().__init__()
        self.shared = FirstLinear(shared_dim, hidden_dim, unit=shared_unit)
        self.own = FirstLinear(own_dim, hidden_dim, bias=False, unit=own_unit)
        as_one_layer(shared_dim + own_dim, self.shared, self.own)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.value = nn.Linear(hidden_dim, 1)
        self.advantage = nn.Linear(hidden_dim, n_actions)

    def forward(self, own: Tensor, shared: Tensor) -> Tensor:
        """own [B, T, A', O'] and shared [B, T, S] -> [B, T, A', U]."""
        hidden = F.relu(linear(self.own, own) + linear(self.shared, shared).unsqueeze(2), inplace=True)
        hidden = linear_relu(self.fc2, hidden)
        return linear(self.value, hidden) + linear(self.advantage, hidden)


class Weights(nn.Module):
    """k_i(s) >= 0: the product of the absolute values of two linear maps of the state, as of a mixer without bends.

    Args:
        state_dim: S.
        n_agents: A.
        embed_dim: entries that are summed.
        normalised: divide by the sum over agents.
        unit: what stands for 1 in a state of bytes.
    """

    def __init__(self, state_dim: int, n_agents: int, *, embed_dim: int, normalised: bool, unit: int = 1) -> None:
        super().__init__()
        self.n_agents, self.embed_dim, self.normalised = n_agents, embed_dim, normalised
        self.first = FirstLinear(state_dim, (n_agents + 1) * embed_dim, unit=unit)

    def forward(self, state: Tensor) -> Tensor:
        """[B, T, S] -> [B, T, A]."""
        maps = linear(self.first, state).abs().unflatten(-1, (self.n_agents + 1, self.embed_dim))
        k = (maps[..., :-1, :] * maps[..., -1:, :]).sum(-1)
        return k / k.sum(-1, keepdim=True).clamp(min=torch.finfo(k.dtype).tiny) if self.normalised else k


class StateBias(nn.Module):
    """b(s), an MLP of one hidden layer; arguments as of :class:`Weights`."""

    def __init__(self, state_dim: int, *, embed_dim: int, unit: int = 1) -> None:
        super().__init__()
        self.first, self.last = FirstLinear(state_dim, embed_dim, unit=unit), nn.Linear(embed_dim, 1)

    def forward(self, state: Tensor) -> Tensor:
        """[B, T, S] -> [B, T, 1]."""
        return linear(self.last, F.relu(linear(self.first, state)))


class LinearCritic(nn.Module):
    """Utilities of groups of agents, their weights, and the bias where there is one.

    Args:
        utilities: Q_i.
        weights: k_i.
        bias: b; None is 0.
    """

    def __init__(self, utilities: Grouped, weights: Weights, bias: StateBias | None) -> None:
        super().__init__()
        self.utilities, self.weights, self.bias = utilities, weights, bias

    def forward(self, own: Tensor, shared: Tensor, *, packing: Packing | None = None) -> LinearValues:
        """own [B, T, A, O'] and the state [B, T, S]; all zero where ``packing`` says padding."""
        q, k = self.utilities(own, shared, packing=packing), packed(packing, self.weights, shared)
        b = torch.zeros_like(k[..., :1]) if self.bias is None else packed(packing, self.bias, shared)
        return LinearValues(q=q, k=k, b=b)
