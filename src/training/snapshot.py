"""What a checkpoint of a run holds, and how it comes back.

Files: <network>.th for every network (with several teams <team>_<network>.th), ``settings.pt`` with the settings of the
run, ``state.pt`` with everything else that an exact resume needs, and ``replay.pt`` with the replay buffers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from components import checkpoint
from controllers.basic_controller import BasicController
from core.comparing import different
from core.errors import UserError, warn
from core.settings import NESTED, TEAM
from learners.diverging import check_networks
from training.experiment import Experiment
from training.grouping import check_groups
from training.options import RUN_KEYS, Options
from training.resuming import in_words, shape_differences
from training.team import Team

ALGORITHM = ("learner", "mac", "mixer")  # settings that make another algorithm, whatever the networks' shapes


def parts(experiment: Experiment, *, sink: Mapping[str, Any], run: str, waiting: Sequence[str] = ()) -> dict[str, Any]:
    """File name -> content of a checkpoint.

    Args:
        experiment: between two iterations.
        sink: what waits to be logged (``Sink.state_dict``).
        run: results folder of the run.
        waiting: lines of its metrics that could not be written (``MetricFiles.waiting``).

    Raises:
        Diverged: what would be saved is not finite.
    """
    for name, learner in ((name, team.learner) for name, team in experiment.teams.items()):
        if learner is not None:
            check_networks(name, learner, t_env=experiment.t_env)
    files: dict[str, Any] = {"settings.pt": experiment.options.flat(exact=True)}
    for team in experiment.teams:
        files |= {name: network.state_dict() for name, network in _networks(experiment, team)}
    buffers = {name: team.replay.capacity for name, team in experiment.teams.items() if team.replay is not None}
    files["state.pt"] = {
        "buffers": buffers,
        "run": run,
        "sink": dict(sink),
        "waiting": list(waiting),
        "teams": {name: team.state_dict() for name, team in experiment.teams.items()},
        "counters": {key: getattr(experiment, key) for key in ("t_env", "episode", "last_test", "last_save")},
        "launched": [r.launched if r is not None else 0 for r in (experiment.runner, experiment.test_runner)],
    }
    replays = {name: team.replay.state_dict() for name, team in experiment.teams.items() if team.replay is not None}
    if replays and experiment.settings.save_replay_buffer:
        files[checkpoint.REPLAY] = replays
    return files


def _networks(experiment: Experiment, team: str) -> Iterator[tuple[str, nn.Module]]:
    """File and network of all networks of a team."""
    front = f"{team}_" if len(experiment.teams) > 1 else ""
    for name, network in experiment.teams[team].networks().items():
        yield f"{front}{name}.th", network


def load_networks(experiment: Experiment, folder: Path, *, all_teams: bool = False) -> None:
    """Load the networks of every team that learns from a checkpoint; target networks follow them.

    So do the statistics in whose units a critic says values (``value_norm``).

    Args:
        experiment: just built.
        folder: the checkpoint.
        all_teams: load frozen policies too, which have them from elsewhere otherwise.

    Raises:
        UserError: it is another algorithm's, or does not fit (another map, number of agents or network size).
    """
    options = experiment.options
    saved = checkpoint.read_settings(folder) if (folder / "settings.pt").exists() else {}
    for name, team in experiment.teams.items():
        if not all_teams and options.player_of(name).networks is not None:
            continue
        there, here = _of_team(saved, name), _of_team(options.flat(), name)
        if saved and team.learner is not None:
            _check_player(folder, saved, options, name)
            _check_algorithm(folder, there, here)
        if saved and isinstance(team.controller, BasicController):
            check_groups(folder, there, team.spec, team.controller.groups)
        known = shape_differences(there, here)
        for file, network in _networks(experiment, name):
            player = options.player_of(name)
            what = f"{player.plays if player.learner is None else here['name']} on this {here['env']}"
            checkpoint.load_network(network, folder, file, what=what, known=known)
        for target in team.targets().values():
            target.copy()
        trains_on = team.learner is not None and not all_teams and not options.experiment.evaluate
        if trains_on and _normalise_alike(there, here):
            team.learner.load_statistics(checkpoint.read(folder, "state.pt")["teams"][name]["learner"])
        elif trains_on and saved and there.get("value_norm", False) != here.get("value_norm", False):
            units = f"value_norm={there.get('value_norm', False)} there and {here.get('value_norm', False)} here"
            warn(f"the critic of {folder} says values in other units ({units}): they are wrong until it has learned")


def _normalise_alike(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether a critic says values in units of its targets' statistics, in both runs."""
    return all(settings.get("value_norm", False) for settings in (there, here)) and (
        there["common_reward"] == here["common_reward"]
    )


def _of_team(settings: Mapping[str, Any], team: str) -> dict[str, Any]:
    """The settings as one team reads them; "name" is that of its algorithm."""
    own = dict(settings.get(TEAM, {}).get(team, {}))
    if not own:
        return {key: value for key, value in settings.items() if key != TEAM}
    run = {key: value for key, value in settings.items() if key in RUN_KEYS or key == NESTED}
    return run | {"name": own.pop("plays")} | own


def _check_player(folder: Path, saved: Mapping[str, Any], options: Options, team: str) -> None:
    plays = saved.get(TEAM, {}).get(team, {}).get("plays")
    if plays is not None and team not in options.players and plays != options.experiment.name:
        raise UserError(f"In the run of {folder}, {plays} played {team}: give --team {team}={plays}.")


def _check_algorithm(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    found = {key: pair for key, pair in different(there, here).items() if key in ALGORITHM and key in there}
    if found:
        raise UserError(
            f"{folder} is a checkpoint of {there['name']}, which {here['name']} cannot use: {in_words(found)}. Give "
            f"one of {here['name']}, or let {there['name']} play."
        )


def restore(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Bring an experiment to exactly where the checkpoint was written.

    Returns:
        what the checkpoint keeps for others: "sink", "run" and "waiting", as :func:`parts` got them.

    Raises:
        UserError: something is missing or does not fit.
    """
    load_networks(experiment, folder, all_teams=True)
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
        return {"sink": state["sink"], "run": state["run"], "waiting": state.get("waiting", [])}
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
            "run's newest checkpoint keeps it (save_replay_buffer=True), and until the run has completed, unless "
            f"keep_replay_buffer=True. Give {instead}checkpoint_path={folder} to start a new run from these networks."
        )
    return checkpoint.read(folder, checkpoint.REPLAY)
