"""Values of an encoder of all agents' observations: the critics of MAT and MAT-Dec (Wen et al. 2022)."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from components.optimizer import Optimizer
from controllers.mat_controller import MATController
from core.data import EpisodeBatch, Metrics
from core.kinds import UNIT
from learners.base import BaseLearner
from learners.critics.part import CriticSettings, Iteration
from learners.critics.value_part import ValuePart, ValueSettings
from modules.transformer.attention import EncoderCritic, check_heads, head


class EncoderValueSettings(ValueSettings, CriticSettings):
    """What MAT-Dec's critic reads."""

    critic_n_blocks: int = Field(1, ge=1, description="Blocks of attention in the critic.")
    critic_n_heads: int = Field(1, ge=1, description="Heads of the critic's attention.")


class EncoderValue(ValuePart):
    """V_i(o_1, ..., o_n) by an encoder of its own; the arguments are those of ``ValuePart``, but for the groups.

    Raises:
        UserError: heads that do not divide the width.
    """

    settings: EncoderValueSettings

    def __init__(self, learner: BaseLearner, settings: EncoderValueSettings, **others: Any) -> None:
        check_heads("critic_n_heads", settings.critic_n_heads, settings.critic_hidden_dim)
        super().__init__(learner, settings, [list(range(learner.spec.n_agents))], **others)

    def make(self, agents: list[int]) -> EncoderCritic:
        """Build the network of all agents."""
        s, unit = self.settings, UNIT[self.spec.obs_kind]
        sizes = {"width": s.critic_hidden_dim, "n_blocks": s.critic_n_blocks, "n_heads": s.critic_n_heads}
        return EncoderCritic(self.spec.obs_dim, **sizes, unit=unit)

    def inputs(self, batch: EpisodeBatch) -> Tensor:
        """All agents' observations, of whole episodes: [B, T+1, A, O]."""
        return batch.obs


class SharedEncoderValue(ValuePart):
    """V_i(o_1, ..., o_n) by a head on the policy's encoder, learnt in the policy's own steps.

    It reads what the encoder said when the policy was last asked of these episodes (``MATController.encoded``).

    Args:
        learner, settings, others: see ``ValuePart``.
        controller: whose encoder it is.
    """

    def __init__(self, learner: BaseLearner, settings: ValueSettings, controller: MATController, **others: Any) -> None:
        self.controller = controller
        super().__init__(learner, settings, controller.groups, **others)

    def make(self, agents: list[int]) -> nn.Module:
        """Build the head."""
        return head(self.controller.settings.hidden_dim, 1)

    def make_optimizer(self, learner: BaseLearner) -> Optimizer:
        """One for policy and value: they share parameters."""
        shared = self.controller.agents.parameters()
        return learner.make_optimizer([*shared, *self.net.parameters()], self.critic.lr)

    def inputs(self, batch: EpisodeBatch) -> Tensor:
        """What the encoder has said, without gradient: [B, T+1, A, D]."""
        return self.controller.encoded.detach()

    def before(self, it: Iteration) -> Metrics:
        """The targets' statistics: they stay as they are while the networks learn."""
        self.see(it)
        return {}

    def beside(self, it: Iteration) -> tuple[Tensor, Metrics]:
        """The value loss."""
        weights, (old, target) = self.weights(it), self.normalised(it)
        assert len(self.controller.encoded) == it.batch.n_episodes, "the policy was asked of these episodes last"
        value = self.raw(self.net, self.controller.encoded[:, :-1], it.batch.step_packing)
        loss = self.loss(value, target, old, weights)
        return loss, self.metrics(loss, taken=value, target=target, mask=weights)

    def behind(self, it: Iteration) -> Metrics:
        """Let go of the graph: it has learnt with the policy."""
        self.controller.encoded = self.controller.encoded.detach()
        return {}
