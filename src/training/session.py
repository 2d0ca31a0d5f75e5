"""One run from start to end: records, console, checkpoints, signals."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sacred import SETTINGS
from sacred import Experiment as SacredExperiment

from components import checkpoint
from core.errors import UserError, warn
from core.memory import amount
from core.processes import identity
from learners.diverging import Diverged
from observers.console import Console
from observers.interrupts import Interrupted, announce, closing, interrupts
from observers.sacred_files import AtomicFileObserver
from observers.sink import Sink
from training import ending, snapshot
from training.evaluation import Evaluation, Report
from training.experiment import Experiment
from training.filming import film
from training.grouping import told
from training.mirroring import Mirrors
from training.options import Options, spec_of
from training.provenance import provenance
from training.resuming import check_unfinished, models_folder


def env_info(options: Options) -> dict[str, Any]:
    """Sizes of the chosen environment (of its first team; all teams under "teams")."""
    spec = spec_of(options.classes["env"], options.env_args)
    teams = [dataclasses.asdict(team) for team in spec.teams]
    first = {key: teams[0][key] for key in ("n_agents", "n_actions", "obs_dim", "state_dim")}
    return {**first, "episode_limit": spec.episode_limit, "teams": teams}


def run(options: Options, *, command: str, report: Report | None = None) -> int:
    """Train (or evaluate) under Sacred; returns the exit status.

    What can be known to be wrong is found before the Sacred run starts, so that it leaves no empty run behind.

    Args:
        options: what was chosen.
        command: the command line, for the records.
        report: where the results of an evaluation are written, and kept.

    Raises:
        UserError: something that the user can mend.
    """
    if report is not None:
        report.check(options.experiment)
    try:
        with interrupts():
            experiment = Experiment(options)
            try:
                Session(experiment, command, report).run()
            finally:
                experiment.close()
    except Interrupted as interrupted:
        return interrupted.exit_status
    return 0


class Session:
    """The parts around an experiment: Sacred, sink, console and checkpoints.

    Args:
        experiment: just built; what is to be resumed or evaluated is loaded into it.
        command: the command line, for the records.
        report: where the results of an evaluation are written, or None.

    Raises:
        UserError: what is to be loaded does not fit, or results cannot be written.
    """

    def __init__(self, experiment: Experiment, command: str, report: Report | None = None) -> None:
        self.experiment, self.options, self.settings = experiment, experiment.options, experiment.settings
        self.provenance, self.report, self.mirrors = provenance(self.options, command), report, Mirrors(self.options)
        s = self.settings
        self.task = s.task(self.options.env_args.model_dump(mode="json"))
        self.root = Path(s.local_results_path).resolve()
        self.files = AtomicFileObserver(
            self.root / ("evaluations" if s.evaluate else "sacred") / self.options.title / self.task
        )
        self.loaded: Path | None = None
        self.before: dict[str, Any] = {}  # of the run that is continued
        self.unsaved = False  # the last try to write a checkpoint failed
        self._load()
        self.files.prepare()

    def _load(self) -> None:
        s, experiment = self.settings, self.experiment
        if self.options.resume_from is not None:
            self.loaded = self.options.resume_from
            check_unfinished(self.loaded, s.resume, s.t_max)
            self.before = snapshot.restore(experiment, self.loaded)
        elif s.checkpoint_path:
            self.loaded = checkpoint.find(models_folder(s.checkpoint_path), s.load_step)
            snapshot.load_networks(experiment, self.loaded)
            if s.evaluate and self.loaded.name.isdigit():
                experiment.t_env = int(self.loaded.name)  # the step that the results belong to

    def run(self) -> None:
        """Run under Sacred."""
        SETTINGS.CAPTURE_MODE = "no"  # the file observer keeps the output as it is printed
        SETTINGS.CONFIG.READ_ONLY_CONFIG = False
        sacred = SacredExperiment(self.settings.name, save_git_info=False)
        sacred.add_config(self.options.flat())
        sacred.observers.append(self.files)

        @sacred.main
        def train(_run: Any) -> float | None:
            return self.main(_run)

        logging.getLogger(self.settings.name).setLevel(logging.CRITICAL)  # Sacred's; the console says what is to be
        try:
            sacred.run()
        except BaseException as error:  # a second Ctrl-C in Sacred's own closing
            self.files.settle("INTERRUPTED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        finally:
            self.mirrors.close()

    def main(self, _run: Any) -> float | None:
        """What Sacred runs; the result is the last test return."""
        s = self.settings
        self.folder = self.files.basedir / str(_run._id)
        self.mirrors.start(self.folder)
        named = f"{self.options.title}_seed{s.seed}_{self.task}_{time.strftime('%Y%m%d_%H%M%S')}_{_run._id}"
        self.token = named.replace(":", "-")
        self.models = self.root / "models" / self.token
        self._inform(_run.info)
        self.console = Console(t_max=s.t_max, test_interval=s.test_interval, env=s.env, quiet=s.quiet)
        self.sink = Sink(
            run=_run,
            console=self.console,
            tensorboard=self.root / "tb_logs" / self.token if s.use_tensorboard else None,
            teams=tuple(self.experiment.teams),
            log_interval=s.log_interval,
            runner_log_interval=s.runner_log_interval,
            learner_log_interval=s.learner_log_interval,
        )
        if self.before:
            self.sink.load_state_dict(self.before["sink"])
            self.files.metrics.carry(self.before["waiting"])
        elif s.evaluate:
            self.console.resume(self.experiment.t_env)
        announce(self._at_ctrl_c)
        status = "FAILED"
        try:
            self._header()
            self._play(_run)
            status = "COMPLETED"
        except Diverged as error:
            raise Diverged(f"{error} {ending.last_good(self.models, self.loaded)}") from None
        except Interrupted as interrupted:
            status = "INTERRUPTED"
            self._save_last(torn=interrupted.torn)
            raise
        finally:
            closing()
            self.sink.close(status=status, results=self.folder)
            if not s.evaluate:
                self._say_next(status)
        return self.sink.latest.get(f"test_{ending.return_name(self.experiment)}")

    def _say_next(self, status: str) -> None:
        """Say what the checkpoints take, and the commands that go on from here; a completed run needs no replay."""
        removed = 0
        whole = not self.unsaved and not self.files.metrics.waiting()  # else it can only be resumed
        if status == "COMPLETED" and not self.settings.keep_replay_buffer and whole:
            removed = checkpoint.forget_replay(self.models)
        lines = [ending.sizes(self.models, removed=removed)]
        lines += ending.commands(
            self.experiment, self.folder, self.models, completed=status == "COMPLETED", measured=self.sink.latest
        )
        for line in filter(None, lines):
            self.console.message(line)

    def _at_ctrl_c(self, held: bool) -> str:
        """What follows a Ctrl-C, in words; ``held``: after an iteration, or after a checkpoint that is being saved."""
        saves = self.settings.save_model and not self.settings.evaluate
        if not saves or (not held and (self.models / str(self.experiment.t_env)).is_dir()):
            return "closing the run"
        return "saving a checkpoint and closing the run; Ctrl-C again closes it without saving"

    def _save_last(self, *, torn: bool) -> None:
        """Save a checkpoint where training was interrupted, unless a second Ctrl-C has forbidden or forbids it."""
        if self.settings.evaluate or not self.settings.save_model:
            return
        if not torn:
            with contextlib.suppress(Interrupted):
                self._save()
                return
        closing()
        checkpoint.remove_unfinished(self.models)
        saved = checkpoint.steps(self.models)
        newest = f"the newest checkpoint is of step {saved[-1]:,}" if saved else "there is no checkpoint"
        warn(f"closed without saving: {newest}")

    def _inform(self, info: dict[str, Any]) -> None:
        """Say in info.json, at once, what makes this run, where its checkpoints will be and which run it continues."""
        info["provenance"], info["process"] = self.provenance, identity()
        if self.settings.evaluate:
            info["evaluated"] = None if self.loaded is None else str(self.loaded)
        else:
            info["models"] = str(self.models)
        buffers = {name: team.replay.capacity for name, team in self.experiment.teams.items() if team.replay}
        if buffers:
            info["buffer_episodes"] = buffers
        if self.before:
            info["resumed_from_run"] = self.before["run"]
            info["resumed_at"] = self.experiment.t_env
        self.files.heartbeat_event(info, None, datetime.now(UTC).replace(tzinfo=None), None)

    def _play(self, _run: Any) -> None:
        s = self.settings
        if s.evaluate:
            self._evaluate()
        else:
            self.experiment.run(self.sink, save=self._save)
        if self.unsaved:
            warn("the last checkpoint could not be written: this run can be continued from an earlier one only")
        if s.render or s.save_replay:
            self._film(_run)

    def _evaluate(self) -> None:
        with self.sink.testing():
            played = self.experiment.test(self.sink)
        about: dict[str, Any] = {"checkpoint": None if self.loaded is None else str(self.loaded)}
        about |= {"step": self.experiment.t_env, "task": self.task}
        found = Evaluation(about=about, settings=self.settings, played=played, metrics=self.sink.latest)
        self.console.message(found.title)
        self.console.listing(found.metrics, intervals=found.intervals)
        if found.intervals:
            self.console.message("  in brackets: 95% bootstrap interval of the mean over episodes")
        if self.report is not None:
            for path in self.report.add(found):
                self.console.message(f"written: {path}")

    def _save(self) -> None:
        """Write a checkpoint; a full disk costs one warning, not the run."""
        if not self.settings.save_model:
            return
        waiting, sink = self.files.metrics.waiting(), self.sink.state_dict()
        parts = snapshot.parts(self.experiment, sink=sink, run=str(self.folder), waiting=waiting)
        try:
            checkpoint.save(self.models, self.experiment.t_env, parts)
            self.unsaved = False
        except OSError as error:
            if not self.unsaved:
                warn(f"{error}. Training goes on; earlier checkpoints are untouched")
            self.unsaved = True

    def _film(self, _run: Any) -> None:
        s = self.settings
        path = self.root / "replays" / f"{self.token}_{self.experiment.t_env}.{s.replay_format}"
        try:
            path = film(self.experiment, path)
        except (OSError, UserError) as error:  # what was played before counts
            warn(f"the film {path} cannot be written: {error}")
            return
        self.console.message(f"film of {s.replay_episodes} greedy episodes: {path}")
        _run.add_artifact(str(path))

    def _header(self) -> None:
        s, experiment = self.settings, self.experiment
        rows: dict[str, object] = {}
        for name, team in experiment.teams.items():
            spec, player = team.spec, self.options.player_of(name)
            rows[name] = (
                f"{spec.n_agents}, {spec.n_actions} actions, observations {spec.obs_dim}, state {spec.state_dim}, "
                f"{team.n_parameters:,} parameters"
            )
            if name in self.options.players:
                rows[f"{name} by"] = player.plays if team.learner is not None else f"{player.plays}, does not learn"
            if team.replay is not None:
                room = f"{team.replay.capacity:,} episodes, {amount(team.replay.n_bytes)} when full"
                if team.replay.capacity < player.learner.buffer_size:
                    asked = f"of buffer_size={player.learner.buffer_size:,} episodes"
                    room = room.replace("episodes", asked) + "; a larger buffer_memory allows more"
                rows["replay" if len(experiment.teams) == 1 else f"{name} replay"] = room
        rows["episodes"] = f"up to {experiment.spec.episode_limit} steps, {experiment.runner.env.n_envs} at once"
        rows |= told(self.options) | self.options.recommended | {"seed": s.seed}
        if s.label is not None:
            rows["label"] = s.label
        if self.loaded is not None:
            how = "resumed" if self.before else "evaluated" if s.evaluate else "networks"
            rows[how] = f"{self.loaded}" + (f" at step {experiment.t_env:,}" if self.before else "")
        if self.before and experiment.t_env >= s.t_max:
            rows["note"] = f"t_max={s.t_max} is reached: the last test is what is left"
        rows["results"] = self.folder
        self.console.header(f"{self.options.title} on {self.task}", rows)
