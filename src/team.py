"""One team of a run: its controller, its learner, its replay buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from components.replay import Replay
from core.data import EpisodeBatch, Metrics, TeamSpec
from core.errors import UserError
from core.seeding import numpy_generator, torch_generator
from options import Options


class Team:
    """Controller, learner and, for off-policy learners, replay of one team.

    Args:
        spec: the team's sizes.
        options: what was chosen.
        episode_limit: longest episode.
        reward_dim: R of the batches.
        index: number of the team, for its random streams.
    """

    def __init__(self, spec: TeamSpec, options: Options, episode_limit: int, reward_dim: int, *, index: int) -> None:
        s = options.experiment
        assert s.seed is not None
        device = self._device(s.device)
        if not s.common_reward and spec.reward_dim == 1:
            raise UserError(f"{s.env} gives one team reward: common_reward=False is not possible here.")
        generators = {
            "explore": torch_generator(s.seed, "explore", index, device=s.device),
            "test_policy": torch_generator(s.seed, "test_policy", index, device=s.device),
            "learner": torch_generator(s.seed, "learner", index, device=s.device),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_generator(s.seed, "init", index).initial_seed())
            self.controller = options.classes["controller"](
                spec, options.controller, generators=generators, device=device
            )
            self.learner = options.classes["learner"](
                spec, options.learner, self.controller, reward_dim=reward_dim, device=device
            )
        self.device = device
        self.replay: Replay | None = None
        if not self.learner.on_policy:
            self.replay = Replay(
                spec,
                episode_limit=episode_limit,
                capacity=options.learner.buffer_size,
                reward_dim=reward_dim,
                generator=numpy_generator(s.seed, "replay", index),
            )
            self._check_sizes(options)

    @staticmethod
    def _device(name: str) -> torch.device:
        try:
            device = torch.device(name)
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].split(", ipu")[0].rstrip(".")
            raise UserError(f"device={name} is not usable here ({reason}): give cpu, cuda or cuda:<number>.") from error
        return device

    def _check_sizes(self, options: Options) -> None:
        batch, buffer, run = options.learner.batch_size, options.learner.buffer_size, options.experiment.batch_size_run
        if buffer < max(batch, run):
            raise UserError(
                f"buffer_size={buffer} must hold at least batch_size={batch} and batch_size_run={run} episodes."
            )

    def learn(self, batch: EpisodeBatch, *, episode: int, t_env: int) -> Iterator[Metrics]:
        """Learn from newly gathered episodes: once from them, or as often as is due from the replay.

        Args:
            batch: the new episodes.
            episode: episodes gathered so far, these included.
            t_env: environment steps when their gathering began.

        Yields:
            the metrics of each update.
        """
        self.learner.observe(batch)
        if self.replay is None:
            yield self.learner.train(batch.to(self.device), t_env=t_env)
            return
        self.replay.add(batch)
        settings = self.learner.settings
        due = episode // settings.episodes_per_update - (episode - batch.n_episodes) // settings.episodes_per_update
        if self.replay.can_sample(settings.batch_size):
            for _ in range(due):
                yield self.learner.train(self.replay.sample(settings.batch_size).to(self.device), t_env=t_env)

    @property
    def n_parameters(self) -> int:
        """Trained numbers of all networks."""
        return sum(p.numel() for network in self.learner.networks().values() for p in network.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Learner and random streams (the networks and the replay have files of their own)."""
        return {"learner": self.learner.state_dict(), "controller": self.controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.learner.load_state_dict(state["learner"])
        self.controller.load_state_dict(state["controller"])
