"""SePS (Christianos et al. 2021): which agents are alike, from what they met while nobody had learned anything.

Departures from the paper, for the sake of which see docs/algorithms.md: every agent has several ids, one for each part
of its episodes, so that what is noise among the embeddings is known (:mod:`components.clustering`); and what only names
an agent is left out of its observations.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from components.clustering import clusters
from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError
from core.settings import Section
from modules.agent_vae import AgentVAE

PARTS = 4
"""Parts of the episodes, in each of which every agent is embedded anew."""
ROWS = 100_000
"""Steps of single agents that are learned from, at most: some 2 seconds for ten epochs."""
NUMBERS = 2**26
"""Numbers that these may hold, 256 MiB."""
FARTHEST = 10.0
"""Observations are cut at so many standard deviations."""


class SePSSettings(Section):
    """How ``parameter_sharing=seps`` finds groups; read by nothing else."""

    seps_steps: int = Field(
        default=20_000,
        ge=1,
        description="Environment steps of random play from which seps finds groups, beside those of t_max.",
    )
    seps_z_dim: int = Field(default=10, ge=1, description="Numbers in an agent's embedding by seps.")
    seps_hidden_dim: int = Field(default=64, ge=1, description="Width of seps's encoder and decoder.")
    seps_beta: float = Field(default=1e-4, ge=0, description="Weight of the KL divergence in seps's loss.")
    seps_lr: float = Field(default=1e-3, gt=0, description="Learning rate of seps's encoder and decoder.")
    seps_batch_size: int = Field(default=512, ge=1, description="Steps of single agents in a batch of seps.")
    seps_epochs: int = Field(default=10, ge=1, description="Passes of seps over what was gathered.")
    seps_threshold: float = Field(
        default=2.0, gt=1, description="Groups of seps are so many times farther apart than embeddings of one agent."
    )


class Transitions:
    """What agents met: o, u, o' and r of steps in which they had a choice.

    Args:
        spec: the team's sizes.
        settings: how many steps there will be.
        generator: which of them are kept, where they are too many.
    """

    def __init__(self, spec: TeamSpec, settings: SePSSettings, generator: np.random.Generator) -> None:
        self.spec, self.generator = spec, generator
        self._steps, self._episodes = settings.seps_steps, 0
        self._most = min(ROWS, NUMBERS // (2 * spec.obs_dim + spec.n_actions))
        self._kept: list[tuple[Tensor, ...]] = []

    def add(self, batch: EpisodeBatch) -> None:
        """Keep steps of whole episodes: as many as are these episodes' due."""
        n_agents = self.spec.n_agents
        chosen = (batch.available[:, :-1].sum(-1) > 1) & batch.mask.unsqueeze(-1)  # the dead have no choice
        episode, step, agent = (index.numpy() for index in chosen.nonzero(as_tuple=True))
        due = max(1, int(self._most * int(batch.mask.sum()) / self._steps))
        if len(agent) > due:
            some = np.sort(self.generator.choice(len(agent), due, replace=False))
            episode, step, agent = episode[some], step[some], agent[some]
        rewards = batch.rewards.expand(-1, -1, n_agents)  # a team's reward is everybody's
        ids = agent * PARTS + (self._episodes + episode) % PARTS
        self._kept.append((
            batch.obs[episode, step, agent].float(),
            batch.actions[episode, step, agent],
            batch.obs[episode, step + 1, agent].float(),
            rewards[episode, step, agent],
            torch.from_numpy(ids),
        ))  # fmt: skip
        self._episodes += batch.n_episodes

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the decoder is given and what it is to say, float32 [N, I] and [N, O], and the ids, int64 [N].

        It says o' - o, which is o' where o is known, and need not learn to copy what stays.

        Entries of an observation that never change are left out on both sides: one that is the same for all agents says
        nothing, and one that differs is an agent's name or the word for its type, beside which z would have nothing
        left to say. The others have mean 0 and deviation 1.

        Raises:
            UserError: an agent had too few steps.
        """
        obs, actions, following, rewards, ids = (torch.cat(part) for part in zip(*self._kept, strict=True))
        missing = (torch.bincount(ids, minlength=self.spec.n_agents * PARTS) == 0).nonzero()
        if len(missing):
            raise UserError(
                f"parameter_sharing=seps: agent {int(missing[0]) // PARTS} of '{self.spec.name}' had a choice of "
                f"actions in too few of seps_steps={self._steps} environment steps: give a larger seps_steps."
            )
        varies = torch.stack([_varies(obs[ids // PARTS == agent]) for agent in range(self.spec.n_agents)]).any(0)
        mean, deviation = obs.mean(0), obs.std(0, correction=0).clamp(min=1e-6)
        seen, met = (((each - mean) / deviation).clamp(-FARTHEST, FARTHEST)[:, varies] for each in (obs, following))
        rewards = (rewards - rewards.mean()) / rewards.std(correction=0).clamp(min=1e-6)
        done = F.one_hot(actions, self.spec.n_actions).float()
        return torch.cat([seen, done], 1), torch.cat([met - seen, rewards.unsqueeze(1)], 1), ids


def _varies(obs: Tensor) -> Tensor:
    """Which entries change: bool [O]."""
    return obs.amax(0) - obs.amin(0) > 1e-6


def embeddings(data: Transitions, settings: SePSSettings, generator: torch.Generator) -> np.ndarray:
    """Fit the autoencoder; returns the mean of every id's z, [A, PARTS, Z].

    Args:
        data: what was gathered.
        settings: the autoencoder's.
        generator: of its weights, batches and noise.

    Raises:
        UserError: as :meth:`Transitions.rows`, or it has diverged.
    """
    x, y, ids = data.rows()
    n_agents, z_dim = data.spec.n_agents, settings.seps_z_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        sizes = {"z_dim": z_dim, "hidden_dim": settings.seps_hidden_dim}
        vae = AgentVAE(n_agents * PARTS, x.shape[1], y.shape[1], **sizes)
    optimizer = torch.optim.Adam(vae.parameters(), lr=settings.seps_lr, fused=True)
    for _ in range(settings.seps_epochs):
        for batch in torch.randperm(len(x), generator=generator).split(settings.seps_batch_size):
            noise = torch.randn(len(batch), z_dim, generator=generator)
            loss = vae.loss(ids[batch], x[batch], y[batch], noise, beta=settings.seps_beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        means = vae.encode()[0]
    if not means.isfinite().all():
        raise UserError(f"The autoencoder of seps has diverged: give a smaller seps_lr than {settings.seps_lr}.")
    return means.view(n_agents, PARTS, z_dim).numpy()


def find_groups(data: Transitions, settings: SePSSettings, generator: torch.Generator) -> tuple[int, ...]:
    """The number of every agent's group; the arguments are those of :func:`embeddings`."""
    return clusters(embeddings(data, settings, generator), threshold=settings.seps_threshold)
