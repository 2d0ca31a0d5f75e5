"""One PettingZoo environment (parallel API) inside a worker. Must not import torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.errors import UserError
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

_LIMIT_NAMES = ("max_cycles", "max_steps", "max_episode_steps", "_max_episode_steps")


def _constructor(key: str) -> tuple[Any, list[str] | None]:
    """Return what builds the environment, and the arguments it accepts (None: unknown)."""
    module_name, _, attribute = key.partition(":")
    module = import_module(module_name, key)
    attribute = attribute or "parallel_env"
    if not hasattr(module, attribute):
        near = did_you_mean(attribute, dir(module))
        raise UserError(
            f"env_args.key={key}: module '{module_name}' has no '{attribute}'.{near} Give a module with a "
            "parallel_env, such as mpe2.simple_spread_v3, or package.module:ClassOrFunction."
        )
    constructor = getattr(module, attribute)
    accepted = constructor_arguments(constructor)
    if accepted is None and attribute == "parallel_env" and hasattr(module, "raw_env"):
        accepted = constructor_arguments(module.raw_env)  # parallel_env is often a wrapper that hides its signature
    return constructor, accepted


class PettingZooSingle:
    """Adapter. Ends of agents and of the episode as documented in :class:`envs.pettingzoo_env.PettingZoo`."""

    def __init__(self, *, key: str, arguments: dict[str, Any], time_limit: int | None, own_state: bool) -> None:
        constructor, accepted = _constructor(key)
        check_arguments(accepted, arguments, key)
        drawable = accepted is not None and "render_mode" in accepted and "render_mode" not in arguments
        try:
            self._env = constructor(**({"render_mode": "rgb_array"} if drawable else {}), **arguments)
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(f"{key} refuses its arguments {arguments}: {type(error).__name__}: {error}") from error
        if not hasattr(self._env, "reset") or hasattr(self._env, "agent_iter"):
            raise UserError(f"env_args.key={key} is no PettingZoo environment with the parallel API.")
        self._names: list[str] = list(getattr(self._env, "possible_agents", ()) or self._agents_after_reset())
        if len(self._names) < 2:
            raise UserError(f"{key} has {len(self._names)} agent; this is for two and more.")
        self._index = {name: i for i, name in enumerate(self._names)}
        spaces = self._read_spaces()
        if own_state and getattr(self._env, "state_space", None) is None:
            self._env.reset(seed=0)
        self._own_state = own_state
        self.spec = SingleSpec(
            n_agents=len(self._names),
            agents=tuple(self._names),
            n_actions=max(self._n_actions),
            obs_dim=max(box_size(space, f"Agent {name}") for name, space in zip(self._names, spaces, strict=True)),
            state_dim=self._state_size(key) if own_state else 0,
            reward_dim=len(self._names),
            obs_kind=box_kind(spaces),
            state_kind=box_kind([getattr(self._env, "state_space", None)]) if own_state else "floats",
            episode_limit=self._limit(key, arguments, time_limit),
            can_render="rgb_array" in getattr(self._env, "metadata", {}).get("render_modes", ()) and drawable,
        )
        self._living: list[str] = []
        self._steps = 0

    def _agents_after_reset(self) -> list[str]:
        self._env.reset(seed=0)
        return self._env.agents

    def _read_spaces(self) -> list[Any]:
        """Return the agents' observation spaces."""
        actions = [discrete_actions(self._env.action_space(name), f"Agent {name}") for name in self._names]
        self._n_actions = [n for n, _ in actions]
        self._first_action = [first for _, first in actions]
        spaces = []
        for name in self._names:
            space = self._env.observation_space(name)
            inner = getattr(space, "spaces", None)
            if isinstance(inner, dict) and "observation" in inner:
                space = inner["observation"]
            spaces.append(space)
        return spaces

    def _state_size(self, key: str) -> int:
        try:
            return int(np.asarray(self._env.state(), np.float32).size)
        except Exception as error:
            raise UserError(
                f"{key} has no state of its own ({type(error).__name__}: {error}); use env_args.state=joint_obs."
            ) from error

    def _limit(self, key: str, arguments: dict[str, Any], time_limit: int | None) -> int:
        inner = getattr(self._env, "unwrapped", self._env)
        inner = getattr(inner, "aec_env", inner)
        inner = getattr(inner, "unwrapped", inner)
        candidates = [arguments.get(name, getattr(inner, name, None)) for name in _LIMIT_NAMES]
        own = next((limit for limit in map(positive_int, candidates) if limit), None)
        limits = [limit for limit in (time_limit, own) if limit]
        if not limits:
            raise UserError(f"{key} does not say how long an episode may be: set env_args.time_limit.")
        return min(limits)

    def reset(self, seed: int, out: Slot) -> None:
        """Start an episode."""
        observations, infos = self._env.reset(seed=mix_seed(seed))
        self._steps = 0
        self._living = [name for name in self._env.agents if name in self._index]
        out.obs[:] = 0.0
        self._bury_all(out)
        for name in self._living:
            self._write(name, observations[name], infos.get(name), out)
        self._write_state(out)

    def step(self, actions: list[int], out: Slot) -> tuple[bool, bool]:
        """Step the living agents."""
        index, first = self._index, self._first_action
        chosen = {name: actions[index[name]] + first[index[name]] for name in self._living}
        observations, rewards, terminations, truncations, infos = self._env.step(chosen)
        self._steps += 1
        for name, i in index.items():
            out.rewards[i] = rewards.get(name, 0.0)
        ended = [name for name in chosen if terminations.get(name) or truncations.get(name)]
        cut = any(not terminations.get(name) for name in ended)
        gone = set(ended)
        self._living = [name for name in self._env.agents if name in index and name not in gone]
        # Agents that end together with the episode keep their last observation: a truncated one bootstraps from it.
        shown = self._living or ended
        if len(shown) < len(index):
            out.obs[:] = 0.0
            self._bury_all(out)
        for name in shown:
            if name in observations:
                self._write(name, observations[name], infos.get(name), out)
        self._write_state(out)
        if not self._living:
            return not cut, cut
        return False, self._steps >= self.spec.episode_limit

    def _bury_all(self, out: Slot) -> None:
        out.available[:] = False
        out.available[:, 0] = True

    def _write(self, name: str, observation: Any, info: Any, out: Slot) -> None:
        i, mask = self._index[name], None
        if isinstance(observation, dict):
            mask = observation.get("action_mask")
            observation = observation["observation"]
        if mask is None and info:
            mask = info.get("action_mask")
        write(observation, out.obs[i], f"the observation of agent {name}")
        row, n = out.available[i], self._n_actions[i]
        row[n:] = False
        row[:n] = True if mask is None else mask
        if mask is not None and not row.any():
            row[0] = True

    def _write_state(self, out: Slot) -> None:
        if not self._own_state:
            return
        write(self._env.state(), out.state, "env.state()")

    def render(self) -> np.ndarray:
        """Draw: uint8 [H, W, 3]."""
        return self._env.render()

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
