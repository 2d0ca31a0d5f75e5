"""``parameter_sharing=seps``: which agents share a network is found before a run's networks are made.

Everybody plays at random, as untrained policies nearly do, whatever the algorithm and whoever else plays; so the groups
follow from the environment, its settings and the seed. What is found is a setting of the controller from there on, of
which checkpoints know as of any other: nothing is gathered when a run is resumed or tested.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from components import checkpoint
from controllers.basic_controller import ControllerSettings
from controllers.scripted_controller import ScriptedController
from core.comparing import FOUND
from core.data import EnvSpec, TeamSpec
from core.errors import UserError
from core.memory import enough_memory
from core.seeding import episode_seed, numpy_generator, torch_generator
from core.settings import TEAM
from envs.scripted import make_player
from learners.seps import PARTS, SePSSettings, Transitions, find_groups
from runners.parallel_runner import Rewards
from training.options import Options
from training.players import Player
from training.resuming import models_folder

Groups = Mapping[str, tuple[int, ...]]  # team -> the number of every agent's group


def ungrouped(options: Options, spec: EnvSpec) -> list[TeamSpec]:
    """Teams whose groups are to be found: they learn, and no run has found them before.

    Raises:
        UserError: there is nothing to find, no way to, or settings of seps that nothing reads.
    """
    _check_read(options, spec)
    teams = []
    for team in spec.teams:
        player = options.player_of(team.name)
        if player.start is None or player.controller.parameter_sharing != "seps":
            continue
        prefix = f"{TEAM}.{team.name}." if team.name in options.players else ""
        if player.origins.get(prefix + FOUND, "").endswith(("command line", ".yaml")):
            raise UserError(f"{prefix}{FOUND} is what a run finds: give {prefix}parameter_sharing=[0, 0, 1] instead.")
        if options.experiment.evaluate or player.controller.seps_groups:
            continue
        if team.n_agents < 2 and len(spec.teams) > 1:
            continue  # its agent is a group
        if team.n_agents < 2:
            raise UserError(
                f"parameter_sharing=seps: the team '{team.name}' has one agent, so there is nobody to share a network "
                "with: give parameter_sharing=full."
            )
        several = f" (that of one team: {TEAM}.{team.name}.parameter_sharing=full)" if len(spec.teams) > 1 else ""
        if team.obs_kind == "image":
            raise UserError(
                f"parameter_sharing=seps: the observations of '{team.name}' are pictures, which its small autoencoder "
                f"cannot predict: give full, none or one group number for each of the {team.n_agents} agents{several}."
            )
        teams.append(team)
    return teams


def _check_read(options: Options, spec: EnvSpec) -> None:
    """Refuse settings of seps on the command line where no team's groups are found by it."""
    players = {"": options.player} | {f"{TEAM}.{name}.": one for name, one in options.players.items()}
    asked = {
        prefix: {key for key in SePSSettings.model_fields if one.origins.get(prefix + key) == "command line"}
        for prefix, one in players.items()
    }
    playing = [options.player_of(team.name) for team in spec.teams]
    finding = [
        prefix
        for prefix, one in players.items()
        if one in playing and one.start and one.controller.parameter_sharing == "seps"
    ]
    read = {key for prefix in finding for key in asked[prefix]}
    for prefix in [prefix for prefix in players if prefix not in finding]:
        unread = sorted(asked[prefix] - (asked[""] if prefix else read))
        if unread:
            named = ", ".join(prefix + key for key in unread)
            raise UserError(
                f"{named}: nothing reads this without {prefix}parameter_sharing=seps: give that too, or leave it out."
            )


def any_groups(teams: list[TeamSpec]) -> Groups:
    """Some groups, to see whether what is built for several networks fits together."""
    return {team.name: (0,) + (1,) * (team.n_agents - 1) for team in teams}


def with_groups(options: Options, groups: Groups) -> Options:
    """Return the options with what was found."""
    players = {
        name: _with(player, {name: groups[name]}) if name in groups else player
        for name, player in options.players.items()
    }
    shared = {name: own for name, own in groups.items() if name not in options.players}
    return replace(options, players=players, player=_with(options.player, shared) if shared else options.player)


def _with(player: Player, groups: Groups) -> Player:
    return replace(player, controller=player.controller.model_copy(update={FOUND: dict(groups)}))


