"""One multi-agent Gymnasium environment inside a worker. Must not import torch."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from typing import Any

import numpy as np

from core.errors import UserError
from core.foreign import advice
from core.registry import did_you_mean
from envs.adapting import (
    box_kind,
    box_size,
    check_arguments,
    constructor_arguments,
    discrete_actions,
    import_module,
    positive_int,
    write,
)
from envs.global_streams import mix_seed
from envs.shared_block import SingleSpec, Slot

_CLOCKS = ("_max_episode_steps", "max_steps")  # LBF's and RWARE's own time limits
_NEVER = 2**31 - 1


def _make(key: str, arguments: dict[str, Any]) -> Any:
    """Build the environment without Gymnasium's checker, order and time-limit wrappers.

    The checker refuses tuples of rewards, and the clock is the adapter's, which knows truncation from termination.
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
        near = advice("env_args.key", key) or (
            f"{did_you_mean(name, gymnasium.registry)} Put the package that registers it in front, as in "
            "lbforaging:Foraging-8x8-2p-3f-v3."
        )
        raise UserError(f"env_args.key={key}: Gymnasium knows no environment '{name}'.{near}")
    entry = spec.entry_point
    creator: Any = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    accepted = constructor_arguments(creator)
    check_arguments(accepted, arguments, key)
    drawing = {}
    if (
        accepted
        and "render_mode" in accepted
        and "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", ())
    ):
        drawing = {"render_mode": "rgb_array"}
    try:
        env = gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True, **{**drawing, **arguments})
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"{key} refuses its arguments {arguments}: {type(error).__name__}: {error}") from error
    return env.env if isinstance(env, gymnasium.wrappers.OrderEnforcing) else env


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


def _take_clock(inner: Any, key: str, time_limit: int | None) -> int:
    """Stop the environment's own clock and return the steps after which this one truncates."""
    import gymnasium

    own = positive_int(gymnasium.registry[key.rpartition(":")[2]].max_episode_steps)
    for name in _CLOCKS:
        value = positive_int(getattr(inner, name, None))
        if value:
            own = own or value
            setattr(inner, name, _NEVER)
    limit = time_limit or own
    if limit is None:
        raise UserError(f"{key} does not say how long an episode may be: set env_args.time_limit.")
    return limit


def _all(flag: Any) -> bool:
    """Return a flag, or whether all agents' flags hold."""
    return all(flag) if isinstance(flag, (list, tuple, np.ndarray)) else bool(flag)


class GymmaSingle:
    """Adapter for tuples (or lists) of observations, actions and rewards.

    The environment's own clock is stopped, and this one truncates in its place: LBF and RWARE report their time-out as
    a termination.
    """

    def __init__(self, *, key: str, arguments: dict[str, Any], time_limit: int | None) -> None:
        self._env = _make(key, arguments)
        inner = self._env.unwrapped
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
        obs_sizes = [box_size(space, f"Agent {i} of {key}") for i, space in enumerate(spaces)]
        kind = box_kind(spaces)
        flat = all(len(space.shape) == 1 for space in spaces) and len(set(obs_sizes)) == 1
        self._plain = flat and kind == "floats"
        self._limit = _take_clock(inner, key, time_limit)
        if inner.__class__.__module__.startswith("lbforaging"):
            _settle_lbf(inner)
        self.spec = SingleSpec(
            n_agents=len(actions),
            n_actions=max(self._n_actions),
            obs_dim=max(obs_sizes),
            state_dim=0,
            reward_dim=self._reward_dim(len(actions)),
            obs_kind=kind,
            episode_limit=self._limit,
            can_render=self._find_renderer(inner),
        )
        self._steps = 0

    def _reward_dim(self, n_agents: int) -> int:
        """Return 1 where the environment gives one number, otherwise one per agent (seen in a trial step)."""
        self._env.reset(seed=0)
        reward = self._env.step(self._shift([0] * n_agents))[1]
        return 1 if np.ndim(reward) == 0 else n_agents

    def _find_renderer(self, inner: Any) -> bool:
        takes_mode = "mode" in inspect.signature(inner.render).parameters
        self._render_mode = ("rgb_array",) if takes_mode else ()
        return takes_mode or getattr(inner, "render_mode", None) == "rgb_array"

    def _shift(self, actions: list[int]) -> list[int]:
        if self._first_action is None:
            return actions
        return [action + first for action, first in zip(actions, self._first_action, strict=True)]

    def reset(self, seed: int, out: Slot) -> None:
        """Start an episode."""
        observations, _ = self._env.reset(seed=mix_seed(seed))
        self._steps = 0
        out.obs[:] = 0.0
        self._write(observations, out)
        for i, n in enumerate(self._n_actions):
            out.available[i, :n] = True
            out.available[i, n:] = False

    def step(self, actions: list[int], out: Slot) -> tuple[bool, bool]:
        """Step all agents."""
        observations, rewards, ended, cut, _ = self._env.step(self._shift(actions))
        self._steps += 1
        self._write(observations, out)
        out.rewards[:] = rewards
        if _all(ended):
            return True, False
        return False, self._steps >= self._limit or _all(cut)

    def _write(self, observations: Any, out: Slot) -> None:
        if self._plain:
            for i, observation in enumerate(observations):
                out.obs[i] = observation
            return
        for i, observation in enumerate(observations):
            write(observation, out.obs[i], f"the observation of agent {i}")

    def render(self) -> np.ndarray:
        """Draw: uint8 [H, W, 3]."""
        return self._env.unwrapped.render(*self._render_mode)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
