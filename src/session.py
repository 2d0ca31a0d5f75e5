"""One run from start to end: records, console, checkpoints, signals."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

from sacred import SETTINGS
from sacred import Experiment as SacredExperiment

from components import checkpoint
from components.film import write_film
from experiment import Experiment
from observers.console import Console
from observers.interrupts import Interrupted, interrupts
from observers.sacred_files import AtomicFileObserver
from observers.sink import Sink
from options import Options


def env_info(options: Options) -> dict[str, Any]:
    """Sizes of the chosen environment (of its first team; all teams under "teams")."""
    env = options.classes["env"](1, options.env_args)
    try:
        teams = [dataclasses.asdict(team) for team in env.spec.teams]
        first = {key: teams[0][key] for key in ("n_agents", "n_actions", "obs_dim", "state_dim")}
        return {**first, "episode_limit": env.spec.episode_limit, "teams": teams}
    finally:
        env.close()


def run(options: Options) -> int:
    """Train (or evaluate) under Sacred; returns the exit status.

    Raises:
        UserError: something that the user can mend.
    """

    SETTINGS.CAPTURE_MODE = "no"  # the file observer keeps the output as it is printed
    SETTINGS.CONFIG.READ_ONLY_CONFIG = False
    s = options.experiment
    session = Session(options, task=s.task(options.env_args.model_dump(mode="json")))
    sacred = SacredExperiment(s.name, save_git_info=False)
    sacred.add_config(options.flat())
    files = AtomicFileObserver(session.results)
    files.prepare()
    sacred.observers.append(files)

    @sacred.main
    def train(_run: Any) -> float | None:
        return session.main(_run)

    logging.getLogger(s.name).setLevel(logging.CRITICAL)  # Sacred's; the console says what is to be said
    try:
        with interrupts():
            sacred.run()
    except Interrupted as interrupted:
        return interrupted.exit_status
    return 0


class Session:
    """The parts around an experiment: sink, console and checkpoints.

    Args:
        options: what was chosen.
        task: what is played, for folder names.
    """

    def __init__(self, options: Options, *, task: str) -> None:
        self.options, self.settings, self.task = options, options.experiment, task
        self.root = Path(self.settings.local_results_path).resolve()
        self.results = self.root / "sacred" / self.settings.name / task
        self.warned = False

    def main(self, _run: Any) -> float | None:
        """What Sacred runs; the result is the last test return."""
        s = self.settings
        experiment = Experiment(self.options)
        try:
            started = time.strftime("%Y%m%d_%H%M%S")
            self.token = f"{s.name}_seed{s.seed}_{self.task}_{started}_{_run._id}".replace(":", "-")
            self.models = self.root / "models" / self.token
            _run.info["models"] = str(self.models)
            self.console = Console(t_max=s.t_max, quiet=s.quiet)
            self.sink = Sink(
                run=_run,
                console=self.console,
                tensorboard=self.root / "tb_logs" / self.token if s.use_tensorboard else None,
                teams=tuple(experiment.teams),
                log_interval=s.log_interval,
                runner_log_interval=s.runner_log_interval,
                learner_log_interval=s.learner_log_interval,
            )
            self._load(experiment)
            self._header(experiment, _run)
            return self._play(experiment, _run)
        finally:
            experiment.close()

    def _load(self, experiment: Experiment) -> None:
        s = self.settings
        if self.options.resume_from is not None:
            experiment.resume(self.options.resume_from, checkpoint.read, self.sink)
        elif s.checkpoint_path:
            folder = checkpoint.find(s.checkpoint_path, s.load_step)
            experiment.load_networks(folder, checkpoint.read)

    def _play(self, experiment: Experiment, _run: Any) -> float | None:
        s, status = self.settings, "COMPLETED"
        try:
            if s.evaluate:
                experiment.test(self.sink)
            else:
                experiment.run(self.sink, save=lambda: self._save(experiment))
                if s.save_model:
                    self._save(experiment)
            if s.render or s.save_replay:
                self._film(experiment, _run)
        except Interrupted:
            status = "INTERRUPTED"
            if s.save_model and not s.evaluate:
                self._save(experiment)
            raise
        except BaseException:
            status = "FAILED"
            raise
        finally:
            self.sink.close(status=status, results=self.results / str(_run._id))
        return self.sink.latest.get("test_return_mean")

    def _save(self, experiment: Experiment) -> None:
        """Write a checkpoint; a full disk costs a warning, not the run."""
        try:
            checkpoint.save(self.models, experiment.t_env, experiment.checkpoint(self.sink))
        except OSError as error:
            self.console.message(f"warning: {error}. Training goes on; earlier checkpoints are untouched.")

    def _film(self, experiment: Experiment, _run: Any) -> None:
        s = self.settings
        path = self.root / "replays" / f"{self.token}_{experiment.t_env}.{s.replay_format}"
        write_film(experiment.film(), path)
        self.console.message(f"film of {s.replay_episodes} greedy episodes: {path}")
        _run.add_artifact(str(path))

    def _header(self, experiment: Experiment, _run: Any) -> None:
        s = self.settings
        rows: dict[str, object] = {}
        for name, team in experiment.teams.items():
            spec = next(t for t in experiment.spec.teams if t.name == name)
            rows[name] = (
                f"{spec.n_agents}, {spec.n_actions} actions, observations {spec.obs_dim}, state {spec.state_dim}, "
                f"{team.n_parameters:,} parameters"
            )
            if team.replay is not None:
                rows["replay"] = f"{team.replay.capacity} episodes, {team.replay.n_bytes / 2**20:.0f} MiB when full"
        rows["episodes"] = f"up to {experiment.spec.episode_limit} steps, {experiment.runner.env.n_envs} at once"
        rows["seed"] = s.seed
        if self.options.resume_from is not None:
            rows["resumed"] = f"{self.options.resume_from} at step {experiment.t_env:,}"
        rows["results"] = self.results / str(_run._id)
        self.console.header(f"{s.name} on {s.env}/{self.task}" if self.task != s.env else f"{s.name} on {s.env}", rows)
