"""All teams of a run, built as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.data import EnvSpec, EpisodeBatch
from runners.parallel_runner import Rewards
from training.grouping import any_groups, groups_of, ungrouped, with_groups
from training.options import Options, spec_of
from training.room import make_room
from training.team import Team


def make_teams(options: Options, spec: EnvSpec, rewards: Rewards) -> dict[str, Team]:
    """Build all teams of an environment.

    Raises:
        UserError: as :class:`Team`, or their replay buffers do not fit the memory.
    """
    room = make_room(options, spec, rewards)
    teams = {team.name: Team(team, options, spec, rewards.dim(team), index=k) for k, team in enumerate(spec.teams)}
    for name, team in teams.items():
        team.meet(teams, buffer=room.get(name))
    return teams


def make_grouped_teams(options: Options, runner: Any, rewards: Rewards) -> tuple[Options, dict[str, Team]]:
    """As :func:`make_teams`, finding groups of agents first where they are to be found (``parameter_sharing=seps``).

    Returns:
        the options with what was found, and the teams.

    Raises:
        UserError: as there; what does not fit is told before anything is gathered.
    """
    if teams := ungrouped(options, runner.spec):
        make_teams(with_groups(options, any_groups(teams)), runner.spec, rewards)
        options = with_groups(options, groups_of(options, teams, runner))
    return options, make_teams(options, runner.spec, rewards)


def seen(teams: Mapping[str, Team], batches: Mapping[str, EpisodeBatch], *, episode: int) -> dict[str, EpisodeBatch]:
    """What every team learns from: its own new episodes, with the other teams' where its learner asks for them.

    Args:
        teams: all of them.
        batches: of the runner.
        episode: episodes gathered so far, these included.
    """
    own = {name: team.played(batches[name], episode=episode) for name, team in teams.items()}
    return {
        name: replace(own[name], rivals=tuple(own[rival.name] for rival in team.rivals)) for name, team in teams.items()
    }


def check_parts(options: Options) -> None:
    """Build one environment and all teams, to see whether they fit together.

    Raises:
        UserError: they do not.
    """
    s = options.experiment
    rewards = Rewards(common=s.common_reward, scalarisation=s.reward_scalarisation)
    spec = spec_of(options.classes["env"], options.env_args)
    make_teams(with_groups(options, any_groups(ungrouped(options, spec))), spec, rewards)
