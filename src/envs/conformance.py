"""Checks that an environment keeps the promises of :class:`core.protocols.VecEnv`; for tests, and for your own."""

from __future__ import annotations

import numpy as np

from core.data import EnvSpec, TimeStep
from core.kinds import DTYPE
from core.protocols import VecEnv

Row = dict[str, bytes]
"""Everything that one slot showed in one step: name of the array -> its content."""

_FLAGS = ("terminated", "truncated", "failed")


class ConformanceError(AssertionError):
    """An environment breaks a promise; says which and how."""


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ConformanceError(message)


def arrays_of(step: TimeStep) -> dict[str, np.ndarray]:
    """Return every array of a step by name ("agents.obs", "terminated", "info.won"); the first axis is [N]."""
    arrays = {flag: getattr(step, flag) for flag in _FLAGS}
    for i, team in enumerate(step.teams):
        arrays.update({f"teams[{i}].{name}": array for name, array in vars(team).items()})
    arrays.update({f"info[{key!r}]": array for key, array in step.info.items()})
    return arrays


def check_spec(spec: EnvSpec) -> None:
    """Check the sizes that an environment announces. Raises ConformanceError."""
    _require(spec.teams, "spec.teams is empty")
    names = [team.name for team in spec.teams]
    _require(len(set(names)) == len(names), f"two teams have one name: {names}")
    _require(spec.episode_limit >= 1, f"spec.episode_limit is {spec.episode_limit}")
    for team in spec.teams:
        for size in ("n_agents", "n_actions", "obs_dim", "state_dim"):
            _require(getattr(team, size) >= 1, f"team '{team.name}': {size} is {getattr(team, size)}")
        _require(
            team.reward_dim in (1, team.n_agents),
            f"team '{team.name}': reward_dim is {team.reward_dim}, neither 1 nor n_agents = {team.n_agents}",
        )
        _require(
            len(team.types) in (0, team.n_agents),
            f"team '{team.name}': {len(team.types)} types for {team.n_agents} agents",
        )
        columns = [column for place in team.positions for column in place]
        _require(
            len(team.positions) in (0, team.n_agents) and set(columns) <= set(range(team.state_dim)),
            f"team '{team.name}': the columns {columns} of positions of {team.n_agents} agents in a state of "
            f"{team.state_dim}",
        )
        if team.state_is_joint_obs:
            joint = team.n_agents * team.obs_dim
            _require(
                team.state_dim == joint,
                f"team '{team.name}': state_dim is {team.state_dim}, joint observation has {joint}",
            )
            _require(
                team.state_kind == team.obs_kind,
                f"team '{team.name}': state_kind is {team.state_kind}, of a joint observation of {team.obs_kind}",
            )


def check_step(step: TimeStep, spec: EnvSpec, n_envs: int) -> None:
    """Check shapes, types and values of all N rows of a step. Raises ConformanceError."""
    _require(len(step.teams) == len(spec.teams), f"{len(step.teams)} teams, spec has {len(spec.teams)}")
    for flag in _FLAGS:
        _check_array(getattr(step, flag), (n_envs,), bool, flag)
    missing = set(spec.info_keys) - set(step.info)
    _require(not missing, f"info has the keys {sorted(step.info)}, spec {sorted(spec.info_keys)}")
    for key, value in step.info.items():
        reported = value if key in spec.info_keys else np.nan_to_num(value, nan=0.0)
        _check_array(reported, (n_envs,), np.float32, f"info[{key!r}]")
    for i, (team, sizes) in enumerate(zip(step.teams, spec.teams, strict=True)):
        where, a = f"teams[{i}].", sizes.n_agents
        _check_array(team.obs, (n_envs, a, sizes.obs_dim), DTYPE[sizes.obs_kind], where + "obs")
        _check_array(team.state, (n_envs, sizes.state_dim), DTYPE[sizes.state_kind], where + "state")
        _check_array(team.available, (n_envs, a, sizes.n_actions), bool, where + "available")
        _check_array(team.rewards, (n_envs, sizes.reward_dim), np.float32, where + "rewards")
        _require(team.available.any(-1).all(), f"{where}available: an agent has no available action")
        if sizes.state_is_joint_obs:
            same = np.array_equal(team.state, team.obs.reshape(n_envs, -1))
            _require(same, f"{where}state is not the joint observation that spec promises")
    both = step.terminated & step.truncated
    _require(not both.any(), f"slots {np.flatnonzero(both)} are both terminated and truncated")


def _check_array(array: np.ndarray, shape: tuple[int, ...], dtype: type, name: str) -> None:
    _require(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}, not a NumPy array")
    _require(array.dtype == dtype, f"{name} is {array.dtype}, not {np.dtype(dtype)}")
    _require(array.shape == shape, f"{name} has the shape {array.shape}, not {shape}")
    _require(array.dtype == bool or np.isfinite(array).all(), f"{name} is not finite")


