"""What all critics share: their settings, targets from values, the gradient step, what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from components.optimizer import Optimizer
from components.target import Target
from controllers.policy import Policy
from core.data import EpisodeBatch, Metrics
from core.metrics import Later
from core.packing import Packing
from estimators.credit import Marginal
from estimators.masked import masked_mean, mean_error
from estimators.returns import continues_from_mask, lambda_returns, n_step_returns
from learners.base import BaseLearner, LearnerSettings
from learners.minibatches import Rows, minibatches
from modules.sharing import Grouped


class TargetSettings(LearnerSettings):
    """What every critic reads."""

    critic_updates: int = Field(1, ge=1, description="Gradient steps of the critic on each batch.")
    returns: Literal["n_step", "td_lambda"] = Field("n_step", description="Targets of the critic.")
    q_nstep: int = Field(10, ge=1, description="n of n-step targets.")
    td_lambda: float = Field(0.8, ge=0, le=1, description="lambda of TD(lambda) targets.")


class CriticSettings(TargetSettings):
    """What critics with networks of their own read."""

    critic_lr: float | None = Field(None, gt=0, description="The critic's learning rate; null is the actor's lr.")
    critic_hidden_dim: int = Field(64, ge=1, description="Width of the critic's hidden layers.")


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What stays fixed for one training iteration.

    Attributes:
        batch: the episodes.
        log_pi: [B, T+1, A, U], the behaviour policy pi_i.
        executed: [B, T, A], log pi_i of what was done.
        rewards: [B, T, R], as the learner uses them.
        discounts: [B, T, 1], gamma * (1 - terminated).
        inputs: what the critic sees (``CriticPart.inputs``).
        weights: bool, what counts in the actors' losses: steps [B, T], or decisions [B, T, A].
        estimates: what the critic says before it is fitted (``CriticPart.estimate``).
        replayed: episodes that the critic learns from beside these, under the present policy; None: there are none.
        group: whose agents alone these are (``of_group``); None: all agents.
    """

    batch: EpisodeBatch
    log_pi: Tensor
    executed: Tensor
    rewards: Tensor
    discounts: Tensor
    inputs: Any
    weights: Tensor
    estimates: Any = None
    replayed: Iteration | None = None
    group: int | None = None

    @property
    def active(self) -> Tensor:
        """Real decisions, of agents that had more than one action: bool [B, T, A]."""
        return self.batch.mask.unsqueeze(-1) & self.batch.choices[:, :-1]

    def ratio_of(self, policy: Policy) -> Tensor:
        """pi / pi_i of the executed actions: [B, T, A]."""
        return (policy.executed - self.executed).exp()

    def ratio(self, log_pi: Tensor) -> Tensor:
        """pi / pi_i of the executed actions [B, T, A], from log_pi [B, T, A, U]."""
        return (log_pi.gather(-1, self.batch.actions.unsqueeze(-1)).squeeze(-1) - self.executed).exp()

    def of_group(self, group: int, agents: Tensor) -> Iteration:
        """What concerns the actors of one group: its agents' numbers, int64 [A']. What concerns the critic is left out.

        Axis A of what is returned has these agents only.
        """
        return replace(
            self,
            batch=self.batch.of_agents(agents),
            log_pi=self.log_pi[:, :, agents],
            executed=self.executed[:, :, agents],
            weights=self.weights if self.weights.dim() == 2 else self.weights[:, :, agents],
            inputs=None,
            estimates=None,
            replayed=None,
            group=group,
        )

    def minibatches(self, rows: Sequence[Rows]) -> list[Iteration]:
        """What the actors' steps on some of the episodes each need (``learners.minibatches``); all for a slice."""
        return minibatches(replace(self, inputs=None, replayed=None), rows) if isinstance(rows[0], Tensor) else [self]


