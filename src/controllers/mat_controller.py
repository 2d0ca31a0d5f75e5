"""The controllers of the multi-agent transformer: MAT's acts agent by agent, MAT-Dec's has its own network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from controllers.basic_controller import BasicController, ControllerSettings
from controllers.graphs import Graph, JointGraph
from core.data import EpisodeBatch, PolicyOutput, TeamSpec
from core.errors import UserError
from core.kinds import UNIT
from core.packing import packed
from modules.transformer.attention import NormedAgent, check_heads
from modules.transformer.decoder import Transformer
from modules.transformer.decoding import Decoding


class MATControllerSettings(ControllerSettings):
    """What MAT's controller reads; ``hidden_dim`` is the transformer's width."""

    use_rnn: bool = Field(False, description="MAT has no recurrent network: false alone is possible.")
    n_blocks: int = Field(1, ge=1, description="Blocks of attention, in the encoder and in the decoder.")
    n_heads: int = Field(1, ge=1, description="Heads of every attention.")


class MATController(BasicController):
    """Acts for a team as one: every agent sees all observations and the actions of the agents before it.

    Args:
        spec, settings: see :class:`BasicController`.

    Attributes:
        encoded: [B, T+1, A, D], what the encoder said of the episodes of the last :meth:`forward`, with gradient.

    Raises:
        UserError: several networks, recurrent ones, or heads that do not divide the width.
    """

    one_network = True
    Settings = MATControllerSettings
    FORGOTTEN = BasicController.FORGOTTEN | {"encoded"}
    settings: MATControllerSettings
    encoded: Tensor

    def __init__(self, spec: TeamSpec, settings: MATControllerSettings, **others: Any) -> None:
        if settings.use_rnn:
            raise UserError(
                "use_rnn=True: MAT decides from the present observations of all agents, without memory: give "
                "use_rnn=false."
            )
        check_heads("n_heads", settings.n_heads, settings.hidden_dim)
        super().__init__(spec, settings, **others)
        if len(self.groups) > 1:
            given = settings.parameter_sharing
            raise UserError(
                f"parameter_sharing={given if isinstance(given, str) else list(given)}: MAT is one network, in which "
                "every agent is a token: give parameter_sharing=full."
            )

    @property
    def net(self) -> Transformer:
        """The team's network."""
        net = self.agents.nets[0]
        assert isinstance(net, Transformer)
        return net

    def _make_agent(self, agents: list[int]) -> nn.Module:
        spec, s = self.spec, self.settings
        sizes = {"n_agents": len(agents), "n_actions": spec.n_actions, "width": s.hidden_dim}
        unit = UNIT[spec.obs_kind]
        return Transformer(self.input_dim, **sizes, n_blocks=s.n_blocks, n_heads=s.n_heads, unit=unit)

    def _choose(self, available: Tensor, select: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        decoding, previous, chosen = Decoding(self.net, self._inputs), None, []
        for allowed in available.unbind(1):
            previous = select(decoding.next(previous), allowed)
            chosen.append(previous)
        return torch.stack(chosen, 1)

    def forward(self, batch: EpisodeBatch) -> PolicyOutput:
        """Logits beside the executed actions of the agents before; in row T, where none was, beside action 0."""
        actions = torch.cat([batch.actions, torch.zeros_like(batch.actions[:, :1])], 1)
        packing = batch.packing
        self.encoded = packed(packing, self.net.encoder, self.inputs(batch))
        return PolicyOutput(values=packed(packing, self.net.decode, self.encoded, actions))

    def graphs(self) -> list[Graph]:
        """One, of the whole team."""
        return [JointGraph(self.net, self.groups[0], self._layout())]


class MATDecController(BasicController):
    """Every agent by its own observation; without ``use_rnn`` its network is MAT-Dec's MLP."""

    def _make_agent(self, agents: list[int]) -> nn.Module:
        if self.settings.use_rnn:
            return super()._make_agent(agents)
        unit = UNIT[self.spec.obs_kind]
        return NormedAgent(self.input_dim, self.spec.n_actions, width=self.settings.hidden_dim, unit=unit)
