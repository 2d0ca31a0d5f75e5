"""FACMAC (Peng et al. 2021, arXiv 2003.06709) with discrete actions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from core.data import EpisodeBatch
from core.kinds import UNIT
from core.packing import packed
from learners.action_gradient import BEFORE, ActionGradientSettings, Seen, decision_weights, of_gradient
from learners.base import LearnerSettings
from learners.maddpg_learner import MADDPGLearner
from learners.q_learner import MixerSettings
from modules.critics.action_critic import OwnActionCritic
from modules.mixers.mixers import VDNMixer
from modules.sharing import Grouped


class FACMACSettings(MixerSettings, ActionGradientSettings):
    """What FACMAC reads."""

    mixer: Literal["qmix", "vdn", "nonmonotonic"] = Field(
        "qmix", description="How utilities make Q_tot; nonmonotonic is qmix with weights of any sign."
    )


class FACMACLearner(MADDPGLearner):
    """MADDPG's actors against Q_tot(s, Q_1(o_1, u_1), ..., Q_A(o_A, u_A)).

    The actors follow one gradient of Q_tot, in all their present actions at once.
    """

    individual_rewards = False
    Settings: type[LearnerSettings] = FACMACSettings

    @classmethod
    def sees_rivals(cls, settings: Any) -> bool:
        """Its critic is of one team."""
        return False

    def make_critics(self) -> dict[str, nn.Module]:
        """Utilities and mixer."""
        return {"critic": Grouped(self._make_utility, self.controller.groups), "mixer": self._make_mixer()}

    def make_inference(self) -> None:
        """Its agents know each other's policies."""

    def see(self, batch: EpisodeBatch) -> Seen:
        """Utilities see what the agents do, without memory."""
        inputs = self.controller.inputs(batch)
        return Seen(batch=batch, inputs=inputs, own=inputs, shared=batch.state)

    def values(self, net: Any, seen: Seen, rows: slice, joint: Tensor, *acting: Tensor) -> Tensor:
        """Q_tot of joint actions: [B, T, 1]; see :meth:`MADDPGLearner.values`."""
        steps = seen.batch.step_packing
        utilities = net["critic"](seen.own[:, rows], joint, packing=steps).squeeze(-1)
        return packed(steps, net["mixer"], utilities, seen.shared[:, rows])

    def improved(self, seen: Seen, taken: Tensor, chosen: Tensor) -> Tensor:
        """Q_tot of what all choose, [B, T, 1], whose gradient in an action weighs as that agent's own decisions do.

        What weighs Q_tot itself is the mean over agents, who have not played their sub-policies equally often.
        """
        if self.controller.n_policies > 1:
            weights = decision_weights(seen.batch, self.controller.n_policies)
            mean = weights.mean(-1, keepdim=True)
            chosen = of_gradient(chosen, (weights / mean).masked_fill(mean == 0, 0.0).unsqueeze(-1))
        return self.values(self.net, seen, BEFORE, chosen)

    def _make_utility(self, agents: list[int]) -> OwnActionCritic:
        spec, width = self.spec, self.settings.critic_hidden_dim
        own, unit = self.controller.input_dim, UNIT[spec.obs_kind]
        return OwnActionCritic(own_dim=own, n_actions=spec.n_actions, hidden_dim=width, agents=agents, own_unit=unit)

    def _make_mixer(self) -> nn.Module:
        s: Any = self.settings
        if s.mixer == "vdn":
            return VDNMixer()
        return s.qmixer(self.spec, monotonic=s.mixer == "qmix")
