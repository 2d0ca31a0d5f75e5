"""The actor-critic sequence: freeze the behaviour policy, assign credit, improve the actors, fit the critic.

A leaf class states which critic it has, how credit is assigned and which surrogate is optimised; nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from components.decisions import improvement_of
from components.optimizer import Optimizer, Optimizers
from components.schedules import LinearSchedule
from components.target import Target
from controllers.basic_controller import BasicController
from controllers.policy import Policy
from core.data import EpisodeBatch, Metrics, TeamSpec
from core.errors import UserError
from core.metrics import Later
from estimators.masked import likeliest, masked_mean
from estimators.surrogates import Surrogate
from learners.base import BaseLearner, LearnerSettings
from learners.critics.part import CriticPart, Iteration, TargetSettings, mean_metrics
from learners.minibatches import Rows, draw, minibatches


class ActorCriticSettings(TargetSettings):
    """What every actor-critic learner reads."""

    entropy_coef: float = Field(0.001, ge=0, description="Weight of the entropy bonus at the start.")
    entropy_coef_finish: float | None = Field(
        None, ge=0, description="... and after entropy_anneal_time; null: it stays as it is."
    )
    entropy_anneal_time: int | None = Field(None, ge=0, description="Environment steps of its linear annealing.")
    num_mini_batch: int = Field(1, ge=1, description="Minibatches of whole episodes in each epoch.")
    active_masks: bool = Field(
        False, description="Decisions alone count in the actors' losses, not agents with one action (the dead)."
    )


class ActorCriticLearner(BaseLearner):
    """Actors beside a critic, on-policy.

    Args:
        spec: the team's sizes.
        settings: the learner's section.
        controller: whose agents are the actors.
        reward_dim: R of the batches.
        device: where the networks live.
    """

    on_policy = True
    Settings: type[LearnerSettings] = ActorCriticSettings
    settings: ActorCriticSettings

    @property
    def epochs(self) -> int:
        """Passes of the actors over each batch."""
        return 1

    def __init__(
        self,
        spec: TeamSpec,
        settings: ActorCriticSettings,
        controller: BasicController,
        *,
        reward_dim: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(spec, settings, reward_dim=reward_dim, device=device)
        self.settings = settings
        self.reward_dim = reward_dim
        self.controller = controller
        if controller.settings.action_selector != "soft_policies":
            raise UserError(
                f"action_selector={controller.settings.action_selector}: {settings.learner} learns from draws from its "
                "policies: give action_selector=soft_policies."
            )
        self.critic = self.make_critic()
        self.actor_optimizer = self.make_actor_optimizer()
        start, finish, steps = settings.entropy_coef, settings.entropy_coef_finish, settings.entropy_anneal_time
        if (finish is None) != (steps is None):
            raise UserError("entropy_coef_finish and entropy_anneal_time anneal the bonus together: give both or none.")
        self.entropy_coef = LinearSchedule(start=start, finish=start if finish is None else finish, steps=steps or 0)

    # -- what a leaf states ---------------------------------------------------------------------------------------

    def make_critic(self) -> CriticPart:
        """Build the critic."""
        raise NotImplementedError

    def make_actor_optimizer(self) -> Optimizer | Optimizers:
        """Build what moves the actors: one optimiser for them all."""
        return self.make_optimizer(list(self.controller.agents.parameters()), self.settings.lr)

    def credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        """Advantages as the objective takes them; ``log_pi`` [B, T, A, U] is pi_k where credit is re-estimated."""
        raise NotImplementedError

    @property
    def surrogate(self) -> Surrogate | None:
        """What the actors minimise at executed actions; None, or an objective that is stated later: that says it."""
        return Surrogate("policy_gradient")

    def of_executed(self, it: Iteration, advantages: Tensor) -> Tensor:
        """Those of :meth:`credit` that the executed actions have: [B, T, A]."""
        return advantages

    def told(self, it: Iteration, log_prob: Tensor) -> Metrics:
        """More metrics of a step, from the executed actions' log-probabilities [B, T, A]."""
        return {}

    def objective(self, it: Iteration, policy: Policy, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """What the actors minimise per decision: [B, T, A], from the present policy."""
        surrogate: Any = self.surrogate
        loss = surrogate(policy.executed, it.executed, self.of_executed(it, advantages))
        return loss, self.told(it, policy.executed)

    def recredit(self, epoch: int) -> bool:
        """Whether credit is re-estimated in this epoch (> 0)."""
        return False

    def stop(self, it: Iteration, policy: Policy) -> bool:
        """Whether to stop the epochs early, given the present policy."""
        return False

    def after(self, it: Iteration, *, t_env: int) -> Metrics:
        """More metrics once the actors have moved."""
        return {}

    # -- the sequence ---------------------------------------------------------------------------------------------

    def train(self, batch: EpisodeBatch, *, t_env: int, replayed: EpisodeBatch | None = None) -> Metrics:
        """One training iteration on the episodes that the present policy has just gathered.

        Args:
            batch: these.
            t_env: environment steps when their gathering began.
            replayed: others, from which a critic learns too where the learner ``rehearses``.
        """
        policy = self.controller.decide(batch, t_env=t_env)
        it = replace(self.freeze(batch, policy.frozen()), executed=policy.executed.detach())
        if replayed is not None:
            with torch.no_grad():
                it = replace(it, replayed=self.see(replayed, self.controller.log_policy(replayed, t_env=t_env)))
        metrics = self.critic.before(it)
        advantages, more = self._credit(it, None)
        metrics.update(more)
        metrics.update(self.move_actors(it, policy, advantages, t_env=t_env))
        metrics.update(self.critic.behind(it))
        metrics.update(self.after(it, t_env=t_env))
        return metrics

    def move_actors(self, it: Iteration, policy: Policy, advantages: Tensor, *, t_env: int) -> Metrics:
        """The epochs of the actors; ``policy`` is theirs before the first."""
        metrics: Metrics = {}
        epochs = 0
        for epoch in range(self.epochs):
            if epoch > 0:
                policy = self.policy(it, t_env=t_env)
                if self.stop(it, policy):
                    break
                if self.recredit(epoch):
                    advantages, _ = self._credit(it, policy.frozen()[:, :-1])
            metrics.update(self._epoch(it, policy, advantages, t_env))
            epochs += 1
        metrics["epochs"] = float(epochs)
        return metrics

    def policy(self, it: Iteration, *, t_env: int) -> Policy:
        """The present policy of the iteration's agents."""
        return self.controller.decide(it.batch, t_env=t_env, group=it.group)

    def log_policy(self, it: Iteration, *, t_env: int) -> Tensor:
        """The present policy of the iteration's agents, with gradient: [B, T+1, A, U]."""
        return self.controller.log_policy(it.batch, t_env=t_env, group=it.group)

    def step_actors(self, it: Iteration, loss: Tensor) -> Tensor:
        """One step of the iteration's actors; the norm of their gradient."""
        if it.group is None:
            return self.actor_optimizer.step(loss)
        assert isinstance(self.actor_optimizer, Optimizers), "groups that move alone have optimisers of their own"
        return self.actor_optimizer.groups[it.group].step(loss)

    def check_batches(self, n_episodes: int) -> None:
        """Refuse more minibatches than episodes."""
        n = self.settings.num_mini_batch
        if n > n_episodes:
            raise UserError(
                f"num_mini_batch={n} is more than the {n_episodes} episodes of a batch: lower it, or raise "
                "batch_size_run."
            )

    def minibatches(self, n_episodes: int) -> Sequence[Rows]:
        """Every episode in exactly one minibatch, in random order; all of them at once where one is asked for."""
        self.check_batches(n_episodes)
        return draw(n_episodes, self.settings.num_mini_batch, self.controller.generators["learner"], self.device)

    def _epoch(self, it: Iteration, policy: Policy, advantages: Tensor, t_env: int) -> Metrics:
        """One step of the actors on each minibatch; ``policy`` is the present one."""
        coef, passes, rows = self.entropy_coef(t_env), [], self.minibatches(it.batch.n_episodes)
        for part, own in zip(it.minibatches(rows), minibatches(advantages, rows), strict=True):
            present = policy if part is it else self.policy(part, t_env=t_env)
            passes.append(self._improve(part, present, own, coef))
        return mean_metrics(passes)

    def imitate(self, batch: EpisodeBatch, *, t_env: int, epochs: int) -> Metrics:
        """One iteration on episodes that another policy, the guide, has gathered (``warm_start``).

        The actors take ``epochs`` steps of maximum likelihood towards the guide's actions; the critic evaluates the
        guide, since its targets follow executed actions. (Where a time limit cut an episode no action was executed,
        and the actors' own expectation stands in.) So the actors begin as the policy that the critic has evaluated.
        The surrogate is not used: its ratio would need the guide's probabilities, which scripts do not have.
        """
        metrics: Metrics = {}
        for _ in range(epochs):
            policy = self.controller.decide(batch, t_env=t_env)
            likelihood = masked_mean(policy.executed, batch.mask)
            entropy = masked_mean(policy.entropy, batch.mask)
            grad_norm = self.actor_optimizer.step(-likelihood - self.entropy_coef(t_env) * entropy)
            metrics = {
                "imitation_loss": -likelihood.detach(),
                "entropy": entropy.detach(),
                "agent_grad_norm": grad_norm,
            }
        with torch.no_grad():
            log_pi = self.controller.log_policy(batch, t_env=t_env)
        return metrics | self.critic.fit(self.freeze(batch, log_pi))

    def freeze(self, batch: EpisodeBatch, log_pi: Tensor) -> Iteration:
        """What stays fixed for this iteration; log_pi [B, T+1, A, U] is the behaviour policy."""
        it = self.see(batch, log_pi)
        if self.settings.active_masks:
            it = replace(it, weights=it.active)
        with torch.no_grad():
            return replace(it, estimates=self.critic.estimate(it))

    def see(self, batch: EpisodeBatch, log_pi: Tensor) -> Iteration:
        """What the critic needs of episodes and of a policy [B, T+1, A, U] there."""
        return Iteration(
            batch=batch,
            log_pi=log_pi,
            executed=log_pi[:, :-1].gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1),
            rewards=self.rewards(batch),
            discounts=self.discounts(batch),
            inputs=self.critic.inputs(batch),
            weights=batch.mask,
        )

    def _credit(self, it: Iteration, log_pi: Tensor | None) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            advantages, metrics = self.credit(it, log_pi)
        metrics["pi_max"] = Later(likeliest, it.log_pi[:, :-1], it.batch.mask)
        return advantages, metrics

    def _improve(self, it: Iteration, policy: Policy, advantages: Tensor, entropy_coef: float) -> Metrics:
        if self.surrogate is None or self.stated("surrogate", "objective") == "objective":
            per_decision, metrics = self.objective(it, policy, advantages)
            found = improvement_of(policy.executed, policy.entropy, it.weights, per_decision, entropy_coef)
        else:
            common = it.weights, it.executed, self.of_executed(it, advantages)
            found = policy.improvement(self.surrogate, *common, entropy_coef)
            metrics = self.told(it, found.log_prob)
        beside, more = self.critic.beside(it)
        grad_norm = self.step_actors(it, found.loss if beside is None else found.loss + beside)
        metrics.update(more)
        metrics.update(pg_loss=found.pg_loss, entropy=found.entropy, agent_grad_norm=grad_norm)
        return metrics

    # -- saving ---------------------------------------------------------------------------------------------------

    def networks(self) -> dict[str, nn.Module]:
        """agent.th and critic.th."""
        return {"agent": self.controller.agents, "critic": self.critic.net}

    def optimizers(self) -> dict[str, Any]:
        """Actor's and critic's."""
        return {"agent_opt": self.actor_optimizer, "critic_opt": self.critic.optimizer}

    def targets(self) -> dict[str, Target[Any]]:
        """The lagging critic, where there is one."""
        return {} if self.critic.target is None else {"critic": self.critic.target}

    def state_dict(self) -> dict[str, Any]:
        """What an exact resume needs, the critic's own state included."""
        return super().state_dict() | {"critic": self.critic.state_dict()}

    def load_statistics(self, state: dict[str, Any]) -> None:
        """Take from another run's state without what its critic's values cannot be read."""
        self.critic.load_state_dict(state["critic"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        super().load_state_dict(state)
        self.critic.load_state_dict(state.get("critic", {}))  # checkpoints of former versions have none
