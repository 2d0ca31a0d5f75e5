"""One multi-agent Gymnasium environment inside a worker. Must not import torch."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np

from core.errors import UserError
from core.foreign import advice
from core.registry import did_you_mean
from envs.adapters.adapting import (
    box_kind,
    box_size,
    check_arguments,
    constructor_arguments,
    constructor_defaults,
    discrete_actions,
    import_module,
    positive_int,
    write,
)
from envs.adapters.making import Drawing, Maker
from envs.adapters.reports import Caller, Masks, State, by_agent, number, numbers
from envs.workers.shared_block import SingleSpec, Slot


def _maker(key: str, arguments: dict[str, Any]) -> Maker:
    """Return what builds the environment without Gymnasium's checker, order and time-limit wrappers.

    The checker refuses tuples of rewards. The registry's clock is the adapter's, where a setting can replace it.
    """
    with contextlib.suppress(ImportError):
        import pyglet

        pyglet.options["headless"] = True  # LBF and RWARE open a display otherwise
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import gymnasium

    gymnasium.logger.min_level = gymnasium.logger.ERROR
    module, _, name = key.rpartition(":")
    if module:
        import_module(module, key)
    spec = gymnasium.registry.get(name)
    if spec is None:
        near = advice("env_args.key", key) or did_you_mean(name, gymnasium.registry)
        near += "" if module else " Put the package that registers it in front, as in lbforaging:Foraging-8x8-2p-3f-v3."
        raise UserError(f"env_args.key={key}: Gymnasium knows no environment '{name}'.{near}")
    entry = spec.entry_point
    creator: Any = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    accepted = constructor_arguments(creator)
    check_arguments(accepted, arguments, key)

    def make(**given: Any) -> Any:
        env = gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True, **given)
        return env.env if isinstance(env, gymnasium.wrappers.OrderEnforcing) else env

    return Maker(
        make,
        accepted=accepted,
        defaults={**constructor_defaults(creator), **spec.kwargs},
        key=key,
        modes=getattr(creator, "metadata", {}).get("render_modes"),
        wrapped=positive_int(spec.max_episode_steps),
    )


class _Unchecked:
    """Stands for LBF's observation spaces, which it compares every observation with (15% of a step)."""

    def __init__(self, space: Any) -> None:
        self.shape = space.shape

    def contains(self, _observation: Any) -> bool:
        return True


def _settle_lbf(env: Any) -> None:
    """Make Level-Based Foraging (2.0.0) depend on its seed alone, and a little faster.

    It pops loading players from a set, whose order follows their addresses in memory, and that order decides who
    gets the food where players stand beside two. And it places players where those of the last episode do not stand.
    """
    for i, player in enumerate(env.players):
        kind = type(player)
        player.__class__ = type(
            kind.__name__, (kind,), {"__hash__": lambda _self, i=i: i, "__module__": kind.__module__}
        )
    env.observation_space = [_Unchecked(space) for space in env.observation_space]
    reset = env.reset

    def forgetful_reset(**arguments: Any) -> Any:
        for player in env.players:
            player.position = None
        return reset(**arguments)

    env.reset = forgetful_reset


def _settle_smaclite(env: Any) -> None:
    """Make SMAClite (0d6abbe) forget the last episode: its state shows the last actions, which its reset keeps."""
    reset = env.reset

    def forgetful_reset(**arguments: Any) -> Any:
        env.last_actions = np.zeros_like(env.last_actions)
        return reset(**arguments)

    env.reset = forgetful_reset


_SETTLE = {"lbforaging": _settle_lbf, "smaclite": _settle_smaclite}
"""Package -> what its environments need to depend on seed and actions alone."""


