"""What a checkpoint of a run holds, and how it comes back.

Files: <network>.th for every network (with several teams <team>_<network>.th), ``settings.pt`` with the settings of the
run, ``state.pt`` with everything else that an exact resume needs, and ``replay.pt`` with the replay buffers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from components import checkpoint
from core.errors import UserError
from experiment import Experiment
from resuming import different
from team import Team

ALGORITHM = ("learner", "mac", "mixer")  # settings that make another algorithm, whatever the networks' shapes


def parts(experiment: Experiment, *, sink: Mapping[str, Any], run: str) -> dict[str, Any]:
    """File name -> content of a checkpoint.

    Args:
        experiment: between two iterations.
        sink: what waits to be logged (``Sink.state_dict``).
        run: results folder of the run.
    """
    files: dict[str, Any] = {"settings.pt": experiment.options.flat()}
    files |= {name: network.state_dict() for name, network in _networks(experiment)}
    files["state.pt"] = {
        "run": run,
        "sink": dict(sink),
        "teams": {name: team.state_dict() for name, team in experiment.teams.items()},
        "counters": {key: getattr(experiment, key) for key in ("t_env", "episode", "last_test", "last_save")},
        "launched": [r.launched if r is not None else 0 for r in (experiment.runner, experiment.test_runner)],
    }
    replays = {name: team.replay.state_dict() for name, team in experiment.teams.items() if team.replay is not None}
    if replays and experiment.settings.save_replay_buffer:
        files[checkpoint.REPLAY] = replays
    return files


def _networks(experiment: Experiment) -> Iterator[tuple[str, nn.Module]]:
    for team_name, team in experiment.teams.items():
        front = f"{team_name}_" if len(experiment.teams) > 1 else ""
        for name, network in team.learner.networks().items():
            yield f"{front}{name}.th", network


def load_networks(experiment: Experiment, folder: Path) -> None:
    """Load every team's networks from a checkpoint; target networks follow them.

    Raises:
        UserError: it is another algorithm's, or does not fit (another map, number of agents or network size).
    """
    now = experiment.options.flat()
    saved = checkpoint.read_settings(folder) if (folder / "settings.pt").exists() else {}
    if any(saved.get(key, now.get(key)) != now.get(key) for key in ALGORITHM):
        raise UserError(
            f"{folder} is a checkpoint of {saved['name']}, which {now['name']} cannot use: "
            f"{_differences(saved, now, ALGORITHM)}."
        )
    for name, network in _networks(experiment):
        state = checkpoint.read(folder, name)
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            known = _differences(saved, now, None)
            because = f" Different: {known}." if known else f" {str(error).splitlines()[-1].strip()}"
            raise UserError(
                f"{folder / name} does not fit {now['name']} on this {now['env']}: another environment, number of "
                f"agents or network size.{because}"
            ) from error
    for team in experiment.teams.values():
        for target in team.learner.targets().values():
            target.copy()


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any], keys: tuple[str, ...] | None) -> str:
    """Settings of parts that differ, in words; ``keys`` None means all that can change a network's shape."""
    found = different(saved, now) if saved else {}
    if keys is None:
        shape = ("env", "env_args.", "hidden", "use_rnn", "obs_", "critic_", "parameter_", "hypernet", "mixing")
        found = {key: pair for key, pair in found.items() if key.startswith(shape)}
    else:
        found = {key: pair for key, pair in found.items() if key in keys}
    return ", ".join(f"{key}={there!r} there and {here!r} here" for key, (there, here) in found.items())


def restore(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Bring an experiment to exactly where the checkpoint was written.

    Returns:
        what the checkpoint keeps for others: "sink" and "run", as :func:`parts` got them.

    Raises:
        UserError: something is missing or does not fit.
    """
    load_networks(experiment, folder)
    state = checkpoint.read(folder, "state.pt")
    try:
        for name, team in experiment.teams.items():
            team.load_state_dict(state["teams"][name])
            if team.replay is not None:
                team.replay.load_state_dict(_replay(team, folder)[name])
        for key in ("t_env", "episode", "last_test", "last_save"):
            setattr(experiment, key, state["counters"][key])
        for runner, launched in zip((experiment.runner, experiment.test_runner), state["launched"], strict=True):
            if runner is not None:
                runner.launched = launched
        return {"sink": state["sink"], "run": state["run"]}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{folder} cannot be resumed: its state.pt or replay.pt is not as this version writes them "
            f"({type(error).__name__}: {error}). Its networks can still be loaded with checkpoint_path={folder}."
        ) from error


def _replay(team: Team, folder: Path) -> dict[str, Any]:
    if not (folder / checkpoint.REPLAY).exists():
        newest = checkpoint.newest_with_replay(folder.parent)
        instead = f"resume={newest}, which has one, or " if newest else ""
        raise UserError(
            f"{folder} has no replay buffer ({checkpoint.REPLAY}), so this off-policy run cannot go on exactly: only a "
            f"run's newest checkpoint keeps it, and only with save_replay_buffer=True. Give {instead}"
            f"checkpoint_path={folder} to start a new run from these networks."
        )
    return checkpoint.read(folder, checkpoint.REPLAY)
