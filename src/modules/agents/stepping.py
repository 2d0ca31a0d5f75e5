"""A network of agents step by step without gradient, over memory that is laid out once an episode.

At ten worlds of three agents the arithmetic of a step takes half of its time, what is looked up and allocated the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modules.agents.rnn_agent import RNNAgent
from modules.gru import SequenceGRU
from modules.gru_kernels import single_step
from modules.sharing import Grouped


class Stepping:
    """``RNNAgent.step`` for all agents of N slots, on the CPU in single precision.

    Args:
        net: the network; its weights may move in place.
        inputs: [N, A, I], read at every step.
        hidden: [N, A, H], the hidden states, replaced at every step.
    """

    def __init__(self, net: RNNAgent, inputs: Tensor, hidden: Tensor) -> None:
        x, self._memory = inputs.flatten(0, 1), hidden.flatten(0, 1)
        n_rows, size = self._memory.shape
        self._first = self._layer(net.fc1, x)
        last = self._first[-1]
        self._second = None
        if isinstance(net.rnn, SequenceGRU):
            rnn = net.rnn
            w_ih, w_hh, b_ih, b_hh = (
                getattr(rnn, f"{name}_l0").detach() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            gates, recurrent = (torch.empty(n_rows, 3 * size) for _ in range(2))
            self._products = (last, w_ih.t(), gates), (self._memory, w_hh.t(), recurrent)
            given = (self._memory, gates, recurrent, b_ih, b_hh, self._memory)
            self._arrays = [each.numpy() for each in given]
            last = self._memory
        else:
            self._second = self._layer(net.rnn, last)
            last = self._second[-1]
        self._third = self._layer(net.fc2, last)
        self._out = self._third[-1].view(*inputs.shape[:2], -1)

    @staticmethod
    def of(agents: object, inputs: Tensor, hidden: Tensor) -> Stepping | None:
        """Of such networks as can be stepped so; None of others."""
        if not isinstance(agents, Grouped) or len(agents.nets) > 1 or type(agents.nets[0]) is not RNNAgent:
            return None
        net = agents.nets[0]
        fits = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in net.parameters())
        return Stepping(net, inputs, hidden) if fits else None

    @staticmethod
    def _layer(layer: torch.nn.Linear, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What ``addmm`` is given for a layer, and where its result goes."""
        weight, bias = layer.weight.detach(), layer.bias.detach()
        return bias, x, weight.t(), torch.empty(len(x), len(weight))

    def __call__(self) -> Tensor:
        """One step; outputs [N, A, U], which the next step overwrites."""
        torch.relu_(_apply(self._first))
        if self._second is not None:
            torch.relu_(_apply(self._second))
        else:
            for x, weight, out in self._products:
                torch.mm(x, weight, out=out)
            single_step(*self._arrays)
        _apply(self._third)
        return self._out


def _apply(layer: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    return torch.addmm(*layer[:3], out=layer[3])
