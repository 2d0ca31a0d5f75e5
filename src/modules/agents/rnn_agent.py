"""The agents' network: linear, ReLU, GRU (or linear and ReLU), linear."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.first_linear import FirstLinear
from modules.gru import SequenceGRU
from modules.rows import mlp


class RNNAgent(nn.Module):
    """Individual network of an agent (PyMARL's and EPyMARL's RNNAgent): logits or Q-values of its actions.

    Args:
        input_dim: I.
        n_actions: U.
        hidden_dim: width of both layers.
        use_rnn: a GRU in the middle; otherwise a linear layer, and the agent sees its present input only.
        unit: what stands for 1 among inputs that are bytes.
    """

    def __init__(self, input_dim: int, n_actions: int, *, hidden_dim: int, use_rnn: bool, unit: int = 1) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.fc1 = FirstLinear(input_dim, hidden_dim, unit=unit)
        self.rnn: SequenceGRU | nn.Linear = (
            SequenceGRU(hidden_dim, hidden_dim) if use_rnn else nn.Linear(hidden_dim, hidden_dim)
        )
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    takes_sparse = True
    """Whether whole episodes may be ``modules.sparse_rows.SparseRows``."""
    each_alone = True
    """Whether agents may be packed one by one (``core.packing``)."""

    @property
    def recurrent(self) -> bool:
        """Whether it has a memory."""
        return isinstance(self.rnn, SequenceGRU)

    def forward(self, x: Tensor, *, sizes: list[int] | None = None) -> Tensor:
        """Whole episodes: [B, T, A, I], floats or bytes -> [B, T, A, U].

        Args:
            x: with ``sizes`` they are packed: [1, P, A, I].
            sizes: episodes of each time step (``core.packing``).
        """
        if isinstance(self.rnn, nn.Linear):
            return mlp(x, self.fc1, self.rnn, self.fc2)
        batch, time, agents, _ = x.shape
        by_time = x.transpose(0, 1)  # where they are packed they are so already
        sizes = [batch] * time if sizes is None else sizes
        hidden = mlp(by_time, self.fc1, rectified=True).flatten(0, -2)
        out = self.fc2(self.rnn.sequence(hidden, [size * agents for size in sizes]))
        return out.view(time, batch, agents, -1).transpose(0, 1)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One time step: [N, I] and hidden state [N, H] -> [N, U] and the next hidden state."""
        first, rnn, last = self.fc1, self.rnn, self.fc2
        hidden = torch.relu_(F.linear(x, first.weight, first.bias))
        if isinstance(rnn, nn.Linear):
            h, hidden = h, torch.relu_(F.linear(hidden, rnn.weight, rnn.bias))
        else:
            h = hidden = rnn.step(hidden, h)
        return F.linear(hidden, last.weight, last.bias), h
