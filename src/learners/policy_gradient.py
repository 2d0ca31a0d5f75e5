"""The sequence that COMA and ASAE share: freeze the behaviour policy, fit the joint critic, improve the actors.

A leaf class states how credit is assigned and which surrogate is optimised; nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.schedules import LinearSchedule
from components.target import Target
from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, Metrics, TeamSpec
from core.errors import UserError
from estimators import surrogates
from estimators.credit import sample_joint
from estimators.masked import masked_mean
from estimators.returns import continues_from_mask, lambda_returns, n_step_returns
from learners.base import BaseLearner, LearnerSettings
from modules.critics.counterfactual_critic import CounterfactualCritic
from modules.sharing import Grouped


class PolicyGradientSettings(LearnerSettings):
    """What COMA and ASAE read."""

    critic_lr: float | None = Field(None, gt=0, description="The critic's learning rate; null is the actor's lr.")
    critic_hidden_dim: int = Field(64, ge=1, description="Width of the critic's two hidden layers.")
    critic_updates: int = Field(1, ge=1, description="Gradient steps of the critic on each batch.")
    critic_update_by: Literal["batch", "timestep"] = Field(
        "batch", description="timestep: one gradient step per time step, last step first (PyMARL's COMA)."
    )
    obs_individual_obs: bool = Field(False, description="Give the critic the agent's own observation too.")
    critic_last_action: bool = Field(False, description="Give the critic the last joint action (PyMARL's COMA).")
    returns: Literal["n_step", "td_lambda"] = Field("n_step", description="Targets of the critic.")
    q_nstep: int = Field(10, ge=1, description="n of n-step targets.")
    td_lambda: float = Field(0.8, ge=0, le=1, description="lambda of TD(lambda) targets.")
    entropy_coef: float = Field(0.001, ge=0, description="Weight of the entropy bonus at the start.")
    entropy_coef_finish: float | None = Field(
        None, ge=0, description="... and after entropy_anneal_time; null: it stays as it is."
    )
    entropy_anneal_time: int | None = Field(None, ge=0, description="Environment steps of its linear annealing.")
    standardise_advantages: bool = Field(
        False,
        description="Divide advantages by their root mean square over available actions; the policy does not weight "
        "it, since what is left once the policy is certain is noise.",
    )


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What stays fixed for one training iteration.

    Attributes:
        batch: the episodes.
        log_pi: [B, T+1, A, U], the behaviour policy pi_i.
        own, shared: inputs of the critic, [B, T+1, A, O'] and [B, T+1, S'].
    """

    batch: EpisodeBatch
    log_pi: Tensor
    own: Tensor
    shared: Tensor


