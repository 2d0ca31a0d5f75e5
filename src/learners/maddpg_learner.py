"""MADDPG (Lowe et al. 2017, arXiv 1706.02275) with discrete actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from components.replay import Replay
from components.target import Target
from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, Metrics, TeamSpec, one_hots, read_as
from core.errors import UserError
from core.kinds import UNIT
from estimators.gumbel import gumbel_softmax, hard_of
from estimators.masked import masked_mean
from learners.action_gradient import (
    BEFORE,
    BEHIND,
    ActionGradientSettings,
    Seen,
    behind,
    decision_weights,
    frozen,
    own_beside,
    policy_metrics,
    side_by_side,
)
from learners.base import LearnerSettings
from learners.policy_inference import InferenceSettings, PolicyInference
from learners.q_learner import td_metrics
from learners.replayed import ReplayLearner
from learners.rivals import Rival, check_known
from modules.critics.action_critic import ActionCritic
from modules.sharing import Grouped


class MADDPGSettings(InferenceSettings, ActionGradientSettings):
    """What MADDPG reads."""

    obs_individual_obs: bool = Field(False, description="Give the critic the agent's own observation too.")
    critic_teams: Literal["all", "own"] = Field(
        "all", description="Whose actions critics know, and policies are inferred of, where there are several teams."
    )


class MADDPGLearner(ReplayLearner):
    """Decentralised actors that follow the gradient of central critics Q_i(x, u_1, ..., u_A) in their own actions.

    Other teams' agents are among the A, after the own ones, where these are seen (``critic_teams``).

    Critics learn r_i + d Q_i'(x', mu_1'(o_1'), ..., mu_A'(o_A')) (eq. 6). Actor i maximises Q_i(x, u_1, ..., mu_i(o_i),
    ..., u_A) beside the others' actions of the replay (eq. 5), through a straight-through Gumbel-softmax.

    Args:
        spec: the team's sizes.
        settings: the learner's section.
        controller: whose agents are the actors.
        rivals: other teams, whose actions the critics know.
        reward_dim: R of the batches; with individual rewards each agent has a return of its own.
        device: where the networks live.

    Raises:
        UserError: a controller whose agents do not act by draws, or settings that contradict each other.
    """

    individual_rewards = True
    ensembles = True
    Settings: type[LearnerSettings] = MADDPGSettings
    settings: ActionGradientSettings

    def __init__(
        self,
        spec: TeamSpec,
        settings: ActionGradientSettings,
        controller: BasicController,
        *,
        rivals: Sequence[TeamSpec] = (),
        reward_dim: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(spec, settings, reward_dim=reward_dim, device=device)
        self.settings, self.controller = settings, controller
        self.teams = (spec, *rivals)
        self.rivals: tuple[Rival, ...] = ()
        self.inference: PolicyInference | None = None
        self._check()
        self.critics = nn.ModuleDict(self.make_critics()).to(device)
        self.inference = self.make_inference()
        beliefs = {} if self.inference is None else self.inference.nets
        self.net = nn.ModuleDict({"agents": controller.agents, **self.critics, **beliefs})
        self.target = Target(self.net, settings.target_update_interval_or_tau)
        self.actor_optimizer = self.make_optimizer(list(controller.agents.parameters()), settings.lr)
        self.critic_optimizer = self.make_optimizer(list(self.critics.parameters()), settings.critic_lr or settings.lr)

    def _check(self) -> None:
        s, acting = self.settings, self.controller.settings
        if acting.action_selector != "soft_policies":
            raise UserError(
                f"action_selector={acting.action_selector}: {s.learner} explores by draws from its policies: give "
                "action_selector=soft_policies."
            )
        if self._steps is not None and s.q_lambda > 0:
            raise UserError(
                f"q_lambda={s.q_lambda:g} looks at the steps that follow, of which batch_steps={s.batch_steps} draws "
                "none: give q_lambda=0, or batch_steps=null, which draws whole episodes."
            )

    @classmethod
    def sees_rivals(cls, settings: Any) -> bool:
        """Whether critics know the other teams' actions."""
        return settings.critic_teams == "all"

    def meet(self, rivals: Sequence[Rival]) -> None:
        """See who plays the other teams.

        Raises:
            UserError: targets need a policy that cannot be asked.
        """
        if self.inference is None:
            check_known(self.spec, rivals)
        self.rivals = tuple(rivals)

    # -- what a subclass may state otherwise --------------------------------------------------------------------------

    def make_critics(self) -> dict[str, nn.Module]:
        """The critics' networks, by the names of their files."""
        return {"critic": Grouped(self._make_critic, self.controller.groups)}

    def make_inference(self) -> PolicyInference | None:
        """What agents learn of each other's policies."""
        s = self._own_settings
        return PolicyInference(self, s, self.controller, self.teams[1:]) if s.policy_inference else None

    def see(self, batch: EpisodeBatch) -> Seen:
        """What networks see; an agent's own part is its number, and its observation if asked for."""
        own = one_hots(self.spec.n_agents, self.spec.obs_kind, self.device).expand(*batch.obs.shape[:2], -1, -1)
        if self._own_settings.obs_individual_obs:
            own = torch.cat([batch.obs, own], -1)
        return Seen(batch=batch, inputs=self.controller.inputs(batch), own=own, shared=self._shared(batch))

    def values(self, net: Any, seen: Seen, rows: slice, joint: Tensor, *acting: Tensor) -> Tensor:
        """Q of joint actions, [B, T, A, U] or what each agent supposes, [B, T, A, A, U], at T of the rows: [B, T, A].

        Args:
            net: the networks, or those that lag.
            seen: whose rows they are.
            rows: all but the first or all but the last.
            joint: one-hot actions of all agents.
            acting: [B, T, A, U], what every agent does itself instead.
        """
        own, shared, packing = seen.own[:, rows], seen.shared[:, rows], seen.batch.step_packing
        return net["critic"](own, shared, joint, *acting, packing=packing).squeeze(-1)

    def improved(self, seen: Seen, taken: Tensor, chosen: Tensor) -> Tensor:
        """What the actors maximise, [B, T, A]: by their own ``chosen`` actions beside those that the others took."""
        return self.values(self.net, seen, BEFORE, taken, chosen)

    # -- the update ---------------------------------------------------------------------------------------------------

    @property
    def _steps(self) -> int | None:
        asked = () if self.inference else self.rivals
        remembering = self.controller.agents.recurrent or any(rival.recurrent for rival in asked)
        return None if remembering else self.settings.batch_steps

    @property
    def drawn(self) -> tuple[str, str]:
        """Steps, or whole episodes."""
        return super().drawn if self._steps is None else (f"{self._steps} steps", "batch_steps")

    def draw(self, replay: Replay) -> EpisodeBatch:
        """Steps, or whole episodes for networks with memory."""
        steps, episodes = self._steps, self.settings.batch_size
        return replay.sample(episodes) if steps is None else replay.sample_steps(steps)

    def observe(self, batch: EpisodeBatch) -> None:
        """See newly gathered episodes once; approximations learn from these, the latest."""
        super().observe(batch)
        if self.inference is not None:
            self.inference.latest = batch

    def train(self, batch: EpisodeBatch, *, t_env: int) -> Metrics:
        """One update of approximations, critics, actors and what lags, from what was drawn."""
        seen, taken = self.see(batch), self._taken(batch)
        metrics: Metrics = {} if self.inference is None else self.inference.fit()
        with torch.no_grad():
            following = self._following(batch, seen.inputs, t_env)
            target = self.targets_of(batch, self.values(self.target.net, seen, BEHIND, following))
        values = self.values(self.net, seen, BEFORE, taken)
        loss = masked_mean((values - target) ** 2, batch.mask)
        metrics |= {"critic_loss": loss.detach(), "critic_grad_norm": self.critic_optimizer.step(loss)}
        metrics |= td_metrics(batch, values, target) | self._improve(seen, taken)
        self.target.update()
        if self.inference is not None:
            metrics |= self.inference.divergence(self.rivals, t_env=t_env)
        return metrics

    def _taken(self, batch: EpisodeBatch) -> Tensor:
        """What all agents did, one-hot: [B, T, A, U]."""
        pairs = zip((batch, *batch.rivals), self.teams, strict=True)
        return side_by_side([F.one_hot(seen.actions, team.n_actions).float() for seen, team in pairs])

    def _following(self, batch: EpisodeBatch, inputs: Tensor, t_env: int) -> Tensor:
        """The next actions, one-hot, as the lagging policies have them: [B, T, A, U]; as each agent supposes them,
        [B, T, own A, A, U], where they infer the others' policies."""
        own = self._decide(behind(self.controller, self.lagging_agents, batch, inputs), batch)
        if self.inference is None:
            pairs = zip(self.rivals, batch.rivals, strict=True)
            return side_by_side([own, *(self._decide(one.following(seen, t_env=t_env), seen) for one, seen in pairs)])
        beliefs = self.inference.behind(self.target.net, batch, inputs)
        supposed = [self._decide(logits, seen) for seen, logits in beliefs]
        own = own.unsqueeze(2) if self.inference.alone else own_beside(own, supposed.pop(0))
        return side_by_side([own, *supposed])

    def _decide(self, logits: Tensor, batch: EpisodeBatch) -> Tensor:
        """Actions of the rows behind the steps by logits [B, T, ..., A, U], one-hot."""
        available = batch.available[:, 1:]
        if logits.dim() > available.dim():
            available = available.unsqueeze(2)
        if self.settings.target_policy == "greedy":
            return hard_of(logits.masked_fill(~available, -torch.inf))
        return gumbel_softmax(logits, available, temperature=1.0, generator=self.controller.generators["learner"])

    def _improve(self, seen: Seen, taken: Tensor) -> Metrics:
        """One step of the actors; the critics stay as they are."""
        s, batch, available = self.settings, seen.batch, seen.batch.available[:, :-1]
        logits = self.controller.values(self.controller.agents, seen.inputs, batch, BEFORE)
        generator = self.controller.generators["learner"]
        chosen = gumbel_softmax(logits, available, temperature=s.gumbel_temperature, generator=generator)
        with frozen(self.critics):
            pg_loss = -(decision_weights(batch, self.controller.n_policies) * self.improved(seen, taken, chosen)).sum()
        squares = logits.square().masked_fill(~available, 0).sum(-1) / available.sum(-1)
        loss = pg_loss + s.logit_penalty * masked_mean(squares, batch.mask)
        grad_norm = self.actor_optimizer.step(loss)
        metrics = policy_metrics(logits, available, batch.mask)
        return metrics | {"pg_loss": pg_loss.detach(), "agent_grad_norm": grad_norm}

    # -- parts --------------------------------------------------------------------------------------------------------

    @property
    def _own_settings(self) -> MADDPGSettings:
        """A subclass with other critics has not all of them."""
        assert isinstance(self.settings, MADDPGSettings)
        return self.settings

    def _make_critic(self, agents: list[int]) -> ActionCritic:
        spec, s = self.spec, self._own_settings
        return ActionCritic(
            shared_dim=spec.state_dim + self._seen_by_rivals,
            own_dim=spec.obs_dim * s.obs_individual_obs + spec.n_agents,
            n_agents=sum(team.n_agents for team in self.teams),
            n_actions=max(team.n_actions for team in self.teams),
            hidden_dim=s.critic_hidden_dim,
            agents=agents,
            shared_unit=UNIT[spec.state_kind],
            own_unit=UNIT[spec.obs_kind],
        )

    @property
    def _seen_by_rivals(self) -> int:
        """Numbers that the state lacks: where it is what the own team sees, what the other teams see."""
        return self.spec.state_is_joint_obs * sum(team.n_agents * team.obs_dim for team in self.teams[1:])

    def _shared(self, batch: EpisodeBatch) -> Tensor:
        """x, the state, or the observations of all agents where that is what it is made of: [B, T+1, S]."""
        if not self._seen_by_rivals:
            return batch.state
        pairs = zip(batch.rivals, self.teams[1:], strict=True)
        others = [read_as(seen.obs.flatten(2), team.obs_kind, self.spec.state_kind) for seen, team in pairs]
        return torch.cat([batch.state, *others], -1)

    @property
    def lagging_agents(self) -> Any:
        """The actors that lag."""
        return self.target.net["agents"]

    def networks(self) -> dict[str, nn.Module]:
        """agent.th, critic.th and what else there is."""
        return {"agent": self.controller.agents} | {name: self.net[name] for name in self.net if name != "agents"}

    def optimizers(self) -> dict[str, Any]:
        """Of actors, critics and approximations."""
        more = {} if self.inference is None else {"inference_opt": self.inference.optimizer}
        return {"agent_opt": self.actor_optimizer, "critic_opt": self.critic_optimizer} | more

    def targets(self) -> dict[str, Target[Any]]:
        """All lag together."""
        return {"net": self.target}
