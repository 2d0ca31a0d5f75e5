"""Approximations of each other's policies (Lowe et al. 2017, section 4.2), for learners whose targets need them."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from components.action_selectors import policy_log_probs
from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, Metrics
from core.errors import UserError
from core.packing import Packing
from estimators.masked import masked_mean
from estimators.surrogates import entropy
from learners.base import BaseLearner, LearnerSettings
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

    Attributes:
        latest: the newly gathered episodes; None before the first.

    Raises:
        UserError: one agent, which has nobody to approximate.
    """

    def __init__(self, learner: BaseLearner, settings: InferenceSettings, controller: BasicController) -> None:
        if learner.spec.n_agents == 1:
            raise UserError(
                f"policy_inference=True: the only agent of '{learner.spec.name}' has nobody whose policy it could "
                "infer: give policy_inference=false, or a task with more agents."
            )
        self.settings, self.controller, self.device = settings, controller, learner.device
        self.net = Approximations(controller.make_networks, controller.groups).to(learner.device)
        self.optimizer = learner.make_optimizer(list(self.net.parameters()), settings.inference_lr or settings.lr)
        self.latest: EpisodeBatch | None = None

    def behind(self, net: Any, batch: EpisodeBatch, inputs: Tensor) -> Tensor:
        """What approximations like these say of the rows behind the steps: [B, T, A (i), A (j), U]."""
        if self.controller.agents.recurrent:
            return net(inputs, packing=batch.packing)[:, 1:]
        return net(inputs[:, 1:], packing=Packing.of(batch.mask))

    def fit(self) -> Metrics:
        """One step on the latest episodes, and how far approximations are from the policies that act."""
        assert self.latest is not None, "episodes are seen before anything is learned from them"
        batch = self.latest.to(self.device)
        inputs, available = self.controller.inputs(batch), batch.available[:, :-1].unsqueeze(2)
        beliefs = self.net(inputs[:, :-1], packing=Packing.of(batch.mask))
        log_mu = policy_log_probs(beliefs, available, 0.0)
        loss = inference_loss(log_mu, batch, entropy_coef=self.settings.inference_entropy)
        grad_norm = self.optimizer.step(loss)
        with torch.no_grad():
            values = self.controller.values(self.controller.agents, inputs, batch, slice(None, -1))
            truth = policy_log_probs(values.unsqueeze(2), available, 0.0)
            kl = (truth.exp() * (truth - log_mu)).sum(-1)  # [B, T, A, A]
            others = ~torch.eye(kl.shape[-1], dtype=torch.bool, device=kl.device)
            kl = masked_mean(kl[..., others], batch.mask)
        return {"inference_loss": loss.detach(), "inference_kl": kl, "inference_grad_norm": grad_norm}


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
