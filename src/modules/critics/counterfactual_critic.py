"""The joint critic of COMA and ASAE: Q(s, (u^-a, .)) for all of an agent's own actions in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.shapes import check
from modules.critics.beside import Parts, first_layer, has_kernels, over_samples, taken
from modules.critics.one_node import taken_values
from modules.first_linear import FirstLinear, as_one_layer
from modules.rows import linear, linear_relu
from modules.sparse_rows import SparseRows


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
    takes_sparse = True
    """Whether :meth:`taken` takes ``SparseRows`` for ``own``."""

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
            own: [B, T, A', O'], the agents that this network serves; without its last A entries where these are the
                agent's number, one-hot, which is implied then.
            shared: [B, T, S'].
            joint_actions: int64 [B, T, M, A]; agent a's own entry has no influence on its row.

        Returns:
            [B, T, A', M, U]
        """
        hidden = first_layer(*self._first(own, shared, joint_actions))  # [S, A', M, H]
        shape = (*own.shape[:3], joint_actions.shape[2], self.n_actions)
        return self.fc3(linear_relu(self.fc2, hidden.flatten(0, 2))).view(shape)

    def taken(self, own: Tensor, actions: Tensor, shared: Tensor, joint_actions: Tensor) -> Tensor:
        """Q(s, u) of one joint action alone: [B, T, A', 1].

        Args:
            own, shared: as in :meth:`forward`.
            actions: int64 [B, T, A'], the own ones.
            joint_actions: int64 [B, T, 1, A].
        """
        rows: Any = own  # or what stands for it
        if has_kernels(shared) and (isinstance(rows, SparseRows) or (isinstance(rows, Tensor) and has_kernels(rows))):
            check("joint_actions", joint_actions, "B T M A", B=own.shape[0], T=own.shape[1], M=1, A=len(self.offsets))
            rows = rows if isinstance(rows, SparseRows) else rows.flatten(0, 2)
            layers = (self.own.weight, self.shared.weight, self.shared.bias, self.action.weight)
            rest = (self.fc2.weight, self.fc2.bias, self.fc3.weight, self.fc3.bias)
            given = (rows, shared.flatten(0, 1), joint_actions.flatten(0, 1), actions.flatten())
            return taken_values(*given, self.agents, (*layers, *rest)).view(*actions.shape, 1)
        hidden = first_layer(*self._first(own, shared, joint_actions)).flatten(0, 2)
        values = taken(self.fc2(hidden), self.fc3.weight, self.fc3.bias, actions.flatten())
        return values.view(*actions.shape, 1)

    @torch.no_grad()
    def judge(self, own: Tensor, pi: Tensor, actions: Tensor, shared: Tensor, joint_actions: Tensor) -> Tensor:
        """Credit of one own action, over samples (``estimators.credit.marginal``); without a gradient.

        The last layer is linear, so that it is applied to means over samples: exact, and no Q-value of a sample is
        ever made.

        Args:
            own, shared, joint_actions: as in :meth:`forward`.
            pi: [B, T, A', U], the own policies.
            actions: int64 [B, T, A'], the own actions that are judged.

        Returns:
            [B, T, A', 4]: the marginal advantage, its standard error, V, and Q beside the first sample.
        """
        weight, bias = self.fc3.weight, self.fc3.bias
        pi, actions = pi.flatten(0, 1), actions.flatten(0, 1)
        of_pi, of_action = pi @ weight, F.embedding(actions, weight)  # [S, A', H]
        constant, chosen = pi @ bias, bias.take(actions)
        products = over_samples(
            self._first(own, shared, joint_actions), self.fc2.weight, self.fc2.bias, of_action, of_pi
        )
        taken, error, expected, first = products.unbind(-1)
        value = expected + constant
        judged = torch.stack([taken + chosen - value, error, value, first + chosen], -1)
        return judged.view(*own.shape[:3], 4)

    def enumerate(self, own: Tensor, shared: Tensor, partner_actions: Tensor) -> Tensor:
        """Q-values beside enumerated joint actions of the partners.

        Args:
            own, shared: as in :meth:`forward`.
            partner_actions: int64 [A, K, A], the K joint actions for each agent.

        Returns:
            [B, T, A', K, U]
        """
        static = self._own(self.own, own) + linear(self.shared, shared).unsqueeze(2)
        static = static + self._numbers(self.own, own)
        columns = self.action(partner_actions + self.offsets)  # [A, K, A, H]
        own_columns = columns[torch.arange(len(columns), device=columns.device), :, torch.arange(len(columns))]
        partners = (columns.sum(-2) - own_columns)[self.agents]  # [A', K, H]
        hidden = F.relu(partners + static.unsqueeze(3), inplace=True)
        return linear(self.fc3, linear_relu(self.fc2, hidden))

    def value(self, own: Tensor, shared: Tensor) -> Tensor:
        """V(s) of the value head; own and shared as in :meth:`forward` -> [B, T, A', 1]."""
        static = self._own(self.value_own, own) + self._numbers(self.value_own, own)
        hidden = F.relu(static + linear(self.value_shared, shared).unsqueeze(2))
        return linear(self.value_fc3, linear_relu(self.value_fc2, hidden))

    def _first(self, own: Tensor, shared: Tensor, joint_actions: Tensor) -> Parts:
        """What :func:`modules.critics.beside.first_layer` is given."""
        check("joint_actions", joint_actions, "B T M A", B=own.shape[0], T=own.shape[1], A=len(self.offsets))
        parts = self._own(self.own, own), linear(self.shared, shared), joint_actions
        of_own, of_shared, joint = (x.flatten(0, 1) for x in parts)
        return of_own, self._numbers(self.own, own), of_shared, self.action.weight, joint, self.agents

    def _own(self, layer: FirstLinear, own: Tensor) -> Tensor:
        """A layer's part of the agents' own inputs: [B, T, A', H]."""
        if own.shape[-1]:
            return linear(layer, own)
        return layer.weight.new_zeros(*own.shape[:3], layer.out_features)

    def _numbers(self, layer: FirstLinear, own: Tensor) -> Tensor:
        """A layer's part of the agents' numbers, where they are left out of ``own``: [A', H]."""
        missing = layer.in_features - own.shape[-1]
        if not missing:
            return layer.weight.new_zeros(len(self.agents), layer.out_features)
        return layer.weight[:, -missing:].t().index_select(0, self.agents)
