"""Parameter sharing: one network for all agents, one each, one per type, or one per group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.packing import Packing, packed

Sharing = Literal["full", "none", "types", "seps"] | tuple[int, ...]


def agent_groups(
    sharing: Sharing, n_agents: int, types: tuple[int, ...] = (), found: tuple[int, ...] = ()
) -> list[list[int]]:
    """Turn the setting ``parameter_sharing`` into lists of agents, one list per network.

    Args:
        sharing: the setting.
        n_agents: A.
        types: number of every agent's type; empty where the environment does not say.
        found: number of every agent's group, as seps has found it; empty where it has not.

    Raises:
        UserError: a list of group numbers whose length is not the number of agents; "types" or "seps" where they are
            not known.
    """
    if sharing == "types":
        if not types:
            raise UserError(
                "parameter_sharing=types: this environment does not say of which types its agents are. Give full, "
                f"none, or one group number for each of the {n_agents} agents, e.g. {[0] * (n_agents - 1) + [1]}."
            )
        sharing = types
    if sharing == "seps" and n_agents == 1:
        return [[0]]
    if sharing == "seps":
        if len(found) != n_agents:
            known = f"those of {len(found)} agents are" if found else "none are"
            raise UserError(
                f"parameter_sharing=seps: a run finds the groups of its agents when it begins, and {known} known for "
                f"these {n_agents}. Give one group number for each of them, e.g. {[0] * (n_agents - 1) + [1]}."
            )
        sharing = found
    if sharing == "full":
        return [list(range(n_agents))]
    if sharing == "none":
        return [[agent] for agent in range(n_agents)]
    if len(sharing) != n_agents:
        raise UserError(
            f"parameter_sharing={list(sharing)} has {len(sharing)} entries, but there are {n_agents} agents: "
            "give full, none, or one group number per agent."
        )
    return [[a for a, group in enumerate(sharing) if group == g] for g in sorted(set(sharing))]


class Grouped(nn.Module):
    """Networks that serve groups of agents, called as one.

    Args:
        make: builds the network of one group from the list of its agents.
        groups: which agents each network serves; every agent once.
    """

    def __init__(self, make: Callable[[list[int]], nn.Module], groups: list[list[int]]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(make(agents) for agents in groups)
        self.recurrent = any(getattr(net, "recurrent", False) for net in self.nets)
        self.takes_sparse = len(self.nets) == 1 and getattr(self.nets[0], "takes_sparse", False)
        self.each_alone = len(self.nets) == 1 and getattr(self.nets[0], "each_alone", False)
        order = torch.tensor([agent for agents in groups for agent in agents])
        self.register_buffer("inverse", order.argsort(), persistent=False)
        for k, agents in enumerate(groups):
            self.register_buffer(f"agents_{k}", torch.tensor(agents), persistent=False)

    def forward(
        self, x: Tensor, *rest: Tensor, packing: Packing | None = None, sizes: list[int] | None = None
    ) -> Tensor:
        """Call every network on its agents of ``x`` (axis 2) and on ``rest`` as it is; join along axis 2.

        All begin with axes B and T, of which ``packing`` says what is real; the rest of what is returned is zero then.
        With ``sizes``, the rows of every time step, they are packed already: [1, P, ...].
        """
        if sizes is not None:
            return self._each("__call__", 1, x, *rest, **({"sizes": sizes} if self.recurrent else {}))
        return packed(packing, partial(self._each, "__call__", 1, **self._sizes(packing)), x, *rest)

    def of_group(self, group: int, x: Tensor, *, packing: Packing | None = None) -> Tensor:
        """As :meth:`forward`, of one network, all of whose agents are in ``x``."""
        return packed(packing, partial(self.nets[group], **self._sizes(packing)), x)

    def enumerate(self, own: Tensor, shared: Tensor, actions: Tensor, *, packing: Packing | None = None) -> Tensor:
        """As :meth:`forward`, calling the networks' ``enumerate`` (critics); ``actions`` are those of every row."""
        return packed(packing, partial(self._each, "enumerate", 1, partner_actions=actions), own, shared)

    def value(self, x: Tensor, *rest: Tensor, packing: Packing | None = None) -> Tensor:
        """As :meth:`forward`, calling the networks' ``value`` (critics with a value head)."""
        return packed(packing, partial(self._each, "value", 1), x, *rest)

    def taken(self, own: Tensor, actions: Tensor, *rest: Tensor, packing: Packing | None = None) -> Tensor:
        """As :meth:`forward`, calling the networks' ``taken`` (critics); actions are of their agents (axis 2)."""
        return packed(packing, partial(self._each, "taken", 2), own, actions, *rest)

    def judge(
        self, own: Tensor, pi: Tensor, actions: Tensor, *rest: Tensor, packing: Packing | None = None
    ) -> Tensor:  # fmt: skip
        """As :meth:`taken`, calling the networks' ``judge``; policies too are of their agents."""
        return packed(packing, partial(self._each, "judge", 3), own, pi, actions, *rest)

    def _sizes(self, packing: Packing | None) -> dict[str, Any]:
        """What networks with memory must know of packed rows."""
        return {} if packing is None or not self.recurrent else {"sizes": packing.sizes}

    def _each(self, method: str, n_own: int, *xs: Tensor, **named: Any) -> Tensor:
        """A method of all networks; the first ``n_own`` of what it is given have axis 2 of agents."""
        if len(self.nets) == 1:
            return getattr(self.nets[0], method)(*xs, **named)
        outs = []
        for k, net in enumerate(self.nets):
            agents = self.get_buffer(f"agents_{k}")
            own = (x.index_select(2, agents) for x in xs[:n_own])
            outs.append(getattr(net, method)(*own, *xs[n_own:], **named))
        return torch.cat(outs, dim=2).index_select(2, self.get_buffer("inverse"))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One time step of recurrent networks: x [N, A, I], h [N, A, H] -> [N, A, U], [N, A, H]."""
        nets = [*self.nets]  # once: a ModuleList looks every one up by its name
        if len(nets) == 1:
            return _step_rows(nets[0], x, h)
        pairs = []
        for k, net in enumerate(nets):
            agents = self.get_buffer(f"agents_{k}")
            pairs.append(_step_rows(net, x.index_select(1, agents), h.index_select(1, agents)))
        inverse = self.get_buffer("inverse")
        outs, hiddens = zip(*pairs, strict=True)
        return torch.cat(outs, 1).index_select(1, inverse), torch.cat(hiddens, 1).index_select(1, inverse)


def _step_rows(net: Any, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    out, next_h = net.step(x.flatten(0, 1), h.flatten(0, 1))
    return out.view(*x.shape[:2], -1), next_h.view_as(h)
