"""What a process of a Ray cluster does: whole episodes of some slots, as :class:`ParallelRunner` would play them.

It acts for all N slots of the runner, so that every slot has the exploration noise that it has beside the others, but
has environments for its own slots alone; what the networks say of the rest is not looked at.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from core.data import EnvSpec, TimeStep, allocate_time_step
from core.protocols import VecEnv
from runners.parallel_runner import Collection, ParallelRunner, Rewards
from runners.storage import Returns

States = Mapping[str, Any]
"""Team -> random streams of its controller."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One call of collect or play, as far as all shares have it in common.

    Attributes:
        n_envs: N.
        store: what is kept of episodes.
        rewards: see :class:`ParallelRunner`.
        t_env, greedy: see :meth:`ParallelRunner.collect`.
    """

    n_envs: int
    store: type[Returns]
    rewards: Rewards
    t_env: int | None
    greedy: bool


@dataclass(frozen=True, kw_only=True)
class Share:
    """Episodes that are played together.

    Attributes:
        slots: int64 [K], ascending.
        seeds: of their episodes.
        since: steps of the longest episode when these begin (later ones play in the place of dropped ones).
        states: random streams then; None: as they travelled with the policy.
    """

    slots: np.ndarray
    seeds: Sequence[int]
    since: int = 0
    states: States | None = None


@dataclass(frozen=True, kw_only=True)
class Lost:
    """An episode whose environment died.

    Attributes:
        slot: where.
        since, states: when, as in :class:`Share`.
    """

    slot: int
    since: int
    states: States


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a share.

    Attributes:
        slots: the share's.
        lengths, terminated: int64 [K], bool [K].
        info: name -> float64 [K].
        parts: team -> what :meth:`Returns.put` takes.
        lost: episodes that are to be replaced.
        until, states: steps and random streams at its end.
    """

    slots: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray
    info: Mapping[str, np.ndarray]
    parts: Mapping[str, dict[str, np.ndarray]]
    lost: Sequence[Lost]
    until: int
    states: States


class Host:
    """Plays shares for the runners of a run.

    Args:
        torch_threads: of every network.
    """

    def __init__(self, torch_threads: int) -> None:
        torch.set_num_threads(torch_threads)
        self._envs: dict[str, VecEnv] = {}

    def spec(self, runner: str, made: bytes) -> EnvSpec:
        """Sizes of a runner's environments.

        Args:
            runner: whose.
            made: a pickled function without arguments that makes them.
        """
        return self._env(runner, made).spec

    def _env(self, runner: str, made: bytes) -> VecEnv:
        if runner not in self._envs:
            self._envs[runner] = pickle.loads(made)()
        return self._envs[runner]

    def close(self, runner: str) -> None:
        """Give back its environments."""
        if runner in self._envs:
            self._envs.pop(runner).close()

    def play(self, runner: str, made: bytes, policy: bytes, task: Task, share: Share) -> Played:
        """Play a share; ``policy`` are the pickled controllers, the others see above."""
        controllers = pickle.loads(policy)
        for name, state in (share.states or {}).items():
            controllers[name].load_state_dict(state)
        env = _Part(self._env(runner, made), task.n_envs, share.slots)
        player = ParallelRunner(env, seed_of=share.seeds.__getitem__, rewards=task.rewards)
        stores = player.stores(task.store, len(share.slots))
        collection = _Share(player, controllers, len(share.slots), stores, slots=share.slots)
        stats = collection.play(t_env=task.t_env, greedy=task.greedy)
        longest = int(stats.lengths.max())
        return Played(
            slots=share.slots,
            lengths=stats.lengths,
            terminated=collection.terminated,
            info=stats.info,
            parts={name: store.cut(longest) for name, store in zip(controllers, stores, strict=True)},
            lost=[replace(one, since=one.since + share.since) for one in collection.lost],
            until=share.since + collection.steps,
            states=collection.states(),
        )


class _Share(Collection):
    """The episodes of some slots; which episode replaces a lost one is not decided here."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.lost: list[Lost] = []
        self._began = self.slots

    def states(self) -> States:
        """Random streams as they are now."""
        return {name: one.state_dict() for name, one in zip(self.teams, self.controllers, strict=True)}

    @property
    def steps(self) -> int:
        """Of the longest episode so far."""
        return int(self.time[self._began].max())

    def replace(self, lost: np.ndarray) -> np.ndarray:
        """None: the slots stop."""
        self.lost += [Lost(slot=int(slot), since=self.steps, states=self.states()) for slot in lost]
        self.active[lost] = False
        return lost[:0]


@dataclass
class _Part:
    """Environments of some of N slots, as the environments of all.

    Args:
        env: at least as many as there are slots of its own.
        n_envs: N.
        own: these slots, int64 [K].
    """

    env: VecEnv
    n_envs: int
    own: np.ndarray
    spec: EnvSpec = field(init=False)

    def __post_init__(self) -> None:
        self.spec = self.env.spec
        self._where = np.full(self.n_envs, -1)
        self._where[self.own] = np.arange(len(self.own))
        self._out = allocate_time_step(self.spec, self.n_envs)

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """See :class:`core.protocols.VecEnv`."""
        return self._spread(self.env.reset(self._where[slots], seeds))

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """See :class:`core.protocols.VecEnv`."""
        return self._spread(self.env.step([self._gather(one) for one in actions], self._gather(active)))

    def _gather(self, array: np.ndarray) -> np.ndarray:
        gathered = np.zeros((self.env.n_envs, *array.shape[1:]), array.dtype)
        gathered[: len(self.own)] = array[self.own]
        return gathered

    def _spread(self, step: TimeStep) -> TimeStep:
        out, k = self._out, len(self.own)
        for there, here in zip(step.teams, out.teams, strict=True):
            for name, array in vars(here).items():
                array[self.own] = getattr(there, name)[:k]
        for name in ("terminated", "truncated", "failed"):
            getattr(out, name)[self.own] = getattr(step, name)[:k]
        info = {name: np.full(self.n_envs, np.nan, array.dtype) for name, array in step.info.items()}
        for name, array in step.info.items():
            info[name][self.own] = array[:k]
        return replace(out, info=info)

    def render(self, slot: int = 0) -> np.ndarray:
        """Films are played elsewhere."""
        raise NotImplementedError

    def close(self) -> None:
        """They are used again."""