def groups_of(options: Options, teams: list[TeamSpec], runner: Any) -> Groups:
    """Find the groups of these teams, or take those of the networks that are loaded (``checkpoint_path=``).

    Args:
        options: what was chosen.
        teams: from :func:`ungrouped`.
        runner: of the training episodes; its environments are lent, its seeds are not touched.

    Raises:
        UserError: the networks that are loaded have no such groups, or too little was gathered.
    """
    s = options.experiment
    if s.checkpoint_path:
        folder = checkpoint.find(models_folder(s.checkpoint_path), s.load_step)
        return {team.name: _of_checkpoint(folder, checkpoint.read_settings(folder), team) for team in teams}
    if not s.quiet:
        names = " and ".join(team.name for team in teams)
        print(f"seps: random play, to find groups of {names} ...", flush=True)
    data = _gathered(options, teams, runner)
    found = {}
    for index, team in enumerate(runner.spec.teams):
        if team.name in data:
            start = options.player_of(team.name).start
            assert start is not None, "it learns"
            with enough_memory("seps's autoencoder", "lower seps_hidden_dim or seps_z_dim"):
                found[team.name] = find_groups(data[team.name], start, torch_generator(_seed(options), "seps", index))
    return found


def _seed(options: Options) -> int:
    assert options.experiment.seed is not None, "options.resolve draws one"
    return options.experiment.seed


def _of_checkpoint(folder: Path, settings: Mapping[str, Any], team: TeamSpec) -> tuple[int, ...]:
    own = settings.get(TEAM, {}).get(team.name, settings)
    found = own.get(FOUND, {}).get(team.name)
    if found is None or len(found) != team.n_agents:
        sharing = own.get("parameter_sharing")
        raise UserError(
            f"parameter_sharing=seps: {folder} has no groups of '{team.name}' that seps found (parameter_sharing="
            f"{sharing} there): give what that run has, or leave checkpoint_path out."
        )
    return tuple(found)


def _gathered(options: Options, teams: list[TeamSpec], runner: Any) -> dict[str, Transitions]:
    """Team -> what its agents met in random play."""
    seed, env = _seed(options), runner.env
    everybody = {}
    for index, team in enumerate(runner.spec.teams):
        script = make_player("random", env=options.experiment.env, env_args=options.env_args, team=team)
        streams = dict.fromkeys(("explore", "test_policy"), numpy_generator(seed, "seps", index, 0))
        everybody[team.name] = ScriptedController(script, generators=streams)
    players = {team.name: options.player_of(team.name) for team in teams}
    starts = {name: player.start for name, player in players.items() if player.start is not None}
    data = {
        team.name: Transitions(team, starts[team.name], numpy_generator(seed, "seps", index, 1))
        for index, team in enumerate(runner.spec.teams)
        if team.name in starts
    }
    gatherer = type(runner)(
        env, seed_of=functools.partial(episode_seed, seed, "seps_env"), rewards=Rewards(common=False)
    )
    steps, episodes, wanted = 0, 0, max(start.seps_steps for start in starts.values())
    with enough_memory("what seps gathers", "lower seps_steps"):
        while steps < wanted or episodes < PARTS:
            batches, stats = gatherer.collect(everybody, env.n_envs, t_env=0)
            steps, episodes = steps + int(stats.lengths.sum()), episodes + env.n_envs
            for name, one in data.items():
                one.add(batches[name])
    return data


def check_groups(folder: Path, there: Mapping[str, Any], team: TeamSpec, groups: list[list[int]]) -> None:
    """Refuse networks that served other groups of agents: as many of them would fit, and act for the wrong agents.

    Args:
        folder: their checkpoint.
        there: settings of who played the team in its run.
        team: of this run.
        groups: agents of each network here.

    Raises:
        UserError: they did.
    """
    sharing = {key: there[key] for key in ("parameter_sharing", FOUND) if key in there}
    try:
        before = ControllerSettings(**sharing).groups(team)
    except UserError:
        return  # of another number of agents: the networks do not fit
    if before != groups:
        raise UserError(
            f"{folder} has networks for other groups of agents of '{team.name}': {before} there, {groups} here. Give "
            f"parameter_sharing={_numbers(before)}, or leave it out where that run's settings are taken."
        )


def _numbers(groups: list[list[int]]) -> list[int]:
    """The setting that means these groups."""
    number = {agent: k for k, agents in enumerate(groups) for agent in agents}
    return [number[agent] for agent in sorted(number)]


def told(options: Options) -> dict[str, str]:
    """A row of a run's header for every team with groups: {"groups": "3, by seps: 0 0 1 1 1 2"}; else nothing."""
    found = {}
    for player in (options.player, *options.players.values()):
        if player.start is not None and player.controller.parameter_sharing == "seps":
            for team, groups in player.controller.seps_groups.items():
                several = len(player.controller.seps_groups) > 1 or options.players
                row = f"{team} groups" if several else "groups"
                found[row] = f"{len(set(groups))} of {len(groups)} agents, found by seps: {' '.join(map(str, groups))}"
    return found
