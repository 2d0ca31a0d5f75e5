"""IQL, VDN, QMIX and QPLEX: one value-based learner; the mixer is the only difference.

Other losses from the same replayed episodes are subclasses: they state networks, what is bootstrapped, and the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.action_selectors import greedy, of_greedy
from components.replay import Replay
from components.target import Target
from components.td_loss import has_kernel, td_loss
from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, Metrics, TeamSpec
from core.kinds import UNIT
from core.metrics import Later
from core.row_batch import RowBatch
from core.settings import Section
from estimators.masked import masked_mean, mean_error, mean_square
from learners.base import LearnerSettings
from learners.replayed import ReplayLearner, ReplaySettings
from modules.mixers.mixers import IndependentMixer, QMixer, VDNMixer
from modules.mixers.qplex import DuplexMixer
from modules.sparse_rows import LARGE, LiveColumns


class DoubleQSettings(ReplaySettings):
    """What those read that bootstrap from greedy actions."""

    double_q: bool = Field(True, description="The online network chooses the action that the target network values.")


class MixerSettings(Section):
    """What QMIX's mixer reads."""

    mixing_embed_dim: int = Field(32, ge=1, description="Width of QMIX's mixing layer.")
    hypernet_layers: Literal[1, 2] = Field(2, description="Layers of QMIX's hypernetworks.")
    hypernet_embed: int = Field(64, ge=1, description="Width of the hypernetworks' hidden layer.")

    def qmixer(self, spec: TeamSpec, *, monotonic: bool = True) -> QMixer:
        """Build it."""
        sizes = {"hypernet_layers": self.hypernet_layers, "hypernet_embed": self.hypernet_embed}
        unit, embed_dim = UNIT[spec.state_kind], self.mixing_embed_dim
        return QMixer(spec.state_dim, spec.n_agents, embed_dim=embed_dim, **sizes, unit=unit, monotonic=monotonic)


