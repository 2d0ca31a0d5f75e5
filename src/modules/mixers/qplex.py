"""QPLEX's duplex duelling mixer (Wang et al. 2021, arXiv 2008.01062)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.first_linear import FirstLinear
from modules.rows import linear

LEAST = 1e-10  # what keeps weights above 0


class DuplexMixer(nn.Module):
    """Q_tot = sum_i V~_i + sum_i lambda_i(s, u) A~_i, with V~ = w V + b, A~ = w A, w and lambda above 0.

    V is the greatest of an agent's values, A what an action has less. So Q_tot is greatest where every agent's own
    value is, whatever the weights, and can otherwise be any function with that maximum. lambda_i is a sum over kernels
    of |key(s)| sigmoid(agent_i(s)) sigmoid(action_i(s, u)); the agents' values get their gradient through w q + b
    alone. All kernels come out of one network of each kind (the authors have one for each kernel).

    Args:
        state_dim: S.
        n_agents: A.
        n_actions: U.
        kernels: K.
        layers: of the networks that make lambda, 1 (linear) to 3.
        hidden_dim: width of their hidden layers, and of those that make w and b.
        unit: what stands for 1 in a state of bytes.
    """

    def __init__(
        self,
        state_dim: int,
        n_agents: int,
        n_actions: int,
        *,
        kernels: int,
        layers: int,
        hidden_dim: int,
        unit: int = 1,
    ) -> None:
        super().__init__()
        self.n_agents, self.n_actions, self.kernels = n_agents, n_actions, kernels
        sizes = (kernels, kernels * n_agents, kernels * n_agents)  # keys, agents, actions
        firsts = sizes if layers == 1 else (hidden_dim,) * 3
        # the first layers of everything that reads the state are one linear map of it
        self.first_sizes = [hidden_dim, hidden_dim, *firsts]
        self.first = FirstLinear(state_dim, sum(self.first_sizes), unit=unit)
        self.columns = nn.Linear(n_agents * n_actions, firsts[-1], bias=False)  # of the joint action
        self.weight, self.bias = nn.Linear(hidden_dim, n_agents), nn.Linear(hidden_dim, n_agents)
        self.deeper = nn.ModuleList(
            nn.ModuleList(nn.Linear(hidden_dim, size if k == layers - 2 else hidden_dim) for k in range(layers - 1))
            for size in sizes
        )

    def forward(self, q: Tensor, state: Tensor, best: Tensor, actions: Tensor) -> Tensor:
        """Q_tot: [B, T, 1].

        Args:
            q: the values of what the agents do, [B, T, A].
            state: [B, T, S].
            best: the greatest of what they could do, [B, T, A].
            actions: int64 [B, T, A].
        """
        weight, bias, *parts = linear(self.first, state).split(self.first_sizes, dim=-1)
        weight = linear(self.weight, F.relu(weight)).abs() + LEAST
        values = weight * q + linear(self.bias, F.relu(bias))
        advantages = (weight * (q - best)).detach()
        weights = self._lambda(parts, actions)
        return (values + (weights - 1) * advantages).sum(-1, keepdim=True)

    def _lambda(self, parts: list[Tensor], actions: Tensor) -> Tensor:
        """lambda_i: [B, T, A], from the first layers of keys, agents and actions."""
        keys, agents, acts = parts
        acts = acts + linear(self.columns, F.one_hot(actions, self.n_actions).to(acts.dtype).flatten(-2))
        keys, agents, acts = (self._rest(k, x) for k, x in enumerate((keys, agents, acts)))
        kernels = (self.kernels, self.n_agents)
        terms = torch.sigmoid(agents).unflatten(-1, kernels) * torch.sigmoid(acts).unflatten(-1, kernels)
        return ((keys.abs() + LEAST).unsqueeze(-1) * terms).sum(-2)

    def _rest(self, kind: int, x: Tensor) -> Tensor:
        """The layers behind the first."""
        for layer in self.deeper[kind]:  # type: ignore[attr-defined]
            x = linear(layer, F.relu(x))
        return x
