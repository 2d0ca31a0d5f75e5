"""Two agents, three actions, five states that are one-hot: networks that are tables."""

import pytest
import torch
from torch import nn

from core.data import EpisodeBatch, TeamSpec
from forward_critic import ForwardCritic

A, U, S = 2, 3, 5
GAMMA = 0.9


class Table(nn.Module):
    """Values of every agent's actions in every state: [S, A, U]."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, x, packing=None, sizes=None):
        return torch.einsum("btas,sau->btau", x, self.values)


class TableCritic(ForwardCritic):
    """Q(s, (u_partner, u_own)) of two agents: [S, A, U, U]; the value head's V(s): [S, A]."""

    def __init__(self, values, state_values=None):
        super().__init__()
        self.values = nn.Parameter(values.clone())
        self.state_values = nn.Parameter(torch.zeros(S, A) if state_values is None else state_values.clone())

    def value(self, own, shared, packing=None):
        return torch.einsum("bts,sa->bta", shared, self.state_values).unsqueeze(-1)

    def forward(self, own, shared, joint, packing=None):
        per_state = torch.einsum("bts,sapu->btapu", shared, self.values)
        partner = joint.flip(-1).transpose(2, 3)  # [B, T, A, M]
        return per_state.gather(3, partner.unsqueeze(-1).expand(*partner.shape, U))

    def enumerate(self, own, shared, partner_actions, packing=None):
        per_state = torch.einsum("bts,sapu->btapu", shared, self.values)
        return torch.stack([per_state[:, :, a, partner_actions[a, :, 1 - a]] for a in range(A)], dim=2)


class World:
    """What the tests build from."""

    A, U, S, GAMMA = A, U, S, GAMMA
    Table, TableCritic = Table, TableCritic
    spec = TeamSpec(name="agents", n_agents=A, n_actions=U, obs_dim=S, state_dim=S, reward_dim=1)
    individual = TeamSpec(name="agents", n_agents=A, n_actions=U, obs_dim=S, state_dim=S, reward_dim=A)

    @staticmethod
    def generators(seed=0):
        names = ("explore", "test_policy", "learner")
        return {name: torch.Generator().manual_seed(seed + k) for k, name in enumerate(names)}

    @staticmethod
    def batch(states, lengths, terminated, *, seed=0, reward_dim=1, masked=True, bootstrap_state=None):
        """Episodes through the given states (lists of length + 1), padded with rubbish."""
        g = torch.Generator().manual_seed(seed)
        n, n_steps = len(states), max(lengths)
        index = torch.randint(0, S, (n, n_steps + 1), generator=g)
        for b, row in enumerate(states):
            index[b, : len(row)] = torch.tensor(row)
        state = nn.functional.one_hot(index, S).float()
        length = torch.tensor(lengths)
        available = torch.ones(n, n_steps + 1, A, U, dtype=torch.bool)
        if masked:
            available = torch.rand(n, n_steps + 1, A, U, generator=g) < 0.6
            available[..., 0] |= ~available.any(-1)
        wish = torch.rand(n, n_steps, A, U, generator=g).masked_fill(~available[:, :-1], -1)
        return EpisodeBatch(
            obs=state.unsqueeze(2).expand(-1, -1, A, -1).clone(),
            state=state,
            available=available,
            actions=wish.argmax(-1),
            rewards=torch.randn(n, n_steps, reward_dim, generator=g),
            terminated=(torch.arange(n_steps) == length[:, None] - 1) & torch.tensor(terminated)[:, None],
            mask=torch.arange(n_steps) < length[:, None],
        )

    @staticmethod
    def some_batch(**kwargs):
        """A terminated, a truncated, a short terminated and a short truncated episode; state 4 is the last one."""
        states = [[0, 1, 2, 4], [1, 0, 3, 4], [2, 4], [3, 0, 4]]
        return World.batch(states, [3, 3, 1, 2], [True, False, True, False], **kwargs)


@pytest.fixture(scope="session")
def world():
    return World
