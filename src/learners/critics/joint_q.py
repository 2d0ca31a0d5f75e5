"""The joint critic Q(s, u) of COMA and ASAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from components.draws import sample_joint
from core.data import EpisodeBatch, Metrics
from core.kinds import UNIT
from core.metrics import Later
from core.packing import Packing
from estimators.masked import masked_mean
from estimators.softmax import probabilities
from learners.base import BaseLearner
from learners.critics.part import ActionValues, CriticSettings, Iteration, JointInputs, Judged, mean_metrics
from modules.critics.counterfactual_critic import CounterfactualCritic
from modules.sparse_rows import SparseRows


class JointQSettings(CriticSettings):
    """What the joint critic reads."""

    critic_update_by: Literal["batch", "timestep"] = Field(
        "batch", description="timestep: one gradient step per time step, last step first (PyMARL's COMA)."
    )
    obs_individual_obs: bool = Field(False, description="Give the critic the agent's own observation too.")
    critic_last_action: bool = Field(False, description="Give the critic the last joint action (PyMARL's COMA).")
    critic_value_head: bool = Field(
        False,
        description="Q(s, u) = V(s) + D(s, u), D of mean 0 under pi: values have a network of their own, and D is "
        "fitted to what they leave.",
    )


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What one gradient step learns from: real rows alone, where many are padding.

    Attributes:
        own: [B, T', A, O'].
        shared: [B, T', S'].
        actions: int64 [B, T', A].
        targets: [B, T', A], of Q (of D, with a value head).
        of_values: [B, T', A], targets of V; None without a value head.
        mask: bool [B, T'].
        whole: whether it is true everywhere.
    """

    own: Tensor
    shared: Tensor
    actions: Tensor
    targets: Tensor
    of_values: Tensor | None
    mask: Tensor
    whole: bool


