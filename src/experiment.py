"""One run: builds its parts and holds THE training loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.errors import UserError
from core.seeding import episode_seed
from observers.interrupts import shield
from observers.sink import Sink
from options import Options
from runners.parallel_runner import Rewards
from team import Team

TEST_SLOTS = 32


class Experiment:
    """Training, testing and saving of one run.

    Args:
        options: what was chosen.
        sink: where metrics go; set before :meth:`run` (it needs the Sacred run).
    """

    def __init__(self, options: Options) -> None:
        s = options.experiment
        assert s.seed is not None, "options.resolve draws one"
        self.seed = s.seed
        torch.set_num_threads(s.torch_threads)
        self.options, self.settings = options, s
        self.rewards = Rewards(common=s.common_reward, scalarisation=s.reward_scalarisation)
        runner = options.classes["runner"]
        self.runner = self.make_runner(runner.slots(s.batch_size_run, s.n_envs), "train_env")
        self.test_runner = None
        if s.test_nepisode > 0:
            slots = runner.slots(s.test_nepisode, s.test_n_envs or TEST_SLOTS)
            self.test_runner = self.make_runner(slots, "test_env")
        self.spec = self.runner.spec
        if (s.render or s.save_replay) and not self.spec.can_render:
            raise UserError(f"{s.env} cannot draw itself: leave out render and save_replay.")
        self.teams = {
            team.name: Team(team, options, self.spec.episode_limit, self.rewards.dim(team), index=k)
            for k, team in enumerate(self.spec.teams)
        }
        self.controllers = {name: team.controller for name, team in self.teams.items()}
        self.t_env = self.episode = 0
        self.last_test = self.last_save = 0

    def make_runner(self, slots: int, purpose: str) -> Any:
        """A runner with environments and episode seeds of its own."""
        env = self.options.classes["env"](slots, self.options.env_args)
        seed_of = functools.partial(episode_seed, self.seed, purpose)
        return self.options.classes["runner"](env, seed_of=seed_of, rewards=self.rewards)

    def run(self, sink: Sink, *, save: Callable[[], None]) -> None:
        """Train until t_max, testing and saving on the way.

        Args:
            sink: where metrics go.
            save: writes a checkpoint of this experiment.

        Raises:
            observers.interrupts.Interrupted: between two iterations, so that what is saved then is whole.
        """
        s = self.settings
        if self.t_env == 0:
            self.test(sink)
        while self.t_env < s.t_max:
            with shield():
                self.iterate(sink)
                if self.t_env - self.last_test >= s.test_interval:
                    self.last_test = self.t_env
                    self.test(sink)
                sink.progress(self.t_env)
                if s.save_model and self.t_env - self.last_save >= s.save_model_interval:
                    self.last_save = self.t_env
                    save()
        if self.last_test != self.t_env:
            self.last_test = self.t_env
            self.test(sink)

    def iterate(self, sink: Sink) -> None:
        """Gather episodes, learn from them."""
        s, started = self.settings, self.t_env
        batches, stats = self.runner.collect(self.controllers, s.batch_size_run, t_env=started)
        self.t_env += int(stats.lengths.sum())
        self.episode += s.batch_size_run
        sink.episodes(stats, self.t_env)
        for name, team in self.teams.items():
            for metrics in team.learn(batches[name], episode=self.episode, t_env=started):
                sink.learner(metrics, self.t_env, team=name)

    def test(self, sink: Sink) -> None:
        """Play test episodes in their own environments; training does not notice."""
        if self.test_runner is None:
            return
        s = self.settings
        for greedy, prefix in ((s.test_greedy, "test_"), (False, "test_sampled_")):
            if prefix == "test_" or s.test_sampled:
                _, stats = self.test_runner.collect(self.controllers, s.test_nepisode, t_env=None, greedy=greedy)
                sink.episodes(stats, self.t_env, prefix=prefix)

    def film(self) -> list[Any]:
        """Frames of greedy episodes, one after another."""
        runner = self.make_runner(1, "render")
        frames: list[Any] = []
        try:
            runner.collect(
                self.controllers,
                self.settings.replay_episodes,
                t_env=None,
                greedy=True,
                on_step=lambda active: frames.append(runner.env.render(0)),
            )
        finally:
            runner.env.close()
        return frames

    def close(self) -> None:
        """Give back the environments."""
        for runner in (self.runner, self.test_runner):
            if runner is not None:
                runner.env.close()

    # -- what a checkpoint holds ----------------------------------------------------------------------------------

    def checkpoint(self, sink: Sink) -> dict[str, Any]:
        """File name -> content: networks, and everything else that an exact resume needs."""
        parts: dict[str, Any] = {"settings.pt": self.options.flat()}
        prefix = len(self.teams) > 1
        replay = {}
        for name, team in self.teams.items():
            for file, network in team.learner.networks().items():
                parts[f"{name}_{file}.th" if prefix else f"{file}.th"] = network.state_dict()
            if team.replay is not None and self.settings.save_replay_buffer:
                replay[name] = team.replay.state_dict()
        parts["state.pt"] = {
            "teams": {name: team.state_dict() for name, team in self.teams.items()},
            "counters": [self.t_env, self.episode, self.last_test, self.last_save],
            "launched": [r.launched if r is not None else 0 for r in (self.runner, self.test_runner)],
            "sink": sink.state_dict(),
        }
        if replay:
            parts["replay.pt"] = replay
        return parts

    def load_networks(self, folder: Path, read: Callable[[Path, str], Any]) -> None:
        """Load every team's networks.

        Raises:
            UserError: they have other shapes (another algorithm, environment or number of agents).
        """
        prefix = len(self.teams) > 1
        for name, team in self.teams.items():
            for file, network in team.learner.networks().items():
                full = f"{name}_{file}.th" if prefix else f"{file}.th"
                state = read(folder, full)
                try:
                    network.load_state_dict(state)
                except RuntimeError as error:
                    raise UserError(
                        f"{folder / full} does not fit {self.settings.name} on this environment (another algorithm, "
                        f"map or network size?): {str(error).splitlines()[1].strip()}"
                    ) from error

    def resume(self, folder: Path, read: Callable[[Path, str], Any], sink: Sink) -> None:
        """Continue exactly where the checkpoint was written."""
        self.load_networks(folder, read)
        state = read(folder, "state.pt")
        for name, team in self.teams.items():
            team.load_state_dict(state["teams"][name])
            if team.replay is not None:
                team.replay.load_state_dict(read(folder, "replay.pt")[name])
        self.t_env, self.episode, self.last_test, self.last_save = state["counters"]
        for runner, launched in zip((self.runner, self.test_runner), state["launched"], strict=True):
            if runner is not None:
                runner.launched = launched
        sink.load_state_dict(state["sink"])
