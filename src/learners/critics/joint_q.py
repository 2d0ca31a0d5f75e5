"""The joint critic Q(s, u) of COMA and ASAE."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from core.data import EpisodeBatch, Metrics, one_hots
from core.kinds import UNIT
from core.metrics import Later
from estimators.credit import sample_joint
from estimators.masked import masked_mean
from learners.base import BaseLearner
from learners.critics.part import ActionValues, CriticSettings, Iteration, JointInputs, mean_metrics
from modules.critics.counterfactual_critic import CounterfactualCritic


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
        """State, last joint action, own observation and the agent's number, of whole episodes."""
        s, spec, shared = self.settings, self.spec, batch.state
        agent_id = one_hots(spec.n_agents, spec.obs_kind, self.device).expand(*batch.obs.shape[:2], -1, -1)
        own = torch.cat([batch.obs, agent_id], -1) if s.obs_individual_obs else agent_id
        if s.critic_last_action:
            shared = torch.cat([shared, batch.last_actions(spec.state_kind).flatten(2)], -1)
        return JointInputs(own=own, shared=shared, real=batch.rows)

    def q(self, inputs: JointInputs, joint_actions: Tensor) -> Tensor:
        """Q of every own action beside the partners' actions: int64 [B, T, M, A] -> [B, T, A, M, U]."""
        return self.net(inputs.own, inputs.shared, joint_actions, packing=inputs.packing)

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
        drawn = sample_joint(it.log_pi, n_samples=1, generator=self.generator).squeeze(2)
        executed = torch.cat([batch.actions, drawn[:, -1:]], dim=1)
        joint = torch.where(real.unsqueeze(-1), executed, drawn)  # [B, T+1, A]
        assert self.target is not None
        seen = it.inputs.own, it.inputs.shared, joint.unsqueeze(2)
        q = self.target.net(*seen, packing=it.inputs.packing).squeeze(3)  # [B, T+1, A, U]
        taken = q.gather(-1, joint.unsqueeze(-1)).squeeze(-1)
        expected = (it.log_pi.exp() * q).sum(-1)
        return self.returns(it, torch.where(real.unsqueeze(-1), taken, expected))

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
        passes: list[Metrics] = []
        for _ in range(self.settings.critic_updates):
            passes = [self.step(it, targets, step, of_values) for step in steps]
        return mean_metrics(passes)

    def step(self, it: Iteration, targets: Tensor, steps: slice, of_values: Tensor | None = None) -> Metrics:
        """One gradient step on some time steps; targets of :meth:`q`, and of V where it has a head: [B, T, A]."""
        actions, mask, target = it.batch.actions[:, steps], it.batch.mask[:, steps], targets[:, steps]
        inputs = it.inputs[steps]
        q = self.q(inputs, actions.unsqueeze(2)).squeeze(3)
        taken = q.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        error = taken - target
        loss = masked_mean(error**2, mask)
        if of_values is None:
            return self.descend(error, loss, taken=taken, target=target, mask=mask)
        value = self.net.value(inputs.own, inputs.shared, packing=inputs.packing).squeeze(-1)
        of_value = masked_mean((value - of_values[:, steps]) ** 2, mask)
        metrics = self.descend(error, loss + of_value, taken=taken, target=target, mask=mask)
        return metrics | {"value_loss": of_value.detach(), "value_mean": Later(masked_mean, value, mask)}
