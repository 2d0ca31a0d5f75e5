"""One run: builds its parts and holds THE training loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from components.allocator import keep_freed_memory
from core.data import EpisodeStats
from core.errors import UserError
from core.seeding import episode_seed
from observers.interrupts import shield
from observers.sink import Sink
from runners.parallel_runner import Rewards
from training.options import Options
from training.room import make_runner
from training.teams import make_grouped_teams, seen
from training.testing import kinds_of_tests

TEST_SLOTS = 32  # environments at once in tests, at most


class Experiment:
    """Training and testing of one run; ``snapshot.py`` says what of it is saved.

    Args:
        options: what was chosen.

    Raises:
        UserError: the parts do not fit together, or the environment cannot be made.
    """

    def __init__(self, options: Options) -> None:
        assert options.experiment.seed is not None, "options.resolve draws one"
        self.seed = options.experiment.seed
        self.options, self.settings = options, options.experiment
        self._opened = ExitStack()
        self.t_env = self.episode = self.last_save = 0
        self.last_test: int | None = None
        try:
            self._build()
        except BaseException:
            self.close()  # processes of environments that were made already
            raise

    def _build(self) -> None:
        s, runner = self.settings, self.options.classes["runner"]
        keep_freed_memory()
        torch.set_num_threads(s.torch_threads)
        self.rewards = Rewards(common=s.common_reward, scalarisation=s.reward_scalarisation)
        self.test_runner = None
        if s.test_nepisode > 0:
            slots = runner.slots(s.test_nepisode, s.test_n_envs or TEST_SLOTS)
            self.test_runner = self._opened_runner(slots, "test_env")
        if s.evaluate and self.test_runner is not None:
            self.runner = self.test_runner
        else:
            self.runner = self._opened_runner(runner.slots(s.batch_size_run, s.n_envs), "train_env")
        self.spec = self.runner.spec
        if self.test_runner is not None and self.test_runner.spec != self.spec:
            raise UserError(f"{s.env}: sizes differ from copy to copy: {self.spec} and {self.test_runner.spec}.")
        if (s.render or s.save_replay) and not (self.spec.can_render or self.spec.can_record):
            raise UserError(f"{s.env} cannot draw itself: leave out render and save_replay.")
        self.options, self.teams = make_grouped_teams(self.options, self.runner, self.rewards)
        self.controllers = {name: team.controller for name, team in self.teams.items()}

    def make_runner(self, slots: int, purpose: str) -> Any:
        """A runner with environments and episode seeds of its own."""
        seed_of = functools.partial(episode_seed, self.seed, purpose)
        drawn = purpose == "render"
        return make_runner(self.options, slots, seed_of=seed_of, rewards=self.rewards, here=drawn)

    def _opened_runner(self, slots: int, purpose: str) -> Any:
        runner = self.make_runner(slots, purpose)
        self._opened.callback(runner.env.close)
        return runner

    def close(self) -> None:
        """Give back the environments."""
        self._opened.close()

    def run(self, sink: Sink, *, save: Callable[[], None]) -> None:
        """Train until t_max, testing and saving on the way.

        Args:
            sink: where metrics go.
            save: writes a checkpoint of this experiment.

        Raises:
            observers.interrupts.Interrupted: never within an iteration, so that what is saved then is whole.
        """
        s = self.settings
        while self.t_env < s.t_max:
            if self.last_test is None or self.t_env - self.last_test >= s.test_interval:
                with sink.testing():
                    self.test(sink)
            with shield():
                self.iterate(sink)
                sink.progress(self.t_env)
                if s.save_model and self.t_env - self.last_save >= s.save_model_interval:
                    self.last_save = self.t_env
                    save()
        if s.save_model:  # before the last test, which a continued run with a larger t_max does not have here
            with shield():
                save()
        if self.last_test != self.t_env:
            with sink.testing():
                self.test(sink)

    def iterate(self, sink: Sink) -> None:
        """Gather episodes, learn from them."""
        s, started = self.settings, self.t_env
        actors = {name: team.actor(self.episode) for name, team in self.teams.items()}
        batches, stats = self.runner.collect(actors, s.batch_size_run, t_env=started)
        self.t_env += int(stats.lengths.sum())
        self.episode += s.batch_size_run
        sink.episodes(stats, self.t_env)
        for name, batch in seen(self.teams, batches, episode=self.episode).items():
            metrics = self.teams[name].learn(batch, episode=self.episode, t_env=started)
            sink.learner(metrics, self.t_env, team=name)

    def test(self, sink: Sink) -> dict[str, EpisodeStats]:
        """Play test episodes in their own environments; training does not notice.

        An interrupted test leaves no trace, so that a resumed run plays it as if nothing had happened.

        Returns:
            "test_" and, with test_sampled, "test_sampled_" -> the episodes; nothing where tests are turned off.
        """
        runner, s, played = self.test_runner, self.settings, dict[str, EpisodeStats]()
        if runner is not None:
            launched = runner.launched
            streams = {name: controller.state_dict() for name, controller in self.controllers.items()}
            try:
                for prefix, greedy in kinds_of_tests(s).items():
                    played[prefix] = runner.play(self.controllers, s.test_nepisode, t_env=None, greedy=greedy)
            except BaseException:
                runner.launched = launched
                for name, controller in self.controllers.items():
                    controller.load_state_dict(streams[name])
                raise
        with shield():
            self.last_test = self.t_env
            for prefix, stats in played.items():
                sink.episodes(stats, self.t_env, prefix=prefix)
        return played
