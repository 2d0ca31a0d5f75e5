"""One team of a run: who plays it, its learner and its replay buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from components import checkpoint
from components.replay import Replay
from components.target import Target
from controllers.scripted_controller import ScriptedController
from core.data import EnvSpec, EpisodeBatch, Metrics, TeamSpec
from core.errors import UserError
from core.memory import enough_memory
from core.protocols import Imitator
from core.seeding import numpy_generator, torch_generator
from core.settings import NESTED, TEAM
from envs.scripted import make_player
from learners.diverging import check_updates
from learners.rivals import Rival
from training.grouping import check_groups
from training.options import Options
from training.players import Player, StartSettings, guide
from training.resuming import shape_differences
from training.room import rivals_of


class Team:
    """Controller and, where the team learns, learner and replay (of learners from replayed episodes).

    Args:
        spec: the team's sizes.
        options: what was chosen.
        env_spec: of the environment.
        reward_dim: R of the batches.
        index: number of the team, for its random streams.

    Raises:
        UserError: its player cannot play it.
    """

    def __init__(self, spec: TeamSpec, options: Options, env_spec: EnvSpec, reward_dim: int, *, index: int) -> None:
        s, player = options.experiment, options.player_of(spec.name)
        self.spec, self.options, self.index = spec, options, index
        self.episode_limit, self.reward_dim = env_spec.episode_limit, reward_dim
        self.rivals = rivals_of(options, spec, env_spec)
        self.device = self._device(s.device)
        if spec.n_agents < 1:
            raise UserError(f"The team '{spec.name}' of {s.env} has no agents: give it at least one.")
        if not s.common_reward and spec.reward_dim == 1:
            raise UserError(f"{s.env} gives one team reward: common_reward=False is not possible here.")
        self.start = player.start or StartSettings()
        self.guide: Any = None
        sizes = f"the networks of {spec.name} (observations of {spec.obs_dim:,} numbers, state of {spec.state_dim:,})"
        lower = "lower hidden_dim, critic_hidden_dim or hypernet_embed, or make the observations smaller"
        with enough_memory(sizes, lower), torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_generator(self.seed, "init", index).initial_seed())
            self.controller = self._controller(player, index)
            self.learner = self._learner(player)
            if self.start.warm_start and not s.evaluate:
                self.guide = self._guide(self.start.warm_start)
        self.replay: Replay | None = None

    def meet(self, teams: Mapping[str, Team], *, buffer: int | None) -> None:
        """See who plays the other teams, where the learner asks, and open the replay.

        Args:
            teams: all of them.
            buffer: episodes of the replay; None where it needs none.

        Raises:
            UserError: it cannot learn beside them.
        """
        if self.rivals and not self.options.experiment.evaluate:
            self.learner.meet([teams[rival.name]._as_rival() for rival in self.rivals])
        if buffer is not None:
            kept = [teams[rival.name]._make_replay(buffer, self) for rival in self.rivals]
            self.replay = self._make_replay(buffer, self, kept)

    def _as_rival(self) -> Rival:
        """Who plays it, for other teams' learners."""
        lagging = None if self.learner is None else self.learner.lagging_agents
        plays = self.options.player_of(self.spec.name).plays
        return Rival(spec=self.spec, plays=plays, controller=self.controller, lagging=lagging)

    def _make_replay(self, capacity: int, learns: Team, rivals: Sequence[Replay] = ()) -> Replay:
        """What is kept of this team for one that learns."""
        path = () if learns is self else (self.index,)
        return Replay(
            self.spec,
            episode_limit=self.episode_limit,
            capacity=capacity,
            reward_dim=self.reward_dim,
            generator=numpy_generator(self.seed, "replay", learns.index, *path),
            dtype=learns.learner.settings.buffer_dtype,
            n_policies=self.controller.n_policies,
            rivals=rivals,
        )

    @property
    def seed(self) -> int:
        """The run's."""
        seed = self.options.experiment.seed
        assert seed is not None, "options.resolve draws one"
        return seed

    def _controller(self, player: Player, *path: int) -> Any:
        """Who acts; ``path`` tells its random streams from others'."""
        s = self.options.experiment
        if player.controller is None:
            script = make_player(player.label, env=s.env, env_args=self.options.env_args, team=self.spec)
            streams = {purpose: numpy_generator(self.seed, purpose, *path) for purpose in ("explore", "test_policy")}
            return ScriptedController(script, generators=streams)
        generators = {
            purpose: torch_generator(self.seed, purpose, *path, device=s.device)
            for purpose in ("explore", "test_policy", "learner")
        }
        settings = player.controller
        if player.learner is None:  # frozen: in training it acts as in sampled tests
            settings = settings.model_copy(update=settings.frozen())
        made = player.classes["controller"](self.spec, settings, generators=generators, device=self.device)
        if player.networks is not None:
            self._load_policy(made, player.networks)
        return made

    def _load_policy(self, made: Any, folder: Path) -> None:
        """Load the policy of this team from a checkpoint of another run."""
        s, own = self.options.experiment, f"{self.spec.name}_agent.th"
        name = own if (folder / own).exists() or not (folder / "agent.th").exists() else "agent.th"
        saved, now = checkpoint.read_settings(folder), self.options.flat()
        there = saved | saved.get(TEAM, {}).get(self.spec.name, {})
        check_groups(folder, there, self.spec, made.groups)
        here = made.settings.model_dump(mode="json") | {key: now[key] for key in ("env", NESTED)}
        both = [key for key in here if key in there]
        known = shape_differences({key: there[key] for key in both}, {key: here[key] for key in both})
        checkpoint.load_network(made.agents, folder, name, what=f"the team '{self.spec.name}' of {s.env}", known=known)

    def _learner(self, player: Player) -> Any:
        """Who improves the networks; None where nothing does."""
        if player.learner is None:
            return None
        try:
            make = player.classes["learner"]
            if self.controller.n_policies > 1 and not make.ensembles:
                raise UserError(
                    f"policy_ensemble={self.controller.n_policies}: {player.learner.learner} learns one policy for "
                    "every agent: give policy_ensemble=1; maddpg and facmac learn ensembles."
                )
            if self.controller.one_network and not make.dependent:
                raise UserError(
                    f"mac={self.controller.settings.mac}: its agents decide one after another, each by what those "
                    f"before it do, but {player.learner.learner} takes them for independent policies: leave mac out, "
                    "or give --config=mat, whose learner does not."
                )
            more = {"rivals": self.rivals} if self.rivals else {}
            sizes = {"reward_dim": self.reward_dim, "device": self.device}
            made = make(self.spec, player.learner, self.controller, **sizes, **more)
            if not self.options.experiment.evaluate:
                made.check_batches(self.options.experiment.batch_size_run)
            return made
        except UserError as error:
            if not self.options.players:
                raise
            raise UserError(f"{player.plays} cannot play the team '{self.spec.name}': {error}") from error

    def _guide(self, text: str) -> Any:
        """Who gathers the first episodes."""
        if self.learner.on_policy and not isinstance(self.learner, Imitator):
            raise UserError(f"warm_start={text}: this on-policy learner cannot learn from another's episodes.")
        return self._controller(guide(text, self.spec.name), self.index, 1)

    @staticmethod
    def _device(name: str) -> torch.device:
        try:
            device = torch.device(name)
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].split(", ipu")[0].rstrip(".")
            raise UserError(f"device={name} is not usable here ({reason}): give cpu, cuda or cuda:<number>.") from error
        return device

    def actor(self, episode: int) -> Any:
        """Who gathers the episodes that come after ``episode`` others: the controller, or at first the guide."""
        return self.guide if self._guided(episode) else self.controller

    def _guided(self, episode: int) -> bool:
        return self.guide is not None and episode < self.start.warm_start_episodes

    def played(self, batch: EpisodeBatch, *, episode: int) -> EpisodeBatch:
        """New episodes as it might have played them: of a guide's its own sub-policies are drawn, where it has several.

        Args:
            batch: the new episodes.
            episode: episodes gathered so far, these included.
        """
        n, size = self.controller.n_policies, (batch.n_episodes, self.spec.n_agents)
        if not self._guided(episode - batch.n_episodes):
            return batch
        if n == 1:
            return replace(batch, policies=None)
        assert self.replay is not None, "what learns ensembles learns from replayed episodes"
        return replace(batch, policies=torch.from_numpy(self.replay.generator.integers(n, size=size)))

    def learn(self, batch: EpisodeBatch, *, episode: int, t_env: int) -> Metrics:
        """Learn: once from new episodes (and replayed ones beside them), or as often as is due from the replay.

        Args:
            batch: the new episodes (:func:`training.teams.seen`).
            episode: episodes gathered so far, these included.
            t_env: environment steps when their gathering began.

        Returns:
            the metrics of the last update, to be read before the next; empty where there was none.

        Raises:
            Diverged: a loss or a gradient is not finite.
        """
        if self.learner is None:
            return {}
        self.learner.observe(batch)
        try:
            metrics = self._update(batch, episode, t_env)
        except Exception:  # some functions of torch refuse nan
            self._check_updates(batch, t_env)
            raise
        self._check_updates(batch, t_env)
        return metrics

    def _check_updates(self, batch: EpisodeBatch, t_env: int) -> None:
        check_updates(self.spec.name, self.learner, batch, self.replay, t_env=t_env)

    def _update(self, batch: EpisodeBatch, episode: int, t_env: int) -> Metrics:
        """All updates that are due; what the last of them tells."""
        before = episode - batch.n_episodes
        if self.replay is not None:
            self.replay.add(batch)
        if self.replay is None or self.learner.on_policy:
            return self._learn_once(batch, t_env=t_env, guided=self._guided(before))
        settings = self.learner.settings
        due = episode // settings.episodes_per_update - before // settings.episodes_per_update
        if due == 0 or not self.replay.can_sample(settings.batch_size):
            return {}
        for _ in range(due - 1):
            self._learn_again(self.replay, t_env=t_env)
        return self._learn_again(self.replay, t_env=t_env)

    def _learn_once(self, batch: EpisodeBatch, *, t_env: int, guided: bool) -> Metrics:
        n_replayed = 0
        if self.replay is not None and not guided and self.replay.can_sample(self.learner.settings.batch_size):
            n_replayed = self.learner.settings.batch_size
        lower = "lower batch_size_run" + " or batch_size" * (n_replayed > 0)
        with enough_memory(f"learning from {batch.n_episodes + n_replayed} episodes at once", lower):
            batch = batch.to(self.device)
            if guided:
                return self.learner.imitate(batch, t_env=t_env, epochs=self.start.warm_start_epochs)
            if self.replay is None or n_replayed == 0:
                return self.learner.train(batch, t_env=t_env)
            return self.learner.train(batch, t_env=t_env, replayed=self.replay.sample(n_replayed).to(self.device))

    def _learn_again(self, replay: Replay, *, t_env: int) -> Metrics:
        drawn, setting = self.learner.drawn
        with enough_memory(f"learning from {drawn} at once", f"lower {setting}"):
            return self.learner.train(self.learner.draw(replay).to(self.device), t_env=t_env)

    def networks(self) -> dict[str, nn.Module]:
        """File name (without .th) -> network; none of a scripted player."""
        if self.learner is not None:
            return self.learner.networks()
        return {} if isinstance(self.controller, ScriptedController) else {"agent": self.controller.agents}

    def targets(self) -> dict[str, Target[Any]]:
        """Name -> lagging network."""
        return {} if self.learner is None else self.learner.targets()

    @property
    def n_parameters(self) -> int:
        """Numbers of all networks."""
        return sum(p.numel() for network in self.networks().values() for p in network.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Learner and random streams (the networks and the replay have files of their own)."""
        parts = {"learner": self.learner, "controller": self.controller, "guide": self.guide}
        return {name: part.state_dict() for name, part in parts.items() if part is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for name, part in (("learner", self.learner), ("controller", self.controller), ("guide", self.guide)):
            if part is not None:
                part.load_state_dict(state[name])
