"""IQL, VDN and QMIX: one value-based learner; the mixer is the only difference."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.action_selectors import greedy
from components.target import Target
from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, Metrics, TeamSpec
from core.errors import UserError
from core.kinds import UNIT
from core.packing import Packing, packed
from estimators.masked import masked_mean
from estimators.returns import continues_from_mask, lambda_returns
from learners.base import BaseLearner, LearnerSettings
from modules.mixers.mixers import IndependentMixer, QMixer, VDNMixer


class QLearnerSettings(LearnerSettings):
    """What the value-based learner reads."""

    mixer: Literal["qmix", "vdn", "none"] = Field(description="none is IQL, vdn sums, qmix mixes monotonically.")
    double_q: bool = Field(True, description="The online network chooses the action that the target network values.")
    batch_size: int = Field(32, ge=1, description="Episodes per update.")
    buffer_size: int = Field(5000, ge=1, description="Episodes in the replay buffer.")
    buffer_dtype: Literal["float32", "float16"] = Field(
        "float32",
        description="How it stores observations and states; float16 takes half the memory and rounds to 3 digits.",
    )
    episodes_per_update: int = Field(1, ge=1, description="One update for so many gathered episodes.")
    bound_targets: bool = Field(
        True, description="Keep targets among the discounted sums that the rewards seen so far can have."
    )
    q_lambda: float = Field(
        0.0, ge=0, le=1, description="lambda of the targets (Peng and Williams 1994); 0 looks one step ahead."
    )
    mixing_embed_dim: int = Field(32, ge=1, description="Width of QMIX's mixing layer.")
    hypernet_layers: Literal[1, 2] = Field(2, description="Layers of QMIX's hypernetworks.")
    hypernet_embed: int = Field(64, ge=1, description="Width of the hypernetworks' hidden layer.")


class QLearner(BaseLearner):
    """Deep Q-learning from replayed episodes (Tan 1993; Sunehag et al. 2018; Rashid et al. 2018).

    Minimises (r + gamma (1 - terminated) Q_tot'(s', argmax_u Q(s', u)) - Q_tot(s, u))^2 over real steps, with a
    target network and double Q-learning (van Hasselt et al. 2016).

    Raises:
        UserError: a controller whose outputs depend on executed actions.
    """

    on_policy = False
    Settings = QLearnerSettings

    def __init__(
        self,
        spec: TeamSpec,
        settings: QLearnerSettings,
        controller: BasicController,
        *,
        reward_dim: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if controller.one_network:
            raise UserError(
                f"mac={controller.settings.mac}: its outputs for an agent stand beside the executed actions of those "
                f"before it, which are no Q-values that {settings.learner} could maximise: give mac=basic_mac."
            )
        super().__init__(spec, settings, reward_dim=reward_dim, device=device)
        self.settings = settings
        self.controller = controller
        self.mixer = self._make_mixer().to(device)
        self.net = nn.ModuleDict({"agents": controller.agents, "mixer": self.mixer})
        self.target = Target(self.net, settings.target_update_interval_or_tau)
        self.optimizer = self.make_optimizer(list(self.net.parameters()), settings.lr)

    @classmethod
    def learns_individual_rewards(cls, settings: QLearnerSettings) -> bool:
        """Without a mixer every agent learns for itself."""
        return settings.mixer == "none"

    def _make_mixer(self) -> nn.Module:
        if self.settings.mixer == "none":
            return IndependentMixer()
        if self.settings.mixer == "vdn":
            return VDNMixer()
        s = self.settings
        return QMixer(
            self.spec.state_dim,
            self.spec.n_agents,
            embed_dim=s.mixing_embed_dim,
            hypernet_layers=s.hypernet_layers,
            hypernet_embed=s.hypernet_embed,
            unit=UNIT[self.spec.state_kind],
        )

    def train(self, batch: EpisodeBatch, *, t_env: int) -> Metrics:
        """One update from sampled episodes."""
        inputs, packing, steps = self.controller.inputs(batch), batch.packing, Packing.of(batch.mask)
        q = self.controller.agents(inputs, packing=packing)  # [B, T+1, A, U]
        taken = q[:, :-1].gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)  # [B, T, A]
        with torch.no_grad():
            target_q = self.target.net["agents"](inputs, packing=packing)[:, 1:]
            chooser = q[:, 1:] if self.settings.double_q else target_q
            best = greedy(chooser, batch.available[:, 1:])
            following = target_q.gather(-1, best.unsqueeze(-1)).squeeze(-1)
            bootstrap = packed(steps, self.target.net["mixer"], following, batch.state[:, 1:])
            if self.settings.bound_targets:
                bootstrap = bootstrap.clamp(*self.value_range())
            target = self._targets(batch, bootstrap)
        mixed = packed(steps, self.mixer, taken, batch.state[:, :-1])
        error = mixed - target
        loss = masked_mean(error**2, batch.mask)
        grad_norm = self.optimizer.step(loss)
        self.target.update()
        with torch.no_grad():
            return {
                "loss": loss.detach(),
                "grad_norm": grad_norm,
                "td_error_abs": masked_mean(error.abs(), batch.mask),
                "q_taken_mean": masked_mean(mixed, batch.mask),
                "target_mean": masked_mean(target.expand_as(error), batch.mask),
            }

    def _targets(self, batch: EpisodeBatch, bootstrap: Tensor) -> Tensor:
        """Targets [B, T, R] from what the target network gives for the following steps [B, T, R]."""
        rewards, discounts, lam = self.rewards(batch), self.discounts(batch), self.settings.q_lambda
        if lam == 0:
            return rewards + discounts * bootstrap
        values = torch.cat([bootstrap[:, :1], bootstrap], 1)  # the first is not read
        continues = continues_from_mask(batch.mask).unsqueeze(-1)
        rewards = rewards.expand_as(bootstrap)
        return lambda_returns(rewards=rewards, discounts=discounts, values=values, lam=lam, continues=continues)

    def networks(self) -> dict[str, nn.Module]:
        """agent.th and, where there is something to save, mixer.th."""
        return {"agent": self.controller.agents, "mixer": self.mixer}

    def optimizers(self) -> dict[str, Any]:
        """One optimiser for everything."""
        return {"opt": self.optimizer}

    def targets(self) -> dict[str, Target[Any]]:
        """Agents and mixer lag together."""
        return {"net": self.target}
