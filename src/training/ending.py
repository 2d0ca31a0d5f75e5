"""What the end of a training run says: how much its checkpoints take, and the commands that come next."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Container
from pathlib import Path

from components import checkpoint
from core.packages import SOURCE
from training.experiment import Experiment

DEFAULT_METRIC = "test_return_mean"


def sizes(models: Path, *, removed: int) -> str:
    """Return a line on what a run's checkpoints take; empty where it has none.

    Args:
        models: folder of its checkpoints.
        removed: bytes of the replay buffer that was removed from them.
    """
    steps, (total, replay) = checkpoint.steps(models), checkpoint.sizes(models)
    if not steps:
        return ""
    line = f"Checkpoints: {len(steps)}, {_size(total)}"
    line += f", {_size(replay)} of them the replay buffer" if replay else ""
    line += f"; replay buffer of {_size(removed)} removed (keep_replay_buffer=True keeps it)" if removed else ""
    return f"{line}, in {shown(models)}"


def last_good(models: Path, loaded: Path | None) -> str:
    """Where a training that has diverged can go on in another way.

    Args:
        models: folder of its checkpoints.
        loaded: what it was begun from.
    """
    steps = checkpoint.steps(models)
    path = models / str(steps[-1]) if steps else loaded
    if path is None:
        return "Nothing was saved before."
    return f"The last good checkpoint: checkpoint_path={shown(path)} trains on from its networks under other settings."


def return_name(experiment: Experiment) -> str:
    """The return's name in the metrics: of the first team that learns where there are several."""
    teams = experiment.teams
    first = next((name for name, team in teams.items() if team.learner is not None), next(iter(teams)))
    return f"{first}_return_mean" if len(teams) > 1 else "return_mean"


def commands(
    experiment: Experiment, folder: Path, models: Path, *, completed: bool, measured: Container[str]
) -> list[str]:
    """Return the commands that go on from a run, ready to copy, each with what it is for.

    Args:
        experiment: at its end.
        folder: results of the run.
        models: folder of its checkpoints.
        completed: it came to its end; otherwise the one command is to resume it.
        measured: names of the metrics that it has.
    """
    main, found = _script("main.py"), {}
    steps, t_max, t_env = checkpoint.steps(models), experiment.settings.t_max, experiment.t_env
    replays = any(team.replay is not None for team in experiment.teams.values())
    if steps and (not replays or checkpoint.newest_with_replay(models) == models / str(steps[-1])):
        longer = [f"t_max={2 * (t_max if t_env < 2 * t_max else t_env)}"] if completed else []
        found["resume"] = [*main, "with", f"resume={shown(folder)}", *longer]
    if steps and completed:
        found["evaluate"] = [*main, "with", f"checkpoint_path={shown(folder)}", "evaluate=True"]
        if experiment.spec.can_render or experiment.spec.can_record:
            found["film"] = [*found["evaluate"], "save_replay=True"]
    name = return_name(experiment)
    metric = next((one for one in (f"test_{name}", name) if one in measured), None)
    if metric is not None and completed:
        words = [] if metric == DEFAULT_METRIC else ["--metric", metric]
        found["plot"] = [*_script("plot.py"), str(shown(folder.parent)), *words, "--out", "curves.png"]
    return [f"  {what:<8}  {shlex.join(words)}" for what, words in found.items()]


def shown(path: Path) -> Path:
    """The path as it is best typed: from the current folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _script(name: str) -> list[str]:
    """How a command of ours is called here: ``python`` where that is the interpreter of this run."""
    named = shutil.which("python")
    ours = named is not None and Path(named).absolute().parent == Path(sys.executable).parent
    return ["python" if ours else str(shown(Path(sys.executable))), str(shown(SOURCE / name))]


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.1f} GiB"