class _Player:
    """Plays episodes with actions that depend on (seed, time) alone, and checks every step."""

    def __init__(self, env: VecEnv) -> None:
        self.env, self.n = env, env.n_envs
        self._buffers: dict[str, np.ndarray] | None = None

    def _check(self, step: TimeStep, before: dict[str, np.ndarray], touched: np.ndarray) -> None:
        check_step(step, self.env.spec, self.n)
        arrays = arrays_of(step)
        if self._buffers is None:
            self._buffers = arrays
            return
        for name, array in arrays.items():
            old = self._buffers.setdefault(name, array)
            same = old.__array_interface__["data"] == array.__array_interface__["data"]
            _require(same, f"{name} is a new array; a step must overwrite its buffers in place")
            kept = np.array_equal(before.get(name, array)[~touched], array[~touched], equal_nan=True)
            _require(kept, f"{name} changed in slots that were neither reset nor stepped")

    def _copy(self) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in (self._buffers or {}).items()}

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Reset and check."""
        before, touched = self._copy(), np.zeros(self.n, bool)
        touched[slots] = True
        step = self.env.reset(slots, seeds)
        self._check(step, before, touched)
        for flag in _FLAGS:
            _require(not getattr(step, flag)[slots].any(), f"{flag} is set after a reset")
        for i, team in enumerate(step.teams):
            _require(not team.rewards[slots].any(), f"teams[{i}].rewards are not zero after a reset")
        return step

    def step(self, actions: list[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step and check."""
        before = self._copy()
        given = [a.copy() for a in actions]
        step = self.env.step(actions, active)
        self._check(step, before, active)
        unchanged = all(np.array_equal(a, b) for a, b in zip(actions, given, strict=True))
        _require(unchanged, "step changed the actions that it was given")
        return step

    def play(self, seeds: np.ndarray) -> dict[int, list[Row]]:
        """Play one episode per seed over the slots; return seed -> what it showed."""
        waiting, running = list(dict.fromkeys(int(seed) for seed in seeds)), dict[int, int]()
        episodes: dict[int, list[Row]] = {seed: [] for seed in waiting}
        streams = {seed: np.random.default_rng(seed) for seed in waiting}
        step: TimeStep | None = None
        while waiting or running:
            free = [slot for slot in range(self.n) if slot not in running][: len(waiting)]
            if free:
                running.update({slot: waiting.pop(0) for slot in free})
                started = np.array([running[slot] for slot in free], np.uint64)
                step = self.reset(np.array(free), started)
                for slot in free:
                    episodes[running[slot]].append(_row(step, slot))
            assert step is not None
            active = np.isin(np.arange(self.n), list(running))
            step = self.step(self._choose(step, running, streams), active)
            _require(not (step.failed & active).any(), f"slots {np.flatnonzero(step.failed & active)} failed")
            for slot, seed in list(running.items()):
                ended = bool(step.terminated[slot] or step.truncated[slot])
                episodes[seed].append(_row(step, slot, ended=ended))
                length, limit = len(episodes[seed]) - 1, self.env.spec.episode_limit
                _require(ended or length < limit, f"an episode goes on after spec.episode_limit = {limit} steps")
                if ended:
                    del running[slot]
        return episodes

    def _choose(
        self, step: TimeStep, running: dict[int, int], streams: dict[int, np.random.Generator]
    ) -> list[np.ndarray]:
        actions = [np.zeros((self.n, team.n_agents), np.int64) for team in self.env.spec.teams]
        for chosen, team in zip(actions, step.teams, strict=True):
            chosen[:] = team.available.argmax(-1)  # the slots that rest
            for slot, seed in running.items():
                keys = streams[seed].random(team.available.shape[1:])
                chosen[slot] = np.where(team.available[slot], keys, -1.0).argmax(-1)
        return actions


def _row(step: TimeStep, slot: int, *, ended: bool = False) -> Row:
    return {
        name: array[slot].tobytes()
        for name, array in arrays_of(step).items()
        if not name.startswith("info") or (ended and not np.isnan(array[slot]))  # counts at the end, where reported
    }


def _compare(first: dict[int, list[Row]], second: dict[int, list[Row]], what: str) -> None:
    for seed, rows in first.items():
        others = second[seed]
        for t, (row, other) in enumerate(zip(rows, others, strict=False)):
            for name in row | other:
                _require(row.get(name) == other.get(name), f"seed {seed}, step {t}: {name} differs {what}")
        _require(len(rows) == len(others), f"seed {seed}: {len(rows) - 1} and {len(others) - 1} steps {what}")


def check_env(env: VecEnv, *, other: VecEnv | None = None, episodes: int = 6, seed: int = 0) -> None:
    """Play random episodes and check all that a runner relies on.

    Sizes and types of every array, buffers overwritten in place, finite values, at least one available action,
    flags never both, resting slots untouched, ends within ``episode_limit``, the promised info keys, and the same
    episode from the same seed and actions in every slot and, with ``other``, among another number of environments.

    Args:
        env: the environment; it stays open.
        other: the same environment with another number of slots.
        episodes: how many different seeds.
        seed: of the seeds.

    Raises:
        ConformanceError: (an AssertionError) the first promise that is broken.
    """
    check_spec(env.spec)
    _require(env.n_envs >= 1, f"n_envs is {env.n_envs}")
    seeds = np.random.SeedSequence(seed).generate_state(episodes, np.uint64)
    player = _Player(env)
    first = player.play(seeds)
    again = player.play(seeds[::-1])
    _compare(first, again, "when it is played again in another slot, though the seed and the actions are the same")
    if env.n_envs > 1:
        alone = {}
        for one in seeds:
            alone.update(player.play(np.array([one], np.uint64)))
        _compare(first, alone, "when the other slots rest")
    if other is not None:
        _require(other.spec == env.spec, f"spec depends on the number of environments: {env.spec}, {other.spec}")
        _compare(first, _Player(other).play(seeds), f"among {other.n_envs} instead of {env.n_envs} environments")