class GymmaSingle:
    """Adapter for tuples (or lists) of observations, actions and rewards; see :class:`envs.adapters.gymma.Gymma`."""

    def __init__(self, *, key: str, arguments: dict[str, Any], time_limit: int | None, own_state: bool = False) -> None:
        maker = _maker(key, arguments)
        self._env, limit = maker.build_limited(arguments, time_limit)
        inner = self._env.unwrapped
        spaces = self._read_spaces(key)
        self._sizes = sizes = [box_size(space, f"Agent {i} of {key}") for i, space in enumerate(spaces)]
        kind = box_kind(spaces)
        flat = all(len(space.shape) == 1 for space in spaces) and len(set(sizes)) == 1
        self._plain = flat and kind == "floats"
        settle = _SETTLE.get(type(inner).__module__.partition(".")[0])
        if settle:
            settle(inner)
        names = range(len(spaces))
        self._names = names
        self._caller = Caller(self._env, tuples=True)
        self._masks = Masks(self._env, names, self._n_actions)
        self._drawing = Drawing(inner, refused=maker.refuses_drawing)
        _, infos = self._caller.reset(0)
        self._state = State(self._env, infos, names, key) if own_state else None
        self.spec = SingleSpec(
            n_agents=len(names),
            n_actions=max(self._n_actions),
            obs_dim=max(sizes),
            state_dim=self._state.size if self._state else 0,
            state_kind=self._state.kind if self._state else "floats",
            reward_dim=self._reward_dim(infos),
            obs_kind=kind,
            episode_limit=limit,
            can_render=self._drawing.possible,
            notes=self._caller.notes,
        )
        self._steps = 0
        self._ended, self._cut = np.zeros((2, len(names)), bool)

    def _read_spaces(self, key: str) -> list[Any]:
        """Learn the actions; returns the agents' observation spaces."""
        spaces, actions = getattr(self._env, "observation_space", ()), getattr(self._env, "action_space", ())
        spaces, actions = getattr(spaces, "spaces", spaces), getattr(actions, "spaces", actions)
        if not isinstance(spaces, (tuple, list)) or not isinstance(actions, (tuple, list)) or len(actions) < 2:
            raise UserError(
                f"env_args.key={key} has one agent: its spaces are {spaces} and {actions}, "
                "not tuples with one per agent."
            )
        sizes = [discrete_actions(space, f"Agent {i} of {key}") for i, space in enumerate(actions)]
        self._n_actions = [n for n, _ in sizes]
        self._first_action = [first for _, first in sizes] if any(first for _, first in sizes) else None
        return list(spaces)

    def _reward_dim(self, infos: Any) -> int:
        """Return 1 where the environment gives one number, otherwise one per agent (seen in a trial step)."""
        n = len(self._names)
        trial = np.zeros((n, max(self._n_actions)), bool)
        self._masks.write(trial, *by_agent(infos, self._names))
        rewards = self._caller.step(self._shift(trial.argmax(1).tolist()))[1]
        return 1 if np.ndim(rewards) == 0 or len(rewards) == 1 else n

    def _shift(self, actions: list[int]) -> list[int]:
        if self._first_action is None:
            return actions
        return [action + first for action, first in zip(actions, self._first_action, strict=True)]

    def reset(self, seed: int, out: Slot) -> None:
        """Start an episode."""
        observations, infos = self._caller.reset(seed)
        self._steps = 0
        self._ended[:] = self._cut[:] = False
        out.obs[:] = 0.0
        self._write(observations, infos, out)

    def step(self, actions: list[int], out: Slot) -> tuple[bool, bool]:
        """Step all agents."""
        observations, rewards, ended, cut, infos = self._caller.step(self._shift(actions))
        self._steps += 1
        self._write(observations, infos, out)
        if len(out.rewards) == 1:
            out.rewards[0] = number(rewards)
        else:
            self._check_each(rewards, "rewards")
            out.rewards[:] = [number(reward) for reward in rewards]
        terminated, truncated = self._ends(ended, cut)
        if terminated or truncated:
            out.numbers.update(numbers(*by_agent(infos, self._names)))
        return terminated, truncated

    def _ends(self, ended: Any, cut: Any) -> tuple[bool, bool]:
        if isinstance(ended, bool) and isinstance(cut, bool):  # as nearly always
            return ended, not ended and (cut or self._steps >= self._limit)
        self._ended |= np.asarray(ended, bool)
        self._cut |= np.asarray(cut, bool)
        if (self._ended | self._cut).all():
            return bool(self._ended.all()), not self._ended.all()
        return False, self._steps >= self._limit

    @property
    def _limit(self) -> int:
        return self.spec.episode_limit

    def _check_each(self, things: Any, what: str) -> None:
        if len(things) != len(self._names):
            raise ValueError(f"it gave {len(things)} {what} for {len(self._names)} agents")

    def _write(self, observations: Any, infos: Any, out: Slot) -> None:
        self._check_each(observations, "observations")
        for i, observation in enumerate(observations):
            if self._plain and len(observation) == self._sizes[i]:
                out.obs[i] = observation
            else:
                write(observation, out.obs[i, : self._sizes[i]], f"the observation of agent {i}")
        self._masks.write(out.available, *by_agent(infos, self._names))
        if self._state is not None:
            self._state.write(out, infos)

    def render(self) -> np.ndarray:
        """Draw: uint8 [H, W, 3]."""
        return self._drawing.draw()

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
