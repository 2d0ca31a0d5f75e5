"""A team's networks with all that stands around them, as graphs for other programs: inputs, network, best action.

All graphs are called alike, ``graph(observation, available, agent, last_action, state)``, one row for every decision:

* ``observation`` as the environment gives it, float32 or uint8 [N, O];
* ``available`` bool [N, U];
* ``agent`` int64 [N], the agent's number in its team;
* ``last_action`` int64 [N], -1 before the first;
* ``state`` float32 [N, H], what the last call returned; zeros before the first, H = 0 for networks without memory.

They return ``action`` int64 [N], the best available one, ``logits`` float32 [N, U], unmasked (or Q-values), and
``next_state`` [N, H].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from components.action_selectors import greedy
from components.mean_field import mean_of_others
from core.data import TeamSpec
from core.kinds import UNIT
from modules.sharing import Grouped
from modules.transformer.decoder import Transformer

INPUTS = ("observation", "available", "agent", "last_action", "state")
OUTPUTS = ("action", "logits", "next_state")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a network reads of a row, in this order: the observation, one-hot its last action, one-hot its agent.

    Attributes:
        spec: the team's sizes.
        last_action, agent_id: whether these are read.
        mean_action: whether the mean of the other agents' last actions is, behind all else.
    """

    spec: TeamSpec
    last_action: bool
    agent_id: bool
    mean_action: bool = False

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Name and width of each."""
        spec = self.spec
        parts = [("observation", spec.obs_dim)]
        parts += [("last_action", spec.n_actions)] if self.last_action else []
        parts += [("agent", spec.n_agents)] if self.agent_id else []
        return parts + ([("mean_action", spec.n_actions)] if self.mean_action else [])

    def rows(self, observation: Tensor, agent: Tensor, last_action: Tensor) -> Tensor:
        """Inputs of the network, but for the mean action: [N, I]."""
        unit = UNIT[self.spec.obs_kind]
        parts = [observation.float() / unit if unit != 1 else observation.float()]
        if self.last_action:
            parts.append(_one_hot(last_action, self.spec.n_actions))
        if self.agent_id:
            parts.append(_one_hot(agent, self.spec.n_agents))
        return torch.cat(parts, -1)


def _one_hot(index: Tensor, n: int) -> Tensor:
    """Zeros where the index is none of n: [N] -> [N, n]."""
    return (index.unsqueeze(-1) == torch.arange(n)).float()


class Graph(nn.Module):
    """Decisions of one agent each, by its own observation.

    Args:
        net: the network, with ``step``.
        agents: numbers of those that it serves.
        layout: of its inputs.
        state_size: H.
    """

    joint = False

    def __init__(self, net: nn.Module, agents: list[int], layout: Layout, *, state_size: int = 0) -> None:
        super().__init__()
        self.net, self.agents, self.layout, self.state_size = net, agents, layout, state_size

    def forward(
        self, observation: Tensor, available: Tensor, agent: Tensor, last_action: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the head of this file."""
        logits, state = self.net.step(self.layout.rows(observation, agent, last_action), state)  # type: ignore[operator]
        return greedy(logits, available), logits, state

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes: one row for every agent."""
        spec, n = self.layout.spec, len(self.agents)
        observation = torch.zeros(n, spec.obs_dim, dtype=torch.float32 if spec.obs_kind == "floats" else torch.uint8)
        available = torch.ones(n, spec.n_actions, dtype=torch.bool)
        return observation, available, torch.tensor(self.agents), torch.full((n,), -1), torch.zeros(n, self.state_size)


class JointGraph(Graph):
    """Decisions of whole teams: the rows are all A agents of one world, then those of the next; N is a multiple of A.

    An agent's logits stand beside the best actions of the agents before it.
    """

    joint = True
    net: Transformer

    def forward(
        self, observation: Tensor, available: Tensor, agent: Tensor, last_action: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the head of this file."""
        n_agents = self.layout.spec.n_agents  # view, not unflatten: PyTorch's exporter makes its sizes constants
        rows = self.layout.rows(observation, agent, last_action)
        encoded = self.net.encoder.encode(rows.view(-1, n_agents, rows.shape[-1]))  # [W, A, D]
        allowed = available.view(-1, n_agents, available.shape[-1])
        nothing = torch.zeros_like(allowed[:, 0, 0], dtype=torch.int64)
        actions, logits = [nothing] * n_agents, []
        for k in range(n_agents):
            values = self.net.decode_rows(encoded, torch.stack(actions, 1))[:, k]
            actions[k] = greedy(values, allowed[:, k])
            logits.append(values)
        return torch.stack(actions, 1).flatten(), torch.stack(logits, 1).flatten(0, 1), state


class MeanFieldGraph(Graph):
    """Decisions of whole teams by networks that read the mean of the living others' last actions; rows as above."""

    joint = True
    net: Grouped

    def forward(
        self, observation: Tensor, available: Tensor, agent: Tensor, last_action: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the head of this file."""
        spec = self.layout.spec
        last = _one_hot(last_action, spec.n_actions).view(-1, spec.n_agents, spec.n_actions)
        living = available.view(-1, spec.n_agents, spec.n_actions).sum(-1, keepdim=True) > 1
        rows = self.layout.rows(observation, agent, last_action)
        x = torch.cat([rows.view(-1, spec.n_agents, rows.shape[-1]), mean_of_others(last, living)], -1)
        memory = state.view(-1, spec.n_agents, self.state_size) if self.state_size else x[..., :0]
        logits, memory = self.net.step(x, memory)
        logits = logits.view(-1, spec.n_actions)
        return greedy(logits, available), logits, memory.view(-1, self.state_size) if self.state_size else state
