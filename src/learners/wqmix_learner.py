"""Weighted QMIX (Rashid et al. 2020, arXiv 2006.10800)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.action_selectors import greedy
from core.data import Metrics
from core.kinds import UNIT
from core.metrics import Later
from core.row_batch import RowBatch
from estimators.masked import masked_mean, mean_square
from learners.base import LearnerSettings
from learners.q_learner import DoubleQSettings, MixerSettings, QLearner, Seen, chosen, td_metrics
from modules.mixers.central import CentralMixer


class WQMIXSettings(MixerSettings, DoubleQSettings):
    """What weighted QMIX reads."""

    mixer: Literal["qmix", "vdn"] = Field("qmix", description="How the agents' values make Q_tot.")
    weighting: Literal["central", "optimistic"] = Field(
        description="central: full weight where the joint action is greedy or seems better than it (CW); optimistic: "
        "where Q_tot is below its target (OW)."
    )
    wqmix_alpha: float = Field(0.1, gt=0, le=1, description="The weight of the others.")
    central_hidden_dim: int = Field(256, ge=1, description="Width of the unrestricted mixer.")


class WQMIXLearner(QLearner):
    """QMIX that is fitted where it matters, to an unrestricted Q*(s, u) that can value what it cannot.

    Q* has agents and a mixer of its own. Both learn r + d Q*'(s', u'), u' the greedy joint action of Q_tot's agents:
    w (Q_tot - y)^2 + (Q* - y)^2.
    """

    Settings: type[LearnerSettings] = WQMIXSettings
    settings: WQMIXSettings

    def make_parts(self) -> dict[str, nn.Module]:
        """Q*'s agents and mixer beside QMIX's."""
        s, spec = self.settings, self.spec
        mixer = CentralMixer(
            spec.state_dim, spec.n_agents, hidden_dim=s.central_hidden_dim, value_dim=s.mixing_embed_dim,
            unit=UNIT[spec.state_kind],
        )  # fmt: skip
        return super().make_parts() | {"central_agent": self.controller.make_agents(), "central_mixer": mixer}

    def bootstrap(self, batch: RowBatch, seen: Seen) -> Tensor:
        """Q*'(s', u'): [1, P, 1]."""
        target = self.target.net
        q = self.values_of(target["central_agent"], seen.inputs, batch, batch.ahead)
        return target["central_mixer"](chosen(q, seen.following()), batch.ahead(batch.state))

    def loss(self, batch: RowBatch, seen: Seen, target: Tensor) -> tuple[Tensor, Metrics]:
        """Of both, the weighted one of Q_tot and that of Q*."""
        mixed = self.mixed(batch, seen)
        q = self.values_of(self.net["central_agent"], seen.inputs, batch, batch.of_steps)
        central = self.net["central_mixer"](chosen(q, batch.actions), seen.state)
        with torch.no_grad():
            full = mixed < target if self.settings.weighting == "optimistic" else self._better(batch, seen, q, target)
            weight = torch.where(full, 1.0, self.settings.wqmix_alpha)
        central_loss = mean_square(central, target, batch.mask)
        loss = masked_mean(weight * (mixed - target) ** 2, batch.mask) + central_loss
        metrics = td_metrics(batch, mixed, target) | {"central_loss": central_loss.detach()}
        return loss, metrics | {"full_weight_share": Later(masked_mean, full.float(), batch.mask)}

    def _better(self, batch: RowBatch, seen: Seen, q: Tensor, target: Tensor) -> Tensor:
        """Whether what was done is what Q_tot's agents would do, or its target is above Q* of that: bool [1, P, 1]."""
        best = greedy(seen.q, seen.available)
        value = self.net["central_mixer"](chosen(q, best), seen.state)
        return (best == batch.actions).all(-1, keepdim=True) | (target > value)
