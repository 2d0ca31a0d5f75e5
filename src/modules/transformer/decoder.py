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
        x, query, memory = self._parts(entered)
        x = self.norms[0](x + self.own.attend(query, memory, hidden))
        return self._finish(z + self.cross(z, x, hidden))

    def enter(self, x: Tensor) -> Tensor:
        """A token with its query, key and value among the actions: [..., D] -> [..., 4 D]."""
        return torch.cat([x, self.own.query(x), self.own.memory(x)], -1)

    def step(self, entered: Tensor, z: Tensor, query: Tensor, past: tuple[Tensor, Tensor], agent: int) -> Tensor:
        """The same for one agent.

        Args:
            entered: [N, 1, 4 D], its token as it enters.
            z, query: [N, 1, D], its encoded observation, and that as a query.
            past: keys and values of both attentions [N, A, 2 D], of the agents before it; its own are written here.
            agent: its number.
        """
        own, cross = past
        x, own_query, memory = self._parts(entered)
        own[:, agent : agent + 1] = memory
        x = self.norms[0](x + self.own.attend(own_query, own[:, : agent + 1]))
        cross[:, agent : agent + 1] = self.cross.memory(x)
        return self._finish(z + self.cross.attend(query, cross[:, : agent + 1]))

    @staticmethod
    def _parts(entered: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = entered.shape[-1] // 4
        return entered.split([width, width, 2 * width], -1)

    def _finish(self, x: Tensor) -> Tensor:
        x = self.norms[1](x)
        return self.norms[2](x + self.mlp(x))


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
        flags = torch.zeros_like(actions)
        flags[..., 1:] = 1 + actions[..., :-1]
        table, encoded = self.table(), z.flatten(0, 1)  # [N, A, D]
        # a product with one-hot rows is this look-up, and has a product as its gradient where a look-up has a sort
        x = F.one_hot(flags.flatten(0, 1), len(table)).to(table.dtype) @ table
        for k, block in enumerate(self.decoder):
            x = block(x if k == 0 else block.enter(x), encoded, self.hidden)
        return self.head(x).view(*z.shape[:-1], -1)


class Decoding:
    """One action after another, keys and values of those before kept.

    Args:
        net: whose policy.
        x: inputs [N, A, I].
    """

    def __init__(self, net: Transformer, x: Tensor) -> None:
        self.net, self.agent = net, 0
        self.blocks = net.decoder
        self.z = net.encoder(x)  # [N, A, D]
        self.queries = [block.cross.query(self.z) for block in self.blocks]
        shape = (*self.z.shape[:2], 2 * self.z.shape[2])
        self.past = [(self.z.new_empty(shape), self.z.new_empty(shape)) for _ in self.blocks]
        self.table = net.table().unsqueeze(1)

    def next(self, previous: Tensor | None) -> Tensor:
        """Logits [N, U] of the next agent; ``previous`` int64 [N] is the action of the one before it."""
        a, one = self.agent, slice(self.agent, self.agent + 1)
        x = self.table[:1].expand(len(self.z), -1, -1) if previous is None else self.table[1:][previous]
        z = self.z[:, one]
        for k, (block, query, past) in enumerate(zip(self.blocks, self.queries, self.past, strict=True)):
            x = block.step(x if k == 0 else block.enter(x), z, query[:, one], past, a)
        self.agent += 1
        return self.net.head(x).squeeze(1)