class CriticPart:
    """A critic: networks for groups of agents, a lagging copy, an optimiser.

    Args:
        learner: whose critic it is.
        settings: the learner's section.
        groups: which agents each network serves.
        lags: whether there is a lagging copy.
    """

    fits_first = True
    """Fitted before credit is assigned (else after the actors have moved)."""

    def __init__(
        self, learner: BaseLearner, settings: TargetSettings, groups: list[list[int]], *, lags: bool = True
    ) -> None:
        self.spec, self.device, self.critic = learner.spec, learner.device, settings
        self.net = self.make_net(groups).to(self.device)
        self.target = Target(self.net, settings.target_update_interval_or_tau) if lags else None
        self.optimizer = self.make_optimizer(learner)

    def make_optimizer(self, learner: BaseLearner) -> Optimizer:
        """Build what moves the networks."""
        own_lr = self.critic.critic_lr if isinstance(self.critic, CriticSettings) else None
        return learner.make_optimizer(list(self.net.parameters()), own_lr or self.critic.lr)

    def make_net(self, groups: list[list[int]]) -> Any:
        """Build the networks of all groups."""
        return Grouped(self.make, groups)

    def make(self, agents: list[int]) -> nn.Module:
        """Build the network of a group of agents."""
        raise NotImplementedError

    def inputs(self, batch: EpisodeBatch) -> Any:
        """What the networks see of whole episodes."""
        raise NotImplementedError

    def estimate(self, it: Iteration) -> Any:
        """What credit needs of the critic as it is before it is fitted (None: nothing)."""
        return None

    def fit(self, it: Iteration) -> Metrics:
        """Fit the networks to this iteration's episodes."""
        raise NotImplementedError

    def before(self, it: Iteration) -> Metrics:
        """What happens before credit is assigned: the fit, where it comes first."""
        return self.fit(it) if self.fits_first else {}

    def beside(self, it: Iteration) -> tuple[Tensor | None, Metrics]:
        """What the actors' steps minimise too (a critic that shares their networks) on these episodes."""
        return None, {}

    def behind(self, it: Iteration) -> Metrics:
        """What happens once the actors have moved: the fit, where it comes last."""
        return {} if self.fits_first else self.fit(it)

    def returns(self, it: Iteration, values: Tensor) -> Tensor:
        """Targets [B, T, A] of all executed steps from values [B, T+1, A] (row t: before step t)."""
        s, continues = self.critic, continues_from_mask(it.batch.mask).unsqueeze(-1)
        rewards = it.rewards.expand_as(values[:, 1:])
        common = {"rewards": rewards, "discounts": it.discounts, "values": values, "continues": continues}
        if s.returns == "n_step":
            return n_step_returns(**common, n=s.q_nstep)
        return lambda_returns(**common, lam=s.td_lambda)

    def descend(self, loss: Tensor, *, taken: Tensor, target: Tensor, mask: Tensor) -> Metrics:
        """One gradient step on a loss; its metrics.

        Args:
            loss: scalar.
            taken, target: [B, T, A], the prediction and its target.
            mask: bool, steps [B, T] or decisions [B, T, A].
        """
        grad_norm = self.optimizer.step(loss)
        if self.target is not None:
            self.target.update()
        return self.metrics(loss, taken=taken, target=target, mask=mask) | {"critic_grad_norm": grad_norm}

    def metrics(self, loss: Tensor, *, taken: Tensor, target: Tensor, mask: Tensor) -> Metrics:
        """What is told of a loss; the arguments are those of :meth:`descend`."""
        return {
            "critic_loss": loss.detach(),
            "td_error_abs": Later(mean_error, taken, target, mask),
            "q_taken_mean": Later(masked_mean, taken, mask),
            "target_mean": Later(masked_mean, target, mask),
        }

    def state_dict(self) -> dict[str, Any]:
        """What an exact resume needs beside networks and optimiser."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""


@dataclass(frozen=True, kw_only=True)
class JointInputs:
    """What critics of joint actions see.

    Attributes:
        own: [B, T, A, O'], an agent's own part.
        shared: [B, T, S'], what all agents share.
        real: bool [B, T], rows that are no padding.
    """

    own: Tensor
    shared: Tensor
    real: Tensor

    @cached_property
    def packing(self) -> Packing | None:
        """The real rows."""
        return Packing.of(self.real)

    @cached_property
    def packed(self) -> tuple[Tensor, Tensor]:
        """``own`` and ``shared`` of the real rows, [1, P, ...]; as they are without a packing."""
        packing = self.packing
        return (self.own, self.shared) if packing is None else (packing.pack(self.own), packing.pack(self.shared))

    def __getitem__(self, steps: slice) -> JointInputs:
        """Some of the time steps."""
        return JointInputs(own=self.own[:, steps], shared=self.shared[:, steps], real=self.real[:, steps])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Credit of one own action beside joint actions of the partners.

    Attributes:
        advantage: [B, T, A], marginal advantage of the own action.
        standard_error: [B, T, A], of its Monte-Carlo mean; zero where it is exact or m = 1.
        value: [B, T, A], V(s), the mean over the same joint actions.
        first: [B, T, A], Q of the own action beside the first of them.
    """

    advantage: Tensor
    standard_error: Tensor
    value: Tensor
    first: Tensor

    @classmethod
    def of(cls, result: Marginal, q: Tensor, actions: Tensor) -> Judged:
        """From advantages of all own actions, Q beside the first joint action [B, T, A, U], and int64 [B, T, A]."""
        own = actions.unsqueeze(-1)
        parts = (x.gather(-1, own).squeeze(-1) for x in (result.advantage, result.standard_error, q))
        advantage, error, first = parts
        return cls(advantage=advantage, standard_error=error, value=result.value, first=first)


class ActionValues(CriticPart):
    """A critic of what joint actions are worth."""

    def q(self, inputs: JointInputs, joint_actions: Tensor) -> Tensor:
        """Q of every own action beside the partners' actions: int64 [B, T, M, A] -> [B, T, A, M, U]."""
        raise NotImplementedError

    def judged(self, inputs: JointInputs, expected: Tensor, taken: Tensor) -> tuple[Tensor, Tensor]:
        """V of all rows and Q of the executed ones, from :meth:`q`'s mean under pi and its executed values.

        Args:
            inputs: of T + 1 rows.
            expected: [B, T+1, A].
            taken: [B, T, A].
        """
        return expected, taken


def mean_metrics(passes: list[Metrics]) -> Metrics:
    """Means over several gradient steps."""
    if len(passes) == 1:
        return passes[0]
    return {key: Later(_mean, *(one[key] for one in passes)) for key in passes[0]}


def _mean(*values: Any) -> Any:
    return sum(values) / len(values)