class JointQ(ActionValues):
    """Q(s, (u^-a, .)) for all of an agent's own actions (Foerster et al. 2018).

    With ``critic_value_head``, Q(s, u) = V(s) + D(s, u) - E_pi D(s, .), where V is fitted to the targets and D to what
    V leaves of them, so that what actions change is not drowned by what states are worth. :meth:`q` is D then: credit
    is the same, since a baseline of the state does not matter to it.

    Args:
        learner, settings, groups: see :class:`CriticPart`.
        generator: draws the joint action after the last step of a truncated episode.
    """

    settings: JointQSettings

    def __init__(
        self, learner: BaseLearner, settings: JointQSettings, groups: list[list[int]], generator: torch.Generator
    ) -> None:
        self.settings, self.generator = settings, generator
        super().__init__(learner, settings, groups)

    def make(self, agents: list[int]) -> CounterfactualCritic:
        """Build the network of a group of agents."""
        spec, s = self.spec, self.settings
        return CounterfactualCritic(
            shared_dim=spec.state_dim + spec.n_agents * spec.n_actions * s.critic_last_action,
            own_dim=spec.obs_dim * s.obs_individual_obs + spec.n_agents,
            n_agents=spec.n_agents,
            n_actions=spec.n_actions,
            hidden_dim=s.critic_hidden_dim,
            agents=agents,
            shared_unit=UNIT[spec.state_kind],
            own_unit=UNIT[spec.obs_kind],
            value_head=s.critic_value_head,
        )

    def inputs(self, batch: EpisodeBatch) -> JointInputs:
        """State, last joint action and own observation, of whole episodes; networks know the agents' numbers."""
        s, shared = self.settings, batch.state
        own = batch.obs if s.obs_individual_obs else batch.obs[..., :0]
        if s.critic_last_action:
            shared = torch.cat([shared, batch.last_actions(self.spec.state_kind).flatten(2)], -1)
        return JointInputs(own=own, shared=shared, real=batch.rows)

    def q(self, inputs: JointInputs, joint_actions: Tensor) -> Tensor:
        """Q of every own action beside the partners' actions: int64 [B, T, M, A] -> [B, T, A, M, U]."""
        return self.net(inputs.own, inputs.shared, joint_actions, packing=inputs.packing)

    def judge(
        self, inputs: JointInputs, joint_actions: Tensor, pi: Tensor, actions: Tensor, *, net: Any = None
    ) -> Judged:
        """Credit of one own action of each agent (:class:`Judged`), without Q-values of all own actions.

        Args:
            inputs: of T' rows.
            joint_actions: int64 [B, T', M, A].
            pi: [B, T', A, U], own policies.
            actions: int64 [B, T', A].
            net: whose values they are; None is the critic that is fitted, not the lagging one.
        """
        judge, (own, shared) = (net or self.net).judge, inputs.packed
        parts = judge(own, pi, actions, shared, joint_actions, packing=inputs.packing).unbind(-1)
        return Judged(advantage=parts[0], standard_error=parts[1], value=parts[2], first=parts[3])

    def enumerate(self, inputs: JointInputs, partner_actions: Tensor) -> Tensor:
        """Q of every own action beside enumerated partners: int64 [A, K, A] -> [B, T, A, K, U]."""
        return self.net.enumerate(inputs.own, inputs.shared, partner_actions, packing=inputs.packing)

    def judged(self, inputs: JointInputs, expected: Tensor, taken: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`ActionValues.judged`; with a value head V is its."""
        if not self.settings.critic_value_head:
            return expected, taken
        values = self.net.value(inputs.own, inputs.shared, packing=inputs.packing).squeeze(-1)
        return values, values[:, :-1] + taken - expected[:, :-1]

    def split_targets(self, it: Iteration) -> tuple[Tensor, Tensor]:
        """With a value head: targets of D, and of V: two [B, T, A]."""
        assert self.target is not None
        values = self.target.net.value(it.inputs.own, it.inputs.shared, packing=it.inputs.packing).squeeze(-1)
        returns = self.returns(it, values)
        return returns - values[:, :-1], returns

    def targets(self, it: Iteration) -> Tensor:
        """Targets of Q at the executed joint actions, from the lagging critic: [B, T, A].

        Row t > 0 bootstraps from Q(s_t, u_t) of the executed action. After the last step of a truncated episode
        nothing was executed: there the value is the policy's expectation over the own action beside sampled partners.
        """
        batch = it.batch
        rows = batch.obs.shape[:2]
        real = torch.zeros(rows, dtype=torch.bool, device=self.device)
        real[:, :-1] = batch.mask
        drawn = sample_joint(it.log_pi, n_samples=1, generator=self.generator, real=batch.rows & ~real).squeeze(2)
        executed = torch.cat([batch.actions, drawn[:, -1:]], dim=1)
        joint = torch.where(real.unsqueeze(-1), executed, drawn)  # [B, T+1, A]
        assert self.target is not None
        judged = self.judge(it.inputs, joint.unsqueeze(2), probabilities(it.log_pi), joint, net=self.target.net)
        return self.returns(it, torch.where(real.unsqueeze(-1), judged.first, judged.value))

    def fit(self, it: Iteration) -> Metrics:
        """``critic_updates`` passes over the batch, each in one step or step by step from the last."""
        with torch.no_grad():
            split = self.settings.critic_value_head
            targets, of_values = self.split_targets(it) if split else (self.targets(it), None)
        n_steps = it.batch.n_steps
        if self.settings.critic_update_by == "timestep":
            steps = [slice(t, t + 1) for t in reversed(range(n_steps))]
        else:
            steps = [slice(0, n_steps)]
        parts = [self.lesson(it, targets, step, of_values) for step in steps]
        passes: list[Metrics] = []
        for _ in range(self.settings.critic_updates):
            passes = [self.step(part) for part in parts]
        return mean_metrics(passes)

    def lesson(self, it: Iteration, targets: Tensor, steps: slice, of_values: Tensor | None = None) -> Lesson:
        """What the critic learns from some time steps; targets [B, T, A] of :meth:`q`, and of V where it has a head."""
        mask, inputs = it.batch.mask[:, steps], it.inputs[steps]
        packing = Packing.of(mask)

        def real(x: Tensor) -> Tensor:
            return x.contiguous() if packing is None else packing.pack(x)  # else every step would copy a slice

        own = real(inputs.own)
        sparse = self.settings.critic_updates > 1 and getattr(self.net, "takes_sparse", False)
        return Lesson(
            own=SparseRows.of(own) if sparse else own,
            shared=real(inputs.shared),
            actions=real(it.batch.actions[:, steps]),
            targets=real(targets[:, steps]),
            of_values=None if of_values is None else real(of_values[:, steps]),
            mask=real(mask),
            whole=packing is not None or bool(mask.all()),
        )

    def step(self, part: Lesson) -> Metrics:
        """One gradient step."""
        mask, target = part.mask, part.targets
        taken = self.net.taken(part.own, part.actions, part.shared, part.actions.unsqueeze(2)).squeeze(-1)
        error = taken - target
        loss = error.square().mean() if part.whole else masked_mean(error**2, mask)
        if part.of_values is None:
            return self.descend(loss, taken=taken, target=target, mask=mask)
        value = self.net.value(part.own, part.shared).squeeze(-1)
        of_value = masked_mean((value - part.of_values) ** 2, mask)
        metrics = self.descend(loss + of_value, taken=taken, target=target, mask=mask)
        return metrics | {"value_loss": of_value.detach(), "value_mean": Later(masked_mean, value, mask)}