class PolicyGradientLearner(BaseLearner):
    """Actors against a joint critic Q(s, u), on-policy.

    Args:
        spec: the team's sizes.
        settings: the learner's section.
        controller: whose agents are the actors.
        reward_dim: must be 1, the team reward.
        device: where the networks live.
    """

    on_policy = True
    Settings: type[LearnerSettings] = PolicyGradientSettings
    epochs = 1

    def __init__(
        self,
        spec: TeamSpec,
        settings: PolicyGradientSettings,
        controller: BasicController,
        *,
        reward_dim: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(spec, settings, reward_dim=reward_dim, device=device)
        if reward_dim != 1:
            raise UserError(
                f"{settings.learner} assigns credit for one team reward: set common_reward=True, "
                "or use iql for individual rewards."
            )
        self.pg = settings
        self.controller = controller
        self.critic = Grouped(self._make_critic, controller.groups).to(device)
        self.target = Target(self.critic, settings.target_update_interval_or_tau)
        self.actor_optimizer = self.make_optimizer(list(controller.agents.parameters()), settings.lr)
        self.critic_optimizer = self.make_optimizer(list(self.critic.parameters()), settings.critic_lr or settings.lr)
        start, finish, steps = settings.entropy_coef, settings.entropy_coef_finish, settings.entropy_anneal_time
        if (finish is None) != (steps is None):
            raise UserError("entropy_coef_finish and entropy_anneal_time anneal the bonus together: give both or none.")
        self.entropy_coef = LinearSchedule(start=start, finish=start if finish is None else finish, steps=steps or 0)

    def _make_critic(self, agents: list[int]) -> CounterfactualCritic:
        spec, s = self.spec, self.pg
        return CounterfactualCritic(
            shared_dim=spec.state_dim + spec.n_agents * spec.n_actions * s.critic_last_action,
            own_dim=spec.obs_dim * s.obs_individual_obs + spec.n_agents,
            n_agents=spec.n_agents,
            n_actions=spec.n_actions,
            hidden_dim=s.critic_hidden_dim,
            agents=agents,
        )

    # -- what a leaf states ---------------------------------------------------------------------------------------

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Advantages of all own actions: [B, T, A, U]; ``log_pi`` [B, T, A, U] is pi_k where credit is re-estimated."""
        raise NotImplementedError

    def objective(self, it: Iteration, log_pi: Tensor, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """What the actors minimise per decision: [B, T, A], from log_pi [B, T, A, U] with gradient."""
        raise NotImplementedError

    def recredit(self, epoch: int) -> bool:
        """Whether credit is re-estimated in this epoch (> 0)."""
        return False

    def stop(self, it: Iteration, log_pi: Tensor) -> bool:
        """Whether to stop the epochs early, given the present policy [B, T, A, U]."""
        return False

    def after(self, it: Iteration, *, t_env: int) -> Metrics:
        """More metrics once the actors have moved."""
        return {}

    # -- the sequence ---------------------------------------------------------------------------------------------

    def train(self, batch: EpisodeBatch, *, t_env: int) -> Metrics:
        """One training iteration on the episodes that the present policy has just gathered."""
        log_pi = self.controller.log_policy(batch, t_env=t_env)
        it = Iteration(batch=batch, log_pi=log_pi.detach(), own=self._own(batch), shared=self._shared(batch))
        metrics = self._fit_critic(it)
        advantages, more = self._scaled_credit(it, None)
        metrics.update(more)
        epochs = 0
        for epoch in range(self.epochs):
            if epoch > 0:
                log_pi = self.controller.log_policy(batch, t_env=t_env)
                present = log_pi[:, :-1].detach()
                if self.stop(it, present):
                    break
                if self.recredit(epoch):
                    advantages, _ = self._scaled_credit(it, present)
            metrics.update(self._improve(it, log_pi[:, :-1], advantages, self.entropy_coef(t_env)))
            epochs += 1
        metrics["epochs"] = float(epochs)
        metrics.update(self.after(it, t_env=t_env))
        return metrics

    def imitate(self, batch: EpisodeBatch, *, t_env: int, epochs: int) -> Metrics:
        """One iteration on episodes that another policy, the guide, has gathered (``warm_start``).

        The actors take ``epochs`` steps of maximum likelihood towards the guide's actions; the critic evaluates the
        guide, since its targets follow executed actions. (Where a time limit cut an episode no action was executed,
        and the actors' own expectation stands in.) So the actors begin as the policy that the critic has evaluated.
        The surrogate is not used: its ratio would need the guide's probabilities, which scripts do not have.
        """
        metrics: Metrics = {}
        for _ in range(epochs):
            log_pi = self.controller.log_policy(batch, t_env=t_env)[:, :-1]
            likelihood = masked_mean(log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1), batch.mask)
            entropy = masked_mean(surrogates.entropy(log_pi), batch.mask)
            grad_norm = self.actor_optimizer.step(-likelihood - self.entropy_coef(t_env) * entropy)
            metrics = {
                "imitation_loss": -likelihood.detach(),
                "entropy": entropy.detach(),
                "agent_grad_norm": grad_norm,
            }
        with torch.no_grad():
            log_pi = self.controller.log_policy(batch, t_env=t_env)
        it = Iteration(batch=batch, log_pi=log_pi, own=self._own(batch), shared=self._shared(batch))
        return metrics | self._fit_critic(it)

    def _improve(self, it: Iteration, log_pi: Tensor, advantages: Tensor, entropy_coef: float) -> Metrics:
        mask = it.batch.mask
        per_decision, metrics = self.objective(it, log_pi, advantages)
        pg_loss = masked_mean(per_decision, mask)
        entropy = masked_mean(surrogates.entropy(log_pi), mask)
        grad_norm = self.actor_optimizer.step(pg_loss - entropy_coef * entropy)
        metrics.update(pg_loss=pg_loss.detach(), entropy=entropy.detach(), agent_grad_norm=grad_norm)
        return metrics

    def _scaled_credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            advantages, metrics = self.credit(it, log_pi)
            mask, pi = it.batch.mask, it.log_pi[:, :-1].exp()
            taken = advantages.gather(-1, it.batch.actions.unsqueeze(-1))
            metrics["advantage_mean"] = masked_mean(taken, mask)
            metrics["advantage_abs"] = masked_mean(taken.abs(), mask)
            metrics["pi_max"] = masked_mean(pi.amax(-1), mask)
            if self.pg.standardise_advantages:  # their mean under pi is zero already
                available = it.batch.available[:, :-1]
                square = (advantages**2 * available).sum(-1) / available.sum(-1)
                advantages = advantages / masked_mean(square, mask).sqrt().clamp(min=1e-6)
            return advantages, metrics

    # -- the critic -----------------------------------------------------------------------------------------------

    def _own(self, batch: EpisodeBatch) -> Tensor:
        """An agent's own part of the critic's input: [B, T+1, A, O']."""
        agent_id = torch.eye(self.spec.n_agents, device=self.device).expand(*batch.obs.shape[:2], -1, -1)
        return torch.cat([batch.obs, agent_id], -1) if self.pg.obs_individual_obs else agent_id

    def _shared(self, batch: EpisodeBatch) -> Tensor:
        """What all agents share of the critic's input: [B, T+1, S']."""
        if not self.pg.critic_last_action:
            return batch.state
        return torch.cat([batch.state, batch.last_actions().flatten(2)], -1)

    def critic_targets(self, it: Iteration) -> Tensor:
        """Targets of Q at the executed joint actions, from the target critic: [B, T, A].

        Row t > 0 bootstraps from Q(s_t, u_t) of the executed action. After the last step of a truncated episode
        nothing was executed: there the value is the policy's expectation over the own action beside sampled partners.
        """
        batch = it.batch
        rows = batch.obs.shape[:2]
        real = torch.zeros(rows, dtype=torch.bool, device=self.device)
        real[:, :-1] = batch.mask
        drawn = sample_joint(it.log_pi, n_samples=1, generator=self.controller.generators["learner"]).squeeze(2)
        executed = torch.cat([batch.actions, drawn[:, -1:]], dim=1)
        joint = torch.where(real.unsqueeze(-1), executed, drawn)  # [B, T+1, A]
        q = self.target.net(it.own, it.shared, joint.unsqueeze(2)).squeeze(3)  # [B, T+1, A, U]
        taken = q.gather(-1, joint.unsqueeze(-1)).squeeze(-1)
        expected = (it.log_pi.exp() * q).sum(-1)
        values = torch.where(real.unsqueeze(-1), taken, expected)
        continues = continues_from_mask(batch.mask).unsqueeze(-1)
        rewards, discounts = self.rewards(batch).expand_as(values[:, 1:]), self.discounts(batch)
        if self.pg.returns == "n_step":
            n = self.pg.q_nstep
            return n_step_returns(rewards=rewards, discounts=discounts, values=values, n=n, continues=continues)
        lam = self.pg.td_lambda
        return lambda_returns(rewards=rewards, discounts=discounts, values=values, lam=lam, continues=continues)

    def _fit_critic(self, it: Iteration) -> Metrics:
        with torch.no_grad():
            targets = self.critic_targets(it)
        n_steps = it.batch.n_steps
        if self.pg.critic_update_by == "timestep":
            steps = [slice(t, t + 1) for t in reversed(range(n_steps))]
        else:
            steps = [slice(0, n_steps)]
        passes: list[Metrics] = []
        for _ in range(self.pg.critic_updates):
            passes = [self._critic_step(it, targets, step) for step in steps]
        if len(passes) == 1:
            return passes[0]
        return {key: torch.stack([torch.as_tensor(one[key]) for one in passes]).mean() for key in passes[0]}

    def _critic_step(self, it: Iteration, targets: Tensor, step: slice) -> Metrics:
        actions, mask, target = it.batch.actions[:, step], it.batch.mask[:, step], targets[:, step]
        q = self.critic(it.own[:, step], it.shared[:, step], actions.unsqueeze(2)).squeeze(3)
        taken = q.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        error = taken - target
        loss = masked_mean(error**2, mask)
        grad_norm = self.critic_optimizer.step(loss)
        self.target.update()
        with torch.no_grad():
            return {
                "critic_loss": loss.detach(),
                "critic_grad_norm": grad_norm,
                "td_error_abs": masked_mean(error.abs(), mask),
                "q_taken_mean": masked_mean(taken, mask),
                "target_mean": masked_mean(target, mask),
            }

    # -- saving ---------------------------------------------------------------------------------------------------

    def networks(self) -> dict[str, nn.Module]:
        """agent.th and critic.th."""
        return {"agent": self.controller.agents, "critic": self.critic}

    def optimizers(self) -> dict[str, Any]:
        """Actor's and critic's."""
        return {"agent_opt": self.actor_optimizer, "critic_opt": self.critic_optimizer}

    def targets(self) -> dict[str, Target[Any]]:
        """The lagging critic."""
        return {"critic": self.target}
