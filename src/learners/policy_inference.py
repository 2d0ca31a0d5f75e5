"""Approximations of others' policies (Lowe et al. 2017, section 4.2), for learners whose targets need them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from components.action_selectors import policy_log_probs
from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, Metrics, TeamSpec
from core.errors import UserError
from core.metrics import Later
from estimators.masked import masked_mean
from estimators.surrogates import entropy
from learners.action_gradient import BEFORE
from learners.base import BaseLearner, LearnerSettings
from learners.rivals import Rival
from modules.inference import Approximations


class InferenceSettings(LearnerSettings):
    """What inference reads."""

    policy_inference: bool = Field(
        False, description="Agents do not know each other's policies: targets use what they have learned of them."
    )
    inference_entropy: float = Field(0.001, ge=0, description="Weight of the approximations' entropy (lambda, eq. 7).")
    inference_lr: float | None = Field(None, gt=0, description="The approximations' learning rate; null is lr.")


class PolicyInference:
    """muhat_i^j for every pair of agents, by maximum likelihood on the latest episodes (eq. 7).

    Args:
        learner: whose agents infer.
        settings: what was chosen.
        controller: whose networks they approximate by others like them.
        rivals: other teams, whose agents are approximated too.

    Attributes:
        latest: the newly gathered episodes; None before the first.
        alone: whether there are no others in the own team.
        nets: the approximations, by the names of their files; of the own team, unless alone, and of every other.

    Raises:
        UserError: one agent, which has nobody to approximate.
    """

    def __init__(
        self,
        learner: BaseLearner,
        settings: InferenceSettings,
        controller: BasicController,
        rivals: Sequence[TeamSpec] = (),
    ) -> None:
        self.settings, self.controller, self.device = settings, controller, learner.device
        self.alone = learner.spec.n_agents == 1
        if self.alone and not rivals:
            raise UserError(
                f"policy_inference=True: the only agent of '{learner.spec.name}' has nobody whose policy it could "
                "infer: give policy_inference=false, critic_teams=all where there are other teams, or a task with more "
                "agents."
            )
        readers = {} if self.alone else {"beliefs": controller}
        readers |= {f"beliefs_{rival.name}": reader_of(rival, controller) for rival in rivals}
        self._readers = tuple(readers.values())
        self.nets = {name: Approximations(one.make_networks, controller.groups) for name, one in readers.items()}
        parameters = [p for net in self.nets.values() for p in net.to(learner.device).parameters()]
        self.optimizer = learner.make_optimizer(parameters, settings.inference_lr or settings.lr)
        self.latest: EpisodeBatch | None = None

    def _seen(self, batch: EpisodeBatch) -> list[EpisodeBatch]:
        """What is known of every team that is approximated."""
        return [*([] if self.alone else [batch]), *batch.rivals]

    def behind(self, nets: Any, batch: EpisodeBatch, inputs: Tensor) -> Iterator[tuple[EpisodeBatch, Tensor]]:
        """For every team its batch, and what approximations say of the rows behind the steps: [B, T, A (i), A_j, U_j].

        Args:
            nets: like :attr:`nets`.
            batch: whose rows they are.
            inputs: of the own team, [B, T+1, A, I].
        """
        for name, reader, seen in zip(self.nets, self._readers, self._seen(batch), strict=True):
            x = inputs if seen is batch else reader.inputs(seen)
            if reader.agents.recurrent:
                yield seen, nets[name](x, packing=batch.packing)[:, 1:]
            else:
                yield seen, nets[name](x[:, 1:], packing=batch.step_packing)

    def fit(self) -> Metrics:
        """One step on the latest episodes."""
        assert self.latest is not None, "episodes are seen before anything is learned from them"
        batch = self.latest.to(self.device)
        coef, losses = self.settings.inference_entropy, []
        for log_mu, seen in self._beliefs(batch):
            losses.append(inference_loss(log_mu, seen, entropy_coef=coef))
        loss = torch.stack(losses).sum()
        return {"inference_loss": loss.detach(), "inference_grad_norm": self.optimizer.step(loss)}

    def _beliefs(self, batch: EpisodeBatch) -> Iterator[tuple[Tensor, EpisodeBatch]]:
        """For every team what is believed of its policies, [B, T, A (i), A_j, U_j], and its batch."""
        for net, reader, seen in zip(self.nets.values(), self._readers, self._seen(batch), strict=True):
            logits = net(reader.inputs(seen)[:, BEFORE], packing=batch.step_packing)
            yield policy_log_probs(logits, seen.available[:, BEFORE].unsqueeze(2), 0.0), seen

    def divergence(self, rivals: Sequence[Rival] = (), *, t_env: int) -> Metrics:
        """How far approximations are from the policies that act, once both have moved.

        Of an agent with several sub-policies that is their mean: which one is drawn nobody else sees, so that beside
        the one that is played even the best approximation would keep a divergence.

        Args:
            rivals: who plays the other teams.
            t_env: environment steps so far.
        """
        if self.alone and not any(rival.known for rival in rivals):
            return {}
        return {"inference_kl": Later(self._divergence, self.latest, rivals, t_env)}

    def _divergence(self, latest: EpisodeBatch, rivals: Sequence[Rival], t_env: int) -> Tensor:
        batch, pairs = latest.to(self.device), []
        beliefs = self._beliefs(batch)
        if not self.alone:
            pairs.append(self._own_divergence(batch, next(beliefs)[0], t_env))
        for rival, (log_mu, seen) in zip(rivals, beliefs, strict=False):
            if rival.known:
                pairs.append(divergence(rival.known_policy(seen, t_env=t_env)[:, BEFORE], log_mu).flatten(2))
        return masked_mean(torch.cat(pairs, -1), batch.mask)

    def _own_divergence(self, batch: EpisodeBatch, log_mu: Tensor, t_env: int) -> Tensor:
        """Of every agent's teammates: [B, T, A (A - 1)]."""
        truth = self.controller.known_policy(batch, t_env=t_env)[:, BEFORE]
        others = ~torch.eye(truth.shape[2], dtype=torch.bool, device=truth.device)
        return divergence(truth, log_mu)[..., others]


def reader_of(rival: TeamSpec, controller: BasicController) -> BasicController:
    """Who reads another team's observations, and builds networks for them, as a controller does for its own team.

    Agents of other teams share a network where all own ones do, which has their numbers then.
    """
    sharing = "full" if controller.settings.parameter_sharing == "full" else "none"
    settings = controller.settings.model_copy(update={"parameter_sharing": sharing, "obs_agent_id": True})
    return type(controller)(rival, settings, generators=controller.generators, device=controller.device)


def divergence(truth: Tensor, log_mu: Tensor) -> Tensor:
    """KL of policies [B, T, A_j, U] from what is believed of them, [B, T, A (i), A_j, U]: [B, T, A, A_j]."""
    truth = truth.unsqueeze(2)
    return (truth.exp() * (truth - log_mu)).sum(-1)


def inference_loss(log_mu: Tensor, batch: EpisodeBatch, *, entropy_coef: float) -> Tensor:
    """-E[log muhat_i^j(u_j | o_j) + lambda H(muhat_i^j)] over real steps and pairs (eq. 7).

    Args:
        log_mu: [B, T, A (i), A (j), U].
        batch: what the agents did.
        entropy_coef: lambda.
    """
    executed = batch.actions.unsqueeze(2).unsqueeze(-1).expand(*log_mu.shape[:-1], 1)
    likelihood = log_mu.gather(-1, executed).squeeze(-1)
    return -masked_mean(likelihood + entropy_coef * entropy(log_mu), batch.mask)
