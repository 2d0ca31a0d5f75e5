"""The joint critic of COMA and ASAE: Q(s, (u^-a, .)) for all of an agent's own actions in one pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.shapes import check
from modules.first_linear import FirstLinear, as_one_layer
from modules.rows import linear, linear_relu


class CounterfactualCritic(nn.Module):
    """MLP on (state, own observation, agent, last joint action, the partners' actions) (Foerster et al. 2018).

    The first layer is linear, so it is computed in parts: what all agents share once per step, what is an agent's
    own once per agent and step, and the partners' actions once per sample as a sum of weight columns. No input is
    ever copied per sample. Mathematically it is one ``nn.Linear`` on the concatenation, and is initialised as one.

    Args:
        shared_dim: S', entries of the input that all agents share (state, last joint action).
        own_dim: O', entries of an agent's own input (observation, one-hot agent).
        n_agents: A, agents of the whole team.
        n_actions: U.
        hidden_dim: H, width of both hidden layers.
        agents: which agents this network serves (parameter sharing).
        shared_unit, own_unit: what stands for 1 where these inputs are bytes.
        value_head: a network of its own for V(s), of the same width (:meth:`value`).
    """

    offsets: Tensor
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
        value_head: bool = False,
    ) -> None:
        super().__init__()
        self.n_actions = n_actions
        self.shared = FirstLinear(shared_dim, hidden_dim, unit=shared_unit)
        self.own = FirstLinear(own_dim, hidden_dim, bias=False, unit=own_unit)
        self.action = nn.Embedding(n_agents * n_actions, hidden_dim)
        as_one_layer(shared_dim + own_dim + n_agents * n_actions, self.shared, self.own, self.action)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, n_actions)
        if value_head:
            self.value_shared = FirstLinear(shared_dim, hidden_dim, unit=shared_unit)
            self.value_own = FirstLinear(own_dim, hidden_dim, bias=False, unit=own_unit)
            self.value_fc2 = nn.Linear(hidden_dim, hidden_dim)
            self.value_fc3 = nn.Linear(hidden_dim, 1)
        self.register_buffer("offsets", torch.arange(n_agents) * n_actions, persistent=False)
        self.register_buffer("agents", torch.tensor(agents), persistent=False)

    def forward(self, own: Tensor, shared: Tensor, joint_actions: Tensor) -> Tensor:
        """Q-values of every own action beside the partners' actions of every sample.

        Args:
            own: [B, T, A', O'], the agents that this network serves.
            shared: [B, T, S'].
            joint_actions: int64 [B, T, M, A]; agent a's own entry has no influence on its row.

        Returns:
            [B, T, A', M, U]
        """
        check("joint_actions", joint_actions, "B T M A", B=own.shape[0], T=own.shape[1], A=len(self.offsets))
        static = linear(self.own, own) + linear(self.shared, shared).unsqueeze(2)  # [B, T, A', H]
        return self._rest(static, self._partners(joint_actions))

    def enumerate(self, own: Tensor, shared: Tensor, partner_actions: Tensor) -> Tensor:
        """Q-values beside enumerated joint actions of the partners.

        Args:
            own, shared: as in :meth:`forward`.
            partner_actions: int64 [A, K, A], the K joint actions for each agent.

        Returns:
            [B, T, A', K, U]
        """
        static = linear(self.own, own) + linear(self.shared, shared).unsqueeze(2)
        columns = self.action(partner_actions + self.offsets)  # [A, K, A, H]
        own_columns = columns[torch.arange(len(columns), device=columns.device), :, torch.arange(len(columns))]
        partners = (columns.sum(-2) - own_columns)[self.agents]  # [A', K, H]
        return self._rest(static, partners)

    def value(self, own: Tensor, shared: Tensor) -> Tensor:
        """V(s) of the value head; own and shared as in :meth:`forward` -> [B, T, A', 1]."""
        hidden = F.relu(linear(self.value_own, own) + linear(self.value_shared, shared).unsqueeze(2))
        return linear(self.value_fc3, linear_relu(self.value_fc2, hidden))

    def _partners(self, joint_actions: Tensor) -> Tensor:
        """First-layer part of the partners' actions: [B, T, M, A] -> [B, T, A', M, H]."""
        columns = self.action((joint_actions + self.offsets).transpose(2, 3))  # [B, T, A, M, H]
        total = columns.sum(2, keepdim=True)
        return total - (columns if len(self.agents) == columns.shape[2] else columns.index_select(2, self.agents))

    def _rest(self, static: Tensor, partners: Tensor) -> Tensor:
        hidden = F.relu(partners + static.unsqueeze(3), inplace=True)
        return linear(self.fc3, linear_relu(self.fc2, hidden))
