"""What other people's environments give beside observations: masks, a state, numbers in ``info``; older forms of calls.

One code for both adapters. ``names`` are the agents' names, in order: PettingZoo's, or 0, 1, ... Runs inside workers,
so it must not import torch.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import UserError
from envs.adapters.adapting import box_kind, write
from envs.adapters.making import layers, peek
from envs.workers.global_streams import mix_seed
from envs.workers.shared_block import Slot

MASKS = ("action_mask", "avail_actions", "available_actions")
_MASK_METHODS = ("get_avail_actions", "get_available_actions")
_STATE_METHODS = ("state", "get_state")
_NO_NUMBERS = {  # of the task: what else there is in info
    *MASKS, "state", "seed", "TimeLimit.truncated", "terminated", "truncated", "episode_limit", "elapsed_steps",
}  # fmt: skip

Infos = Mapping[Any, Any]


def number(value: Any) -> float:
    """Return a number, also one in an array of one element. Raises ValueError where there are more."""
    return value if type(value) is float else float(np.asarray(value).item())


def by_agent(infos: Any, names: Sequence[Hashable]) -> tuple[Infos, dict[Hashable, Infos]]:
    """Return what ``info`` says for all, and for single agents: a dictionary, one per agent, or a sequence of those."""
    if isinstance(infos, (list, tuple)):
        infos = dict(zip(names, infos, strict=False))
    if not infos:
        return {}, {}
    own = {name: infos[name] for name in names if isinstance(infos.get(name), Mapping)}
    return {key: value for key, value in infos.items() if key not in own}, own


def numbers(common: Infos, own: Mapping[Hashable, Infos]) -> dict[str, float]:
    """Return the finite numbers and booleans of an episode's last info; of the agents' own their means."""
    gathered: dict[str, list[float]] = {}
    for info in own.values():
        for key, value in _numbers(info).items():
            gathered.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in gathered.items()} | _numbers(common)


def _numbers(info: Infos) -> dict[str, float]:
    found = {}
    for key, value in info.items():
        plain = value.item() if isinstance(value, (np.generic, np.ndarray)) and value.size == 1 else value
        if isinstance(plain, (bool, int, float)) and key not in _NO_NUMBERS:
            with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
                found[str(key)] = float(plain)
    return {key: value for key, value in found.items() if math.isfinite(value)}


class Masks:
    """Which actions there are, wherever an environment says so: in an observation, in ``info`` or by a method."""

    def __init__(self, env: Any, names: Sequence[Hashable], n_actions: Sequence[int]) -> None:
        self._names, self._n_actions = names, n_actions
        self._ask = _method(env, _MASK_METHODS)
        self._everything = all(n == max(n_actions) for n in n_actions)

    def write(
        self,
        available: np.ndarray,
        common: Infos,
        own: Mapping[Hashable, Infos],
        seen: Mapping[Hashable, Any] | None = None,
        shown: Sequence[int] | None = None,
    ) -> None:
        """Write the rows ``shown`` (None: all) of ``available``: bool [A, U].

        An agent that has no action can choose action 0.

        Args:
            available: see above.
            common, own: of :func:`by_agent`.
            seen: name -> mask in its observation.
            shown: see above.
        """
        team = _first(common, MASKS) if common else None
        if team is None and self._ask is not None:
            team = self._ask()
        if team is None and not own and not seen and shown is None and self._everything:
            available[:] = True
            return
        for i in range(len(self._names)) if shown is None else shown:
            name = self._names[i]
            mask = (seen or {}).get(name)
            if mask is None and name in own:
                mask = _first(own[name], MASKS)
            if mask is None and team is not None:
                mask = team.get(name) if isinstance(team, Mapping) else team[i]
            self._write_row(available[i], self._n_actions[i], mask, name)

    def _write_row(self, row: np.ndarray, n: int, mask: Any, name: Hashable) -> None:
        row[n:] = False
        if mask is None:
            row[:n] = True
            return
        flat = np.asarray(mask).reshape(-1)
        if flat.size < n:
            raise ValueError(f"the action mask of agent {name} has {flat.size} entries for {n} actions")
        if flat.dtype != bool and not ((flat == 0) | (flat == 1)).all():
            raise ValueError(f"the action mask of agent {name} is {flat.tolist()}, not a 1 or 0 for each action")
        if flat[n:].any():
            raise ValueError(f"the action mask of agent {name} allows actions beyond the {n} of its action space")
        row[:n] = flat[:n]
        if not row.any():
            row[0] = True


class State:
    """The environment's own state: a method, or ``info["state"]``.

    Attributes:
        size: S.
        kind: how its numbers are kept.
    """

    def __init__(self, env: Any, infos: Any, names: Sequence[Hashable], key: str) -> None:
        """Find it, after a reset that gave ``infos``.

        Raises:
            UserError: there is none.
        """
        self._names = names
        self._ask = None
        failures = []
        for name in _STATE_METHODS:
            method = _method(env, (name,))
            try:
                first = None if method is None else method()
            except Exception as error:  # PettingZoo's base class has a state() that raises
                failures.append(f"{name}() raises {type(error).__name__}: {error}")
                continue
            if first is not None:
                self._ask = method
                break
        else:
            first = self._told(infos)
        if first is None:
            raise UserError(
                f"{key} has no state of its own: {'; '.join(failures) or 'no state() or get_state()'}, and no "
                "info['state']; use env_args.state=joint_obs."
            )
        self.size = int(np.asarray(first).size)
        self.kind = box_kind([peek(env, "state_space")])

    def _told(self, infos: Any) -> Any:
        common, own = by_agent(infos, self._names)
        return next((info["state"] for info in (common, *own.values()) if info.get("state") is not None), None)

    def write(self, out: Slot, infos: Any) -> None:
        """Write ``out.state``. Raises ValueError where it is missing."""
        state = self._told(infos) if self._ask is None else self._ask()
        if state is None:
            raise ValueError("info has no 'state' in this step, though it had one after the first reset")
        write(state, out.state, "the environment's state")


def _method(env: Any, names: Sequence[str]) -> Callable[[], Any] | None:
    """Return the first method of these names, of the outermost environment that has one."""
    for layer in layers(env):
        for name in names:
            if callable(method := peek(layer, name)):
                return method
    return None


def _first(info: Infos, keys: Sequence[str]) -> Any:
    return next((info[key] for key in keys if info.get(key) is not None), None)


class Caller:
    """Calls ``reset`` and ``step`` in today's form, also of environments that have an older one.

    Attributes:
        notes: what a user should know of it.
    """

    def __init__(self, env: Any, *, tuples: bool) -> None:
        """Look at the signature.

        Args:
            env: the environment.
            tuples: whether observations come in a tuple or a list (Gymnasium's form), not in a dictionary.
        """
        self._env, self._tuples = env, tuples
        try:
            parameters = inspect.signature(env.reset).parameters
            kinds = {p.kind for p in parameters.values()}
            self._takes_seed = "seed" in parameters or inspect.Parameter.VAR_KEYWORD in kinds
        except (TypeError, ValueError):
            self._takes_seed = True
        self._seed = None if self._takes_seed else _method(env, ("seed",))
        self.notes: tuple[str, ...] = ()
        if not self._takes_seed and self._seed is None:
            self.notes = (
                "its reset takes no seed, so its episodes follow from the run's seed only where it draws from random "
                "or numpy.random.",
            )

    def reset(self, seed: int) -> tuple[Any, Any]:
        """Start an episode; returns observations and infos."""
        if self._takes_seed:
            result = self._env.reset(seed=mix_seed(seed))
        else:
            if self._seed is not None:
                self._seed(mix_seed(seed))  # type: ignore[call-arg]
            result = self._env.reset()
        return result if self._has_infos(result) else (result, {})

    def _has_infos(self, result: Any) -> bool:
        if not isinstance(result, tuple) or len(result) != 2:
            return False
        first, second = result
        if not self._tuples:
            return True
        told = isinstance(second, Mapping) or (
            isinstance(second, (list, tuple)) and len(second) > 0 and isinstance(second[0], Mapping)
        )
        return told and not isinstance(first, Mapping)  # else two agents' observations

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Step; returns observations, rewards, terminated, truncated and infos."""
        result = self._env.step(actions)
        if len(result) == 5:
            return result
        if len(result) != 4:
            raise ValueError(f"step returned {len(result)} things, not observations, rewards, ends, cuts and infos")
        observations, rewards, done, infos = result
        if isinstance(infos, Mapping) and infos.get("TimeLimit.truncated"):
            return observations, rewards, {} if isinstance(done, Mapping) else False, done, infos
        return observations, rewards, done, {} if isinstance(done, Mapping) else False, infos
