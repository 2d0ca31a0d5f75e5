"""What encoder and decoder are made of: attention over agents, an MLP, their initialisation (Wen et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import UserError
from modules.transformer.attending import attend


def dense(n_in: int, n_out: int, *, activated: bool = False) -> nn.Linear:
    """A linear layer, orthogonal with gain 0.01, or ReLU's gain in front of an activation; biases are zero."""
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain=nn.init.calculate_gain("relu") if activated else 0.01)
    nn.init.zeros_(layer.bias)
    return layer


def head(width: int, n_out: int) -> nn.Sequential:
    """Linear, GELU, LayerNorm, linear: [..., D] -> [..., n_out]."""
    return nn.Sequential(dense(width, width, activated=True), nn.GELU(), nn.LayerNorm(width), dense(width, n_out))


def mlp(width: int) -> nn.Sequential:
    """Linear, GELU, linear, all of one width."""
    return nn.Sequential(dense(width, width, activated=True), nn.GELU(), dense(width, width))


def as_floats(x: Tensor, unit: int) -> Tensor:
    """Floats as they are; bytes in units of what stands for 1 among them."""
    return x.float() / unit if x.dtype == torch.uint8 else x


def check_heads(setting: str, n_heads: int, width: int) -> None:
    """Refuse heads that do not divide a network's width.

    Raises:
        UserError: so it is; ``setting`` is what gives the heads.
    """
    if width % n_heads:
        raise UserError(f"{setting}={n_heads} does not divide the network's width {width}: give one that does, e.g. 1.")


class Attention(nn.Module):
    """Attention of one stream of tokens to another (or to itself).

    Args:
        width: D.
        n_heads: into which D is divided (:func:`check_heads`).
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = dense(width, width)
        self.memory = dense(width, 2 * width)  # keys and values in one product
        for half in self.memory.weight.detach().chunk(2):
            nn.init.orthogonal_(half, gain=0.01)
        self.project = dense(width, width)

    def forward(self, x: Tensor, stream: Tensor, hidden: Tensor | None = None) -> Tensor:
        """x [N, Q, D] attends to a stream [N, K, D], not where ``hidden`` (bool [Q, K]) holds: [N, Q, D]."""
        return self.attend(self.query(x), self.memory(stream), hidden)

    def attend(self, query: Tensor, memory: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The same from what ``query`` [N, Q, D] and ``memory`` [N, K, 2 D] gave."""
        return self.project(attend(query, memory, hidden, self.n_heads))


class EncoderBlock(nn.Module):
    """Attention to all agents, then an MLP, each added and normalised after (post-norm).

    Args:
        width, n_heads: see :class:`Attention`.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, n_heads)
        self.mlp = mlp(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N, A, D] -> [N, A, D]."""
        x = self.norms[0](x + self.attention(x, x))
        return self.norms[1](x + self.mlp(x))


class Encoder(nn.Module):
    """Observations of all agents, each a token, to what each has taken from all of them.

    Args:
        input_dim: I.
        width: D.
        n_blocks, n_heads: of attention.
        unit: what stands for 1 among inputs that are bytes.
    """

    def __init__(self, input_dim: int, *, width: int, n_blocks: int, n_heads: int, unit: int = 1) -> None:
        super().__init__()
        self.unit = unit
        first = dense(input_dim, width, activated=True)
        self.embed = nn.Sequential(nn.LayerNorm(input_dim), first, nn.GELU(), nn.LayerNorm(width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, n_heads) for _ in range(n_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """[..., A, I], floats or bytes -> [..., A, D]."""
        return self.encode(x.flatten(0, -3)).view(*x.shape[:-1], -1)

    def encode(self, x: Tensor) -> Tensor:
        """The same of rows: [N, A, I] -> [N, A, D]."""
        return self.blocks(self.embed(as_floats(x, self.unit)))


class EncoderCritic(nn.Module):
    """An encoder with a value for each agent: MAT-Dec's critic. The arguments are those of :class:`Encoder`."""

    def __init__(self, input_dim: int, *, width: int, n_blocks: int, n_heads: int, unit: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(input_dim, width=width, n_blocks=n_blocks, n_heads=n_heads, unit=unit)
        self.head = head(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, A, I], floats or bytes -> [B, T, A, 1]."""
        return self.head(self.encoder(x))


class NormedAgent(nn.Module):
    """MAT-Dec's actor: an MLP with LayerNorm and GELU on the own observation.

    Args:
        input_dim: I.
        n_actions: U.
        width: of both layers.
        unit: what stands for 1 among inputs that are bytes.
    """

    def __init__(self, input_dim: int, n_actions: int, *, width: int, unit: int = 1) -> None:
        super().__init__()
        self.unit = unit
        self.norm = nn.LayerNorm(input_dim)
        self.fc1 = dense(input_dim, width, activated=True)
        self.rest = nn.Sequential(nn.LayerNorm(width), head(width, n_actions))

    each_alone = True
    """As ``RNNAgent``'s."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., I], floats or bytes -> [..., U]."""
        return self.rest(F.gelu(self.fc1(self.norm(as_floats(x, self.unit)))))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One time step of a network that remembers nothing: [N, I] -> [N, U]; the hidden state stays as it is."""
        return self(x), h
