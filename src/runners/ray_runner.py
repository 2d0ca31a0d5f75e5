"""``runner=ray``: environments on a Ray cluster. Whole episodes travel, and the policy once for each iteration.

With as many environments as episodes (the default of n_envs) the same seeds give the same episodes as ``parallel``.
With fewer, episodes are played in rounds of n_envs, each as one call of ``parallel``; greedy episodes are the same.
"""

from __future__ import annotations

import functools
import heapq
import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from core.data import EnvSpec, EpisodeStats
from core.protocols import Controller, VecEnv
from runners.parallel_runner import OnStep, ParallelRunner
from runners.ray_share import Lost, Played, Share, Task
from runners.ray_workers import Workers
from runners.storage import Returns


class RemoteEnvs:
    """The environments of one runner, wherever they are.

    Args:
        make: number of environments -> these; it travels to the processes.
        n_envs: N, of all processes together.
        workers: these processes.

    Raises:
        UserError: the environments cannot be made, or the processes do not start.
    """

    spec: EnvSpec

    def __init__(self, make: Callable[[int], VecEnv], n_envs: int, workers: Workers) -> None:
        self.n_envs, self._workers = n_envs, workers
        self.n_shares = min(workers.n, n_envs)
        each = -(-n_envs // self.n_shares)
        self._name = uuid.uuid4().hex
        self._made = workers.kept(pickle.dumps(functools.partial(make, each)))
        (self.spec,) = workers.each("spec", [(self._name, self._made)])

    def play(self, controllers: Mapping[str, Controller], task: Task, shares: Sequence[Share]) -> Iterator[Played]:
        """Play shares, in any order; the controllers stay as they are."""
        policy = self._workers.kept(pickle.dumps(dict(controllers)))
        return self._workers.each("play", [(self._name, self._made, policy, task, share) for share in shares])

    def close(self) -> None:
        """Give them back."""
        self._workers.everywhere("close", self._name)
        self._workers.leave()


class RayRunner(ParallelRunner):
    """Launches a fixed number of episodes on a Ray cluster and waits for all of them.

    Args:
        env: :class:`RemoteEnvs`.
        seed_of, rewards: see :class:`ParallelRunner`.
    """

    env: Any

    @classmethod
    def place(cls, make: Callable[[int], VecEnv], slots: int, settings: Any) -> RemoteEnvs:
        """Make the environments on the cluster."""
        workers = Workers.join(settings.ray_address, settings.ray_workers, settings.torch_threads)
        try:
            return RemoteEnvs(make, slots, workers)
        except BaseException:
            workers.leave()
            raise

    def _collection(self, controllers: Mapping[str, Controller], n_episodes: int, stores: Sequence[Returns]) -> Any:
        return _Rounds(self, controllers, n_episodes, stores)


class _Rounds:
    """One call of collect or play: rounds of at most N episodes, each slot plays one.

    Args, attributes: see :class:`runners.parallel_runner.Collection`.
    """

    def __init__(
        self,
        runner: RayRunner,
        controllers: Mapping[str, Controller],
        n_episodes: int,
        stores: Sequence[Returns],
    ) -> None:
        self.runner, self.controllers, self.stores = runner, controllers, stores
        self.n_episodes, self.dropped = n_episodes, 0
        self.length = np.zeros(n_episodes, np.int64)
        self.terminated = np.zeros(n_episodes, bool)
        self.info = {key: np.zeros(n_episodes) for key in runner.spec.info_keys}

    def play(self, *, t_env: int | None, greedy: bool, on_step: OnStep | None = None) -> EpisodeStats:
        """Play all episodes; single steps cannot be seen from here."""
        assert on_step is None, "films are played in this process"
        env, rewards = self.runner.env, self.runner.rewards
        task = Task(n_envs=env.n_envs, store=type(self.stores[0]), rewards=rewards, t_env=t_env, greedy=greedy)
        for first in range(0, self.n_episodes, env.n_envs):
            self._round(first, np.arange(min(env.n_envs, self.n_episodes - first)), task)
        returns = {name: store.returns for name, store in zip(self.controllers, self.stores, strict=True)}
        return EpisodeStats(returns=returns, lengths=self.length, info=self.info, dropped=self.dropped)

    def _round(self, first: int, slots: np.ndarray, task: Task) -> None:
        """Play one episode in every slot, those of a slot's dropped ones included; ``first`` is the row of slot 0."""
        env, lost = self.runner.env, list[tuple[int, int, Lost]]()
        parts = [part for part in np.array_split(slots, env.n_shares) if len(part)]
        shares = [Share(slots=part, seeds=self._seeds(len(part))) for part in parts]
        until, states = -1, {}
        while shares:
            for played in env.play(self.controllers, task, shares):
                self._keep(first, played)
                for one in played.lost:
                    heapq.heappush(lost, (one.since, one.slot, one))
                if played.until > until:
                    until, states = played.until, played.states
            shares = [self._instead(heapq.heappop(lost)[-1])] if lost else []
        for name, state in states.items():
            self.controllers[name].load_state_dict(state)

    def _seeds(self, n: int) -> list[int]:
        """Of the next episodes."""
        self.runner.launched += n
        return [self.runner.seed_of(self.runner.launched - n + k) for k in range(n)]

    def _instead(self, lost: Lost) -> Share:
        """The next episode, for a dropped one, the earliest of which is replaced first: as in one process."""
        self.dropped += 1
        return Share(slots=np.array([lost.slot]), seeds=self._seeds(1), since=lost.since, states=lost.states)

    def _keep(self, first: int, played: Played) -> None:
        again = {one.slot for one in played.lost}
        kept = np.array([slot not in again for slot in played.slots])
        rows = first + played.slots[kept]
        self.length[rows] = played.lengths[kept]
        self.terminated[rows] = played.terminated[kept]
        for name, values in played.info.items():
            if name not in self.info:
                self.info[name] = np.full(self.n_episodes, np.nan)
            self.info[name][rows] = values[kept]
        for store, part in zip(self.stores, played.parts.values(), strict=True):
            store.put(rows, {name: array[kept] for name, array in part.items()})
