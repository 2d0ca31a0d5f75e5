"""What a run keeps in memory: its environments, and as many episodes in its replay buffers as fit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import checkpoint
from components.replay import replay_layout
from core.data import EnvSpec, TeamSpec, episode_layout, layout_bytes
from core.errors import UserError
from core.memory import GIB, amount, enough_memory, machine_memory
from core.protocols import VecEnv
from core.settings import TEAM
from runners.parallel_runner import ParallelRunner, Rewards, SeedOf
from training.options import Options
from training.players import Player

MOST = 4 * GIB  # of a default budget: on machines with 16 GiB and more, results do not depend on the machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Buffer:
    """One team's replay: episodes asked for, bytes of each, whether that number must not change."""

    episodes: int
    each: int
    fixed: bool


def make_room(options: Options, spec: EnvSpec, rewards: Rewards) -> dict[str, int]:
    """Return how many episodes the replay buffer of every team that needs one holds.

    A ``buffer_size`` of the settings' files gives way to the memory. One of the command line is part of what was asked
    for: it is kept or refused. A run that is resumed keeps what it had.

    Args:
        options: what was chosen.
        spec: sizes of the environment.
        rewards: how rewards are made common.

    Raises:
        UserError: what must not change does not fit; or a batch of gathered episodes is more than the machine has.
    """
    s, machine = options.experiment, machine_memory()
    if s.evaluate:
        return {}
    layouts = [episode_layout(team, spec.episode_limit, rewards.dim(team)) for team in spec.teams]
    gathered = s.batch_size_run * sum(map(layout_bytes, layouts))
    if machine is not None and gathered > machine:
        raise UserError(
            f"batch_size_run={s.batch_size_run} episodes of up to {spec.episode_limit:,} steps take "
            f"{amount(gathered)}, more than the {amount(machine)} that this process may have: lower "
            "batch_size_run or env_args.time_limit."
        )
    needing = [team for team in spec.teams if _replays(options.player_of(team.name))]
    if not needing:
        return {}
    had = _had(options.resume_from)
    buffers = {team.name: _buffer(options, team, spec, rewards, had.get(team.name)) for team in needing}
    resumed = options.resume_from is not None
    halve = any(_can_halve(options, team) for team in needing) * " or give buffer_dtype=float16"
    mend = "resume it where there is more" if resumed else f"lower buffer_size{halve}"
    episodes = _shares(buffers, s.buffer_memory, machine, mend)
    for name, number in episodes.items():
        _check_enough(options, name, number, halve)
    return episodes


def _had(resume_from: Path | None) -> Mapping[str, int]:
    """Team -> episodes of the run that is resumed; empty of a run that did not say (it had ``buffer_size``)."""
    if resume_from is None:
        return {}
    state = checkpoint.read(resume_from, "state.pt")
    return state.get("buffers", {}) if isinstance(state, dict) else {}


def make_env(options: Options, slots: int) -> VecEnv:
    """Build the environments.

    Raises:
        UserError: they cannot be built, or too little memory.
    """
    with enough_memory(f"{slots} environments at once", "lower n_envs (or batch_size_run) and test_n_envs"):
        return options.classes["env"](slots, options.env_args)


def make_runner(options: Options, slots: int, *, seed_of: SeedOf, rewards: Rewards, here: bool = False) -> Any:
    """Build a runner with environments of its own, ``runner.env``.

    Args:
        options: what was chosen.
        slots: environments at once.
        seed_of, rewards: see :class:`ParallelRunner`.
        here: in this process, whatever the runner is.

    Raises:
        UserError: as :func:`make_env`, or there is no place for them.
    """
    kind = ParallelRunner if here else options.classes["runner"]
    env = kind.place(functools.partial(make_env, options), slots, options.experiment)
    return kind(env, seed_of=seed_of, rewards=rewards)


def _can_halve(options: Options, team: TeamSpec) -> bool:
    floats = "floats" in (team.obs_kind, team.state_kind)
    return floats and options.player_of(team.name).learner.buffer_dtype == "float32"


def rivals_of(options: Options, team: TeamSpec, spec: EnvSpec) -> list[TeamSpec]:
    """The other teams, where the team's learner asks what they saw and did."""
    player = options.player_of(team.name)
    if player.learner is None or not player.classes["learner"].sees_rivals(player.learner):
        return []
    return [other for other in spec.teams if other.name != team.name]


def _replays(player: Player) -> bool:
    if player.learner is None:
        return False
    learner = player.classes["learner"]
    return not learner.on_policy or learner.rehearses


def _buffer(options: Options, team: TeamSpec, spec: EnvSpec, rewards: Rewards, had: int | None) -> _Buffer:
    player, kept = options.player_of(team.name), [team, *rivals_of(options, team, spec)]
    dtype = player.learner.buffer_dtype
    prefix = f"{TEAM}.{team.name}." if team.name in options.players else ""
    given = player.origins.get(f"{prefix}buffer_size") == "command line"
    return _Buffer(
        episodes=had or player.learner.buffer_size,
        each=sum(layout_bytes(replay_layout(one, spec.episode_limit, rewards.dim(one), dtype)) for one in kept),
        fixed=given or options.resume_from is not None,
    )


def _shares(buffers: Mapping[str, _Buffer], given: float | None, machine: int | None, mend: str) -> dict[str, int]:
    """Team -> episodes; buffers that give way shrink by the same factor."""
    budget = given * GIB if given is not None else min(MOST, machine / 4) if machine is not None else MOST
    most = budget if given is not None else machine  # a number that was asked for may take all that there is
    fixed = sum(one.episodes * one.each for one in buffers.values() if one.fixed)
    if most is not None and fixed > most:
        where = "this process may have" if given is None else f"buffer_memory={given:g} (GiB) allows"
        raise UserError(
            f"A full replay buffer takes {amount(fixed)}, more than the {amount(most)} that {where}: {mend}."
        )
    yielding = sum(one.episodes * one.each for one in buffers.values() if not one.fixed)
    factor = min(1.0, max(budget - fixed, 0) / yielding) if yielding else 1.0
    return {name: one.episodes if one.fixed else int(one.episodes * factor) for name, one in buffers.items()}


def _check_enough(options: Options, team: str, episodes: int, halve: str) -> None:
    run, learner = options.experiment.batch_size_run, options.player_of(team).learner
    if episodes >= max(learner.batch_size, run):
        return
    needed = f"batch_size={learner.batch_size} and batch_size_run={run} episodes"
    if episodes == learner.buffer_size:
        raise UserError(f"buffer_size={episodes} must hold at least {needed}.")
    raise UserError(
        f"The replay of {team} has memory for {episodes} of buffer_size={learner.buffer_size:,} episodes, but must "
        f"hold at least {needed}: raise buffer_memory (GiB), lower these or env_args.time_limit{halve}."
    )
