"""Another team of the environment, as a learner asks for its policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError
from learners.action_gradient import behind


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Who plays another team.

    Attributes:
        spec: the team's sizes.
        plays: an algorithm's name, "scripted:<name>" or "checkpoint:<folder>".
        controller: who acts.
        lagging: networks like those that act, which follow them slowly; None where its learner has none.
    """

    spec: TeamSpec
    plays: str
    controller: Any
    lagging: Any = None

    @property
    def known(self) -> bool:
        """Whether its agents have policies that can be asked: not those of scripts, nor where one waits for another."""
        return isinstance(self.controller, BasicController) and not self.controller.one_network

    @property
    def recurrent(self) -> bool:
        """Whether these must be asked about whole episodes."""
        return self.known and bool(self.controller.agents.recurrent)

    def policy(self, batch: EpisodeBatch, *, t_env: int) -> Tensor:
        """Log-probabilities of what acts at ``t_env``, [B, T+1, A, U], in the rival's own batch."""
        return self.controller.acting_policy(batch, t_env=t_env)

    def known_policy(self, batch: EpisodeBatch, *, t_env: int) -> Tensor:
        """As :meth:`policy`, without the sub-policies that were drawn, which nobody else sees."""
        return self.controller.known_policy(batch, t_env=t_env)

    def following(self, batch: EpisodeBatch, *, t_env: int) -> Tensor:
        """Logits of the actions behind the steps, [B, T, A, U]: of what lags, or else of what acts at ``t_env``."""
        if self.lagging is None:
            return self.policy(batch, t_env=t_env)[:, 1:]
        return behind(self.controller, self.lagging, batch, self.controller.inputs(batch))


def check_known(team: TeamSpec, rivals: Iterable[Rival]) -> None:
    """Refuse rivals whose policies cannot be asked.

    Raises:
        UserError: there is one.
    """
    for rival in rivals:
        if not rival.known:
            raise UserError(
                f"critic_teams=all: the critics of '{team.name}' learn what '{rival.spec.name}' does next, but "
                f"{rival.plays}, which plays it, has no policies that could be asked. Give the team '{team.name}' "
                "policy_inference=true, which approximates them, or critic_teams=own."
            )
