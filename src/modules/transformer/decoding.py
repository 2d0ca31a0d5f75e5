"""Acting with MAT: one agent's action after another's."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from modules.transformer.decoder import DecoderBlock, Transformer
from modules.transformer.decoding_kernels import block, head


class Decoding:
    """The logits of one agent after another; on a CPU, in single precision, with keys and values of those before kept.

    Elsewhere every agent's turn is a pass over all of them, whose later tokens nobody has looked at.

    Args:
        net: whose policy.
        x: inputs [N, A, I].
    """

    def __init__(self, net: Transformer, x: Tensor) -> None:
        self.net, self.agent = net, 0
        self.z = net.encoder(x)  # [N, A, D]
        self.actions = torch.zeros(self.z.shape[:2], dtype=torch.int64, device=x.device)
        plain = not self.z.is_cuda and self.z.dtype == torch.float32
        self._turns = _Turns(net, self.z.numpy()) if plain else None

    def next(self, previous: Tensor | None) -> Tensor:
        """Logits [N, U] of the next agent; ``previous`` int64 [N] is the action of the one before it."""
        agent, self.agent = self.agent, self.agent + 1
        if self._turns is not None:
            return torch.from_numpy(self._turns.logits(agent, None if previous is None else previous.numpy()))
        if previous is not None:
            self.actions[:, agent - 1] = previous
        return self.net.decode(self.z.unsqueeze(1), self.actions.unsqueeze(1))[:, 0, agent]


class _Turns:
    """The decoder's weights as its kernels read them, and what they remember of one time step."""

    def __init__(self, net: Transformer, z: np.ndarray) -> None:
        n, agents, size = z.shape
        self.z, self.n_heads = z, net.decoder[0].own.n_heads
        self.tokens = net.embed(net.token.weight).numpy()  # the flag first
        self.blocks = [(*_layers(each), _norms(each.norms)) for each in net.decoder]
        self.past = [np.empty((n, 4, agents, size), np.float32) for _ in self.blocks]
        first, _, norm, last = cast(Any, net.head)
        self.head = (*_matrix(first), _norms([norm])[0], *_matrix(last))
        self.work, self.scores = np.empty((3, size), np.float32), np.empty(agents, np.float32)

    def logits(self, agent: int, previous: np.ndarray | None) -> np.ndarray:
        """As :meth:`Decoding.next`."""
        x = self.tokens[np.zeros(len(self.z), np.int64) if previous is None else 1 + previous]
        for past, weights in zip(self.past, self.blocks, strict=True):
            block(agent, self.n_heads, x, self.z, past, *weights, self.work, self.scores)
        out = np.empty((len(x), len(self.head[-1])), np.float32)
        head(x, *self.head, self.work, out)
        return out


def _layers(each: DecoderBlock) -> tuple[np.ndarray, np.ndarray]:
    """Weights [10, D, D] and biases [10, D] of a block, in the kernel's order."""
    layers: list[Any] = [layer for part in (each.own, each.cross) for layer in (part.query, part.memory, part.project)]
    layers += [each.mlp[0], each.mlp[2]]
    size = layers[0].in_features
    weights = torch.cat([layer.weight for layer in layers]).view(-1, size, size).transpose(1, 2).contiguous()
    return weights.numpy(), torch.cat([layer.bias for layer in layers]).view(-1, size).numpy()


def _matrix(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.t().contiguous().numpy(), layer.bias.numpy()


def _norms(norms: Any) -> np.ndarray:
    """Gains and shifts: [K, 2, D]."""
    return torch.stack([part for norm in norms for part in (norm.weight, norm.bias)]).view(len(norms), 2, -1).numpy()
