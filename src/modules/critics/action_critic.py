"""Critics of actions that are inputs, so that values have a gradient with respect to them (MADDPG, FACMAC)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.critics.action_sum import action_sum
from modules.first_linear import FirstLinear, as_one_layer
from modules.rows import linear, linear_relu


class ActionCritic(nn.Module):
    """Q_i(x, u_1, ..., u_A): an MLP on the state, an agent's own part, and the actions of all agents.

    The first layer is computed in parts, what all agents share once per step (as in ``CounterfactualCritic``), and is
    initialised as one ``nn.Linear`` on the whole input.

    Args:
        shared_dim: S, entries of the state.
        own_dim: O', entries of an agent's own part (its number, its observation).
        n_agents: A, agents whose actions it reads, those of its team first.
        n_actions: U, the most that any of them has.
        hidden_dim: H, width of both hidden layers.
        agents: which agents this network serves (parameter sharing).
        shared_unit, own_unit: what stands for 1 where these inputs are bytes.
    """

    agents: Tensor

    def __init__(
        self,
        *,
        shared_dim: int,
        own_dim: int,
        n_agents: int,
        n_actions: int,
        hidden_dim: int,
        agents: list[int],
        shared_unit: int = 1,
        own_unit: int = 1,
    ) -> None:
        super().__init__()
        self.shared = FirstLinear(shared_dim, hidden_dim, unit=shared_unit)
        self.own = FirstLinear(own_dim, hidden_dim, bias=False, unit=own_unit)
        self.action = nn.Linear(n_agents * n_actions, hidden_dim, bias=False)
        as_one_layer(shared_dim + own_dim + n_agents * n_actions, self.shared, self.own, self.action)
        self.fc2, self.fc3 = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, 1)
        self.register_buffer("agents", torch.tensor(agents), persistent=False)

    def forward(self, own: Tensor, shared: Tensor, joint: Tensor, acting: Tensor | None = None) -> Tensor:
        """Values of joint actions.

        Args:
            own: [B, T, A', O'], of the agents that this network serves.
            shared: [B, T, S].
            joint: one-hot actions of all agents [B, T, A, U]; or [B, T, A'', A, U], as each of the team supposes.
            acting: [B, T, A'', U''], what each agent of the team does itself instead of what ``joint`` [B, T, A, U]
                says; U'' are the team's own actions.

        Returns:
            [B, T, A', 1]
        """
        shape = own.shape[:3]
        same = own.stride()[:2] == (0, 0)  # an agent's own part is its number alone
        mine = linear(self.own, own[:1, :1] if same else own).flatten(0, 1)
        base, change, columns = linear(self.shared, shared), None, None
        if joint.dim() == 5:
            mine = mine + linear(self.action, self._own(joint, 2).flatten(3)).flatten(0, 1)
        else:
            base = base + linear(self.action, joint.flatten(2))
        if acting is not None:
            n_actions = acting.shape[-1]
            change = (self._own(acting, 2) - self._own(joint, 2)[..., :n_actions]).flatten(0, 1)
            columns = self.action.weight.t().unflatten(0, joint.shape[2:])[self.agents, :n_actions]  # [A', U'', H]
        first = action_sum(base.flatten(0, 1), mine, change, columns)
        return linear(self.fc3, linear_relu(self.fc2, first)).view(*shape, 1)

    def _own(self, x: Tensor, axis: int) -> Tensor:
        return x if x.shape[axis] == len(self.agents) else x.index_select(axis, self.agents)


class OwnActionCritic(nn.Module):
    """Q_i(o_i, u_i): an MLP on an agent's own input and action.

    Args:
        own_dim: O', entries of the own input.
        n_actions: U.
        hidden_dim: width of both hidden layers.
        agents: which agents this network serves.
        own_unit: what stands for 1 where the input is bytes.
    """

    agents: Tensor

    def __init__(self, *, own_dim: int, n_actions: int, hidden_dim: int, agents: list[int], own_unit: int = 1) -> None:
        super().__init__()
        self.own = FirstLinear(own_dim, hidden_dim, unit=own_unit)
        self.action = nn.Linear(n_actions, hidden_dim, bias=False)
        as_one_layer(own_dim + n_actions, self.own, self.action)
        self.fc2, self.fc3 = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, 1)
        self.register_buffer("agents", torch.tensor(agents), persistent=False)

    def forward(self, own: Tensor, joint: Tensor) -> Tensor:
        """Own inputs [B, T, A', O'] and one-hot actions of all agents [B, T, A, U] -> [B, T, A', 1]."""
        acting = joint if joint.shape[2] == len(self.agents) else joint.index_select(2, self.agents)
        first = linear(self.own, own) + linear(self.action, acting)
        return linear(self.fc3, linear_relu(self.fc2, F.relu(first)))
