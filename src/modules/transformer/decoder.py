"""MAT's policy: an encoder of observations, a decoder that writes one action after another (Wen et al. 2022)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.transformer.attention import Attention, Encoder, head, mlp


class DecoderBlock(nn.Module):
    """Attention among the actions so far, of the encoded observations to them, an MLP (post-norm).

    Args:
        width, n_heads: see :class:`Attention`.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.own = Attention(width, n_heads)
        self.cross = Attention(width, n_heads)
        self.mlp = mlp(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(self, entered: Tensor, z: Tensor, hidden: Tensor) -> Tensor:
        """Tokens as they :meth:`enter` [N, A, 4 D] and encoded observations z [N, A, D], all at once: [N, A, D]."""
        width = z.shape[-1]
        x, query, memory = entered.split([width, width, 2 * width], -1)
        x = self.norms[0](x + self.own.attend(query, memory, hidden))
        x = self.norms[1](z + self.cross(z, x, hidden))
        return self.norms[2](x + self.mlp(x))

    def enter(self, x: Tensor) -> Tensor:
        """A token with its query, key and value among the actions: [..., D] -> [..., 4 D]."""
        return torch.cat([x, self.own.query(x), self.own.memory(x)], -1)


class Transformer(nn.Module):
    """The policy of a whole team, pi(u) = prod_i pi_i(u_i | o, u_1, ..., u_{i-1}).

    The token of an agent is the action of the agent before it; that of the first is a flag of its own.

    Args:
        input_dim: I.
        n_agents: A.
        n_actions: U.
        width: D.
        n_blocks, n_heads: of encoder and decoder.
        unit: what stands for 1 among inputs that are bytes.
    """

    hidden: Tensor

    def __init__(
        self, input_dim: int, *, n_agents: int, n_actions: int, width: int, n_blocks: int, n_heads: int, unit: int = 1
    ) -> None:
        super().__init__()
        self.encoder = Encoder(input_dim, width=width, n_blocks=n_blocks, n_heads=n_heads, unit=unit)
        self.token = nn.Embedding(1 + n_actions, width)  # a linear layer on one-hot actions, without bias
        nn.init.orthogonal_(self.token.weight, gain=nn.init.calculate_gain("relu"))
        self.embed = nn.Sequential(nn.GELU(), nn.LayerNorm(width))
        self.blocks = nn.ModuleList(DecoderBlock(width, n_heads) for _ in range(n_blocks))
        self.head = head(width, n_actions)
        later = torch.ones(n_agents, n_agents, dtype=torch.bool).triu(1)
        self.register_buffer("hidden", later, persistent=False)

    @property
    def decoder(self) -> list[DecoderBlock]:
        """Its blocks."""
        return cast(list[DecoderBlock], list(self.blocks))

    def table(self) -> Tensor:
        """How every token, the flag first, enters the first block: [1 + U, 4 D]."""
        return self.decoder[0].enter(self.embed(self.token.weight))

    def forward(self, x: Tensor, actions: Tensor) -> Tensor:
        """Inputs [B, T, A, I] and executed actions int64 [B, T, A] -> every agent's logits [B, T, A, U]."""
        return self.decode(self.encoder(x), actions)

    def decode(self, z: Tensor, actions: Tensor) -> Tensor:
        """The same from encoded inputs [B, T, A, D]."""
        return self.decode_rows(z.flatten(0, 1), actions.flatten(0, 1)).view(*z.shape[:-1], -1)

    def decode_rows(self, z: Tensor, actions: Tensor) -> Tensor:
        """The same of rows: [N, A, D] and [N, A] -> [N, A, U]."""
        flags = torch.zeros_like(actions)
        flags[..., 1:] = 1 + actions[..., :-1]
        table = self.table()
        # a product with one-hot rows is this look-up, and has a product as its gradient where a look-up has a sort
        x = F.one_hot(flags, len(table)).to(table.dtype) @ table
        for k, block in enumerate(self.decoder):
            x = block(x if k == 0 else block.enter(x), z, self.hidden)
        return self.head(x)