class QLearnerSettings(MixerSettings, DoubleQSettings):
    """What the value-based learner reads."""

    mixer: Literal["qmix", "vdn", "none", "qplex"] = Field(
        description="none is IQL, vdn sums, qmix mixes monotonically, qplex values and advantages apart."
    )
    qplex_kernels: int = Field(4, ge=1, description="Terms in the weights of QPLEX's advantages.")
    qplex_layers: Literal[1, 2, 3] = Field(1, description="Layers of the networks that make these weights.")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an update has computed of a batch before its loss.

    Attributes:
        inputs: of the agents' networks, [1, R, A, I]; many of them as ``modules.sparse_rows.LiveColumns``.
        q: of the steps' own rows, [1, P, A, U], with gradient.
        state, available: of these rows.
        lagging: gives the target network's values of the following rows, [1, P, A, U]; computed when first asked for.
        judged: gives the values by which the greedy actions there are: of the online network if ``double_q``, without
            gradient, else ``lagging``.
        following: gives these actions, int64 [1, P, A], computed when first asked for.
        t_env: environment steps so far.
    """

    inputs: Any
    q: Tensor
    state: Tensor
    available: Tensor
    lagging: Callable[[], Tensor]
    judged: Callable[[], Tensor]
    following: Callable[[], Tensor]
    t_env: int


class QLearner(ReplayLearner):
    """Deep Q-learning from replayed episodes (Tan 1993; Sunehag et al. 2018; Rashid et al. 2018).

    Minimises (r + gamma (1 - terminated) Q_tot'(s', argmax_u Q(s', u)) - Q_tot(s, u))^2 over real steps, with a
    target network and double Q-learning (van Hasselt et al. 2016).
    """

    Settings: type[LearnerSettings] = QLearnerSettings
    settings: ReplaySettings

    def __init__(
        self,
        spec: TeamSpec,
        settings: ReplaySettings,
        controller: BasicController,
        *,
        reward_dim: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(spec, settings, reward_dim=reward_dim, device=device)
        self.settings = settings
        self.controller = controller
        self.net = nn.ModuleDict({"agents": controller.agents, **self.make_parts()}).to(device)
        self.target = Target(self.net, settings.target_update_interval_or_tau)
        self.optimizer = self.make_optimizer(list(self.net.parameters()), settings.lr)

    @classmethod
    def learns_individual_rewards(cls, settings: Any) -> bool:
        """Without a mixer every agent learns for itself."""
        return settings.mixer == "none"

    # -- what a subclass may state otherwise --------------------------------------------------------------------------

    def make_parts(self) -> dict[str, nn.Module]:
        """Networks beside the agents', by the names of their files."""
        return {"mixer": self.make_mixer()}

    def bootstrap(self, batch: RowBatch, seen: Seen) -> Tensor:
        """What the lagging networks give for the following rows: [1, P, R]; without gradient."""
        available, state, mixer = batch.ahead(batch.available), batch.ahead(batch.state), self.target.net["mixer"]
        if isinstance(mixer, DuplexMixer):
            return self.mix(mixer, seen.lagging(), seen.following(), available, state)
        return mixer(of_greedy(seen.judged(), seen.lagging(), available), state)

    def loss(self, batch: RowBatch, seen: Seen, target: Tensor) -> tuple[Tensor, Metrics]:
        """(Q_tot - target)^2 over real steps; target [1, P, R]."""
        width = {VDNMixer: 1, IndependentMixer: self.spec.n_agents}.get(type(self.mixer))
        if batch.mask is None and target.shape[-1] == width and has_kernel(seen.q, target):
            loss, mixed = td_loss(*(x.squeeze(0) for x in (seen.q, batch.actions, target)))
            return loss, td_metrics(batch, mixed.unsqueeze(0), target)
        mixed = self.mixed(batch, seen)
        return mean_square(mixed, target, batch.mask), td_metrics(batch, mixed, target)

    # -- the update ---------------------------------------------------------------------------------------------------

    @property
    def mixer(self) -> nn.Module:
        """What makes Q_tot of the agents' values."""
        return self.net["mixer"]

    def make_mixer(self) -> nn.Module:
        """Build it."""
        s: Any = self.settings  # a leaf's, with those of the mixers that it may have
        spec, unit = self.spec, UNIT[self.spec.state_kind]
        if s.mixer == "none":
            return IndependentMixer()
        if s.mixer == "vdn":
            return VDNMixer()
        if s.mixer == "qplex":
            sizes = {"kernels": s.qplex_kernels, "layers": s.qplex_layers, "hidden_dim": s.hypernet_embed}
            return DuplexMixer(spec.state_dim, spec.n_agents, spec.n_actions, **sizes, unit=unit)
        return s.qmixer(spec)

    def mix(self, mixer: nn.Module, q: Tensor, actions: Tensor, available: Tensor, state: Tensor) -> Tensor:
        """Q_tot [1, P, R] of actions int64 [1, P, A]; values and what is available [1, P, A, U], state [1, P, S]."""
        if not isinstance(mixer, DuplexMixer):
            return mixer(chosen(q, actions), state)
        best = q.masked_fill(~available, -torch.inf).amax(-1)
        return mixer(chosen(q, actions), state, best, actions)

    def mixed(self, batch: RowBatch, seen: Seen) -> Tensor:
        """Q_tot of what was done, with gradient: [1, P, R]."""
        return self.mix(self.mixer, seen.q, batch.actions, seen.available, seen.state)

    def values_of(self, agents: nn.Module, inputs: Any, batch: RowBatch, which: Callable[[Tensor], Tensor]) -> Tensor:
        """What networks like the agents' say of those rows that ``which`` takes; without memory they see no others."""
        if self.controller.settings.use_rnn or not isinstance(inputs, Tensor):
            return which(agents(inputs, sizes=batch.sizes))
        return agents(which(inputs), sizes=batch.sizes)

    def draw(self, replay: Replay) -> EpisodeBatch | RowBatch:
        """What the next update learns from; on a device rows stay padded, so that nobody waits for their number."""
        return super().draw(replay) if self.device.type != "cpu" else replay.sample_rows(self.settings.batch_size)

    def train(self, batch: EpisodeBatch | RowBatch, *, t_env: int) -> Metrics:
        """One update from sampled episodes."""
        rows = batch if isinstance(batch, RowBatch) else RowBatch.of(batch)
        seen = self._see(rows, t_env)
        with torch.no_grad():
            target = self.targets_of(rows, self.bootstrap(rows, seen))
        loss, metrics = self.loss(rows, seen, target)
        grad_norm = self.optimizer.step(loss)
        self.target.update()
        return {"loss": loss.detach(), "grad_norm": grad_norm} | metrics

    def _see(self, batch: RowBatch, t_env: int) -> Seen:
        inputs = self.controller.inputs(batch)
        if inputs.numel() >= LARGE and getattr(self.controller.agents, "takes_sparse", False):
            inputs = LiveColumns.of(inputs)
        q = self.controller.agents(inputs, sizes=batch.sizes)

        @cache
        def lagging() -> Tensor:
            return self.values_of(self.target.net["agents"], inputs, batch, batch.ahead)

        def judged() -> Tensor:
            assert isinstance(self.settings, DoubleQSettings)
            return batch.ahead(q.detach()) if self.settings.double_q else lagging()

        @cache
        def following() -> Tensor:
            return greedy(judged(), batch.ahead(batch.available))

        ahead: dict[str, Any] = {"lagging": lagging, "judged": judged, "following": following}
        own: dict[str, Any] = {"state": batch.of_steps(batch.state), "available": batch.of_steps(batch.available)}
        return Seen(inputs=inputs, q=batch.of_steps(q), **own, **ahead, t_env=t_env)

    def networks(self) -> dict[str, nn.Module]:
        """agent.th and, where there is something to save, mixer.th and what else there is."""
        return {"agent": self.controller.agents} | {name: self.net[name] for name in self.net if name != "agents"}

    def optimizers(self) -> dict[str, Any]:
        """One optimiser for everything."""
        return {"opt": self.optimizer}

    def targets(self) -> dict[str, Target[Any]]:
        """All lag together."""
        return {"net": self.target}


def chosen(q: Tensor, actions: Tensor) -> Tensor:
    """The values q [B, T, A, U] of actions int64 [B, T, A]: [B, T, A]."""
    return q.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def td_metrics(batch: EpisodeBatch | RowBatch, values: Tensor, target: Tensor) -> Metrics:
    """Of values and their targets, [B, T, R] each."""
    return {
        "td_error_abs": Later(mean_error, values, target, batch.mask),
        "q_taken_mean": Later(masked_mean, values, batch.mask),
        "target_mean": Later(masked_mean, target.expand_as(values), batch.mask),
    }
