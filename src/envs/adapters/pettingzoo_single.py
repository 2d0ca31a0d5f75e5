"""One PettingZoo environment (parallel API) inside a worker. Must not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import UserError
from core.registry import did_you_mean
from envs.adapters.adapting import (
    box_kind,
    box_size,
    check_arguments,
    constructor_arguments,
    constructor_defaults,
    discrete_actions,
    import_module,
    write,
)
from envs.adapters.making import Drawing, Maker
from envs.adapters.reports import Caller, Infos, Masks, State, by_agent, number, numbers
from envs.workers.shared_block import SingleSpec, Slot


def _maker(key: str, arguments: Mapping[str, Any]) -> Maker:
    """Return what builds the environment."""
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
    accepted, described = constructor_arguments(constructor), constructor
    if accepted is None and attribute == "parallel_env" and hasattr(module, "raw_env"):
        described = module.raw_env  # parallel_env is often a wrapper that hides its signature
        accepted = constructor_arguments(described)
    check_arguments(accepted, arguments, key)

    def make(**given: Any) -> Any:
        env = constructor(**given)
        if not hasattr(env, "reset") or hasattr(env, "agent_iter"):
            raise UserError(f"env_args.key={key} is no PettingZoo environment with the parallel API.")
        return env

    return Maker(
        make,
        accepted=accepted,
        defaults=constructor_defaults(described),
        key=key,
        modes=(getattr(described, "metadata", None) or {}).get("render_modes"),
    )


class PettingZooSingle:
    """Adapter. Ends of agents and of the episode as documented in :class:`envs.adapters.pettingzoo_env.PettingZoo`."""

    def __init__(self, *, key: str, arguments: dict[str, Any], time_limit: int | None, own_state: bool = False) -> None:
        maker = _maker(key, arguments)
        self._env, limit = maker.build_limited(arguments, time_limit)
        self._caller = Caller(self._env, tuples=False)
        self._names: list[Any] = list(getattr(self._env, "possible_agents", ()) or self._agents_after_reset())
        if len(self._names) < 2:
            raise UserError(f"{key} has {len(self._names)} agent; this is for two and more.")
        self._index = {name: i for i, name in enumerate(self._names)}
        spaces = self._read_spaces()
        self._sizes = [box_size(space, f"Agent {name}") for name, space in zip(self._names, spaces, strict=True)]
        self._masks = Masks(self._env, self._names, self._n_actions)
        self._drawing = Drawing(self._env, refused=maker.refuses_drawing)
        self._state = State(self._env, self._caller.reset(0)[1], self._names, key) if own_state else None
        self.spec = SingleSpec(
            n_agents=len(self._names),
            agents=tuple(map(str, self._names)),
            n_actions=max(self._n_actions),
            obs_dim=max(self._sizes),
            state_dim=self._state.size if self._state else 0,
            state_kind=self._state.kind if self._state else "floats",
            reward_dim=len(self._names),
            obs_kind=box_kind(spaces),
            episode_limit=limit,
            can_render=self._drawing.possible,
            notes=self._caller.notes,
        )
        self._living: list[Any] = []
        self._last: dict[Any, Infos] = {}
        self._steps = 0

    def _agents_after_reset(self) -> list[str]:
        self._caller.reset(0)
        return self._env.agents

    def _read_spaces(self) -> list[Any]:
        """Learn the actions; returns the agents' observation spaces."""
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

    def reset(self, seed: int, out: Slot) -> None:
        """Start an episode."""
        observations, infos = self._caller.reset(seed)
        self._steps = 0
        self._last = {}
        self._living = [name for name in self._env.agents if name in self._index]
        out.obs[:] = 0.0
        self._bury_all(out)
        self._write(self._living, observations, infos, out)

    def step(self, actions: list[int], out: Slot) -> tuple[bool, bool]:
        """Step the living agents."""
        index, first = self._index, self._first_action
        chosen = {name: actions[index[name]] + first[index[name]] for name in self._living}
        observations, rewards, terminations, truncations, infos = self._caller.step(chosen)
        self._steps += 1
        for name, i in index.items():
            out.rewards[i] = number(rewards.get(name, 0.0))
        ended = [name for name in chosen if terminations.get(name) or truncations.get(name)]
        cut = any(not terminations.get(name) for name in ended)
        gone = {name for name in index if terminations.get(name) or truncations.get(name)}  # some keep saying so
        self._living = [name for name in self._env.agents if name in index and name not in gone]
        # Agents that end together with the episode keep their last observation: a truncated one bootstraps from it.
        shown = self._living or ended
        if len(shown) < len(index):
            out.obs[:] = 0.0
            self._bury_all(out)
        self._write(shown, observations, infos, out)
        timed_out = bool(self._living) and self._steps >= self.spec.episode_limit
        if ended or timed_out:
            common, own = by_agent(infos, self._names)
            self._last.update({name: own[name] for name in (*ended, *self._living) if name in own})
            if timed_out or not self._living:
                out.numbers.update(numbers(common, self._last))
        if not self._living:
            return not cut, cut
        return False, timed_out

    def _bury_all(self, out: Slot) -> None:
        out.available[:] = False
        out.available[:, 0] = True

    def _write(self, shown: Sequence[Any], observations: Mapping[Any, Any], infos: Any, out: Slot) -> None:
        seen, rows = {}, []
        for name in shown:
            if name not in observations:
                if name in self._living:
                    raise ValueError(f"it gave no observation of agent {name}, who is in its agents")
                continue
            i, observation = self._index[name], observations[name]
            if isinstance(observation, dict):
                seen[name] = observation.get("action_mask")
                observation = observation["observation"]
            write(observation, out.obs[i, : self._sizes[i]], f"the observation of agent {name}")
            rows.append(i)
        self._masks.write(out.available, *by_agent(infos, self._names), seen, rows)
        if self._state is not None:
            self._state.write(out, infos)

    def render(self) -> np.ndarray:
        """Draw: uint8 [H, W, 3]."""
        return self._drawing.draw()

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
