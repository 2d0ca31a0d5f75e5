"""What HAPPO and HATRPO share (Kuba et al. 2022): agents move one after another, each against those who have moved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from components.optimizer import Optimizers
from controllers.policy import Policy
from core.data import Metrics, TeamSpec
from core.errors import UserError
from core.metrics import Later
from estimators.masked import mean_abs
from learners.advantage import AdvantageLearner, AdvantageSettings
from learners.critics.part import Iteration, mean_metrics
from learners.critics.state_value import StateValue, StateValueSettings


class SequentialSettings(StateValueSettings, AdvantageSettings):
    """What HAPPO and HATRPO read."""


class SequentialLearner(AdvantageLearner):
    """Groups of agents move in random order; the arguments are those of :class:`ActorCriticLearner`.

    The k-th moves against M A, where M = prod pi(u) / pi_i(u) over the executed actions of all agents who have moved
    before, unclipped, taken when they have finished: what their new policies make of the same data. A is estimated
    once. A group is one agent, or several that share a network and so move at once.

    Raises:
        UserError: all agents share one network; individual rewards.
    """

    individual_rewards = False  # one advantage of the team is weighted by its agents' ratios
    several_networks = True
    actor_optimizer: Optimizers
    settings: SequentialSettings

    def __init__(self, spec: TeamSpec, settings: Any, controller: Any, **others: Any) -> None:
        if spec.n_agents > 1 and len(controller.groups) == 1:
            groups = [0] * (spec.n_agents - 1) + [1]
            raise UserError(
                f"{settings.learner} moves agents one after another, but parameter_sharing="
                f"{_shown(controller.settings.parameter_sharing)} gives all {spec.n_agents} one network, so "
                f"moving one moves them all: give parameter_sharing=none, or groups, e.g. {groups}."
            )
        super().__init__(spec, settings, controller, **others)

    def make_critic(self) -> StateValue:
        """V of the state, one network for all agents, as the authors have it."""
        s, everybody = self.settings, [list(range(self.spec.n_agents))]
        return StateValue(
            self, s, everybody, reward_dim=self.reward_dim, minibatches=self.minibatches, lags=s.target_critic
        )

    def make_actor_optimizer(self) -> Optimizers:
        """One for each group, with clipping of its own."""
        nets = self.controller.agents.nets
        return Optimizers(self.make_optimizer(list(net.parameters()), self.settings.lr) for net in nets)

    def order(self) -> list[int]:
        """In which order the groups move."""
        generator = self.controller.generators["learner"]
        return torch.randperm(len(self.controller.groups), generator=generator, device=self.device).tolist()

    def turn(self, it: Iteration, advantages: Tensor, *, t_env: int) -> Metrics:
        """Move one group.

        Args:
            it: restricted to the group, A' agents.
            advantages: [B, T, A'], M A.
            t_env: environment steps so far.
        """
        raise NotImplementedError

    def move_actors(self, it: Iteration, policy: Policy, advantages: Tensor, *, t_env: int) -> Metrics:
        """The groups' turns; ``policy`` is not used, since its graph is that of all groups at once."""
        factor, turns = torch.ones_like(advantages[..., :1]), []
        for group in self.order():
            agents = torch.tensor(self.controller.groups[group], device=self.device)
            own = it.of_group(group, agents)
            turns.append(self.turn(own, factor * advantages[..., agents], t_env=t_env))
            with torch.no_grad():
                ratio = own.ratio_of(self.policy(own, t_env=t_env))
            factor = factor * ratio.prod(-1, keepdim=True).masked_fill(~it.batch.mask.unsqueeze(-1), 1.0)
        return mean_metrics(turns) | {"factor_change": Later(mean_abs, factor - 1, it.batch.mask)}


def _shown(sharing: Any) -> Any:
    if sharing == "seps":
        return "seps (which found one group)"
    return sharing if isinstance(sharing, str) else list(sharing)
