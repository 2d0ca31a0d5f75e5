"""Gathers whole episodes from many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from core.data import EnvSpec, EpisodeBatch, EpisodeStats, TeamSpec, TimeStep
from core.memory import enough_memory
from core.protocols import Controller, VecEnv
from runners.storage import Episodes, Index, Returns

SeedOf = Callable[[int], int]
OnStep = Callable[[np.ndarray], None]
Store = TypeVar("Store", bound=Returns)


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """How individual rewards become a team's.

    Attributes:
        common: one team reward.
        scalarisation: "sum" or "mean" over agents, where the environment has individual rewards.
    """

    common: bool = True
    scalarisation: Literal["sum", "mean"] = "sum"

    def dim(self, team: TeamSpec) -> int:
        """R of the batches."""
        return 1 if self.common else team.reward_dim

    def __call__(self, rewards: np.ndarray) -> np.ndarray:
        """[N, R] -> [N, 1] or as it is."""
        if not self.common or rewards.shape[1] == 1:
            return rewards
        total = rewards.sum(1, keepdims=True)
        return total if self.scalarisation == "sum" else total / rewards.shape[1]


class ParallelRunner:
    """Launches a fixed number of episodes over the environment's slots and waits for all of them.

    A slot that finishes starts the next episode; nothing is cut short, so short episodes are not preferred, and
    finished slots are not stepped. Episode k is seeded with ``seed_of(k)``, whichever slot plays it. An episode whose
    environment died is dropped, counted, and another is played in its place.

    Args:
        env: N slots.
        seed_of: number of the episode -> its seed.
        rewards: how rewards are made common.
    """

    def __init__(self, env: VecEnv, *, seed_of: SeedOf, rewards: Rewards) -> None:
        self.env = env
        self.seed_of = seed_of
        self.rewards = rewards
        self.launched = 0  # episodes so far: all that an exact resume needs

    @staticmethod
    def slots(n_episodes: int, n_envs: int | None) -> int:
        """How many environments serve ``n_episodes`` per call, given the setting n_envs (None: as many)."""
        return min(n_envs or n_episodes, n_episodes)

    @classmethod
    def place(cls, make: Callable[[int], VecEnv], slots: int, settings: Any) -> Any:
        """Make the environments, in this process; ``settings`` are the experiment's."""
        return make(slots)

    @property
    def spec(self) -> EnvSpec:
        """Of the environment."""
        return self.env.spec

    def collect(
        self,
        controllers: Mapping[str, Controller],
        n_episodes: int,
        *,
        t_env: int | None,
        greedy: bool = False,
    ) -> tuple[dict[str, EpisodeBatch], EpisodeStats]:
        """Gather ``n_episodes`` whole episodes.

        Args:
            controllers: team -> who acts for it.
            n_episodes: B.
            t_env: environment steps so far, for exploration; None in tests.
            greedy: act greedily.

        Returns:
            team -> batch, and the statistics of the episodes.
        """
        what = f"{n_episodes} episodes of up to {self.spec.episode_limit} steps"
        with enough_memory(f"gathering {what}", "lower batch_size_run, n_envs or env_args.time_limit"):
            stores = self.stores(Episodes, n_episodes)
            collection = self._collection(controllers, n_episodes, stores)
            stats = collection.play(t_env=t_env, greedy=greedy)
            batches = [store.batch(stats.lengths, collection.terminated) for store in stores]
            return dict(zip(controllers, batches, strict=True)), stats

    def play(
        self,
        controllers: Mapping[str, Controller],
        n_episodes: int,
        *,
        t_env: int | None,
        greedy: bool = False,
        on_step: OnStep | None = None,
    ) -> EpisodeStats:
        """As :meth:`collect`, for tests and films: nothing of the episodes is kept but the statistics.

        Args:
            controllers, n_episodes, t_env, greedy: see there.
            on_step: called with the active slots (bool [N]) after every reset and step (drawing).
        """
        with enough_memory(f"playing in {self.env.n_envs} environments at once", "lower test_n_envs or test_nepisode"):
            collection = self._collection(controllers, n_episodes, self.stores(Returns, n_episodes))
            return collection.play(t_env=t_env, greedy=greedy, on_step=on_step)

    def _collection(self, controllers: Mapping[str, Controller], n_episodes: int, stores: Sequence[Returns]) -> Any:
        """Who plays one call."""
        return Collection(self, controllers, n_episodes, stores)

    def stores(self, kind: type[Store], n_episodes: int) -> list[Store]:
        """One for every team."""
        spec = self.spec
        return [kind(n_episodes, spec.episode_limit, team, self.rewards.dim(team)) for team in spec.teams]


class EpisodeRunner(ParallelRunner):
    """The case of one environment: episodes one after another."""

    @staticmethod
    def slots(n_episodes: int, n_envs: int | None) -> int:
        """One."""
        return 1


class Collection:
    """One call of collect or play: which slot plays which episode, and where its steps go.

    Args:
        runner: whose environments and seeds.
        controllers: team -> who acts for it.
        n_episodes: B.
        stores: of every team.
        slots: that play, int64 [K]; the first B by default.

    Attributes:
        terminated: bool [B], episodes with a true end.
    """

    def __init__(
        self,
        runner: ParallelRunner,
        controllers: Mapping[str, Controller],
        n_episodes: int,
        stores: Sequence[Returns],
        *,
        slots: np.ndarray | None = None,
    ) -> None:
        self.runner, self.env = runner, runner.env
        self.teams, self.controllers = tuple(controllers), tuple(controllers.values())
        n = runner.env.n_envs
        self.n_episodes = n_episodes
        self.episodes = stores
        self.slots = np.arange(min(n, n_episodes)) if slots is None else slots
        self.active = np.isin(np.arange(n), self.slots)
        self.row = np.zeros(n, np.int64)  # slot -> episode of this batch
        self.row[self.slots] = np.arange(len(self.slots))
        self.time = np.zeros(n, np.int64)  # slot -> steps of its episode so far
        self.next_row = len(self.slots)
        self.length = np.zeros(n_episodes, np.int64)
        self.terminated = np.zeros(n_episodes, bool)
        self.lockstep = n == n_episodes

    def play(self, *, t_env: int | None, greedy: bool, on_step: OnStep | None = None) -> EpisodeStats:
        """Play all episodes; the arguments are those of :meth:`ParallelRunner.play`."""
        info, dropped = {key: np.zeros(self.n_episodes) for key in self.runner.spec.info_keys}, 0
        step = self.begin(on_step)
        while len(self.slots):
            actions = [
                controller.act(team, t_env=t_env, greedy_policy=greedy)
                for controller, team in zip(self.controllers, step.teams, strict=True)
            ]
            step = self.step(actions)
            if on_step is not None:
                on_step(self.active)
            finished = self.active & (step.terminated | step.truncated | step.failed)
            if finished.any():
                dropped += int(step.failed[finished].sum())
                done = np.flatnonzero(finished & ~step.failed)
                for key, reported in step.info.items():
                    if key not in info:
                        info[key] = np.full(self.n_episodes, np.nan)
                    info[key][self.row[done]] = reported[done]
                step = self.finish(np.flatnonzero(finished), step)
                if on_step is not None and len(self.slots):
                    on_step(self.active & finished)
        returns = {name: store.returns for name, store in zip(self.teams, self.episodes, strict=True)}
        return EpisodeStats(returns=returns, lengths=self.length, info=info, dropped=dropped)

    def begin(self, on_step: OnStep | None) -> TimeStep:
        """Start the first episode of every slot."""
        for controller in self.controllers:
            controller.begin(self.env.n_envs)
        step = self._launch(self.slots)
        if on_step is not None:
            on_step(self.active)
        return step

    def _launch(self, slots: np.ndarray) -> TimeStep:
        first = self.runner.launched
        self.runner.launched += len(slots)
        seeds = np.array([self.runner.seed_of(first + k) for k in range(len(slots))], np.uint64)
        self.time[slots] = 0
        step = self.env.reset(slots, seeds)
        self._store_observations(step, slots, self._index(slots))
        return step

    def _index(self, slots: np.ndarray) -> Index:
        """Where these slots' present rows are: slices while all environments are in step, which costs no gather."""
        if self.lockstep and len(slots) == self.n_episodes:
            return slice(None), int(self.time[0])
        return self.row[slots], self.time[slots]

    def _store_observations(self, step: TimeStep, slots: np.ndarray, index: Index) -> None:
        source = slice(None) if isinstance(index[0], slice) else slots
        for store, team in zip(self.episodes, step.teams, strict=True):
            store.observe(index, team, source)

    def step(self, actions: list[np.ndarray]) -> TimeStep:
        """Step the active slots; ``actions`` has int64 [N, A] of every team."""
        slots = self.slots
        index = self._index(slots)
        step = self.env.step(actions, self.active)
        source = slice(None) if isinstance(index[0], slice) else slots
        for store, team, chosen in zip(self.episodes, step.teams, actions, strict=True):
            store.act(index, chosen[source], self.runner.rewards(team.rewards)[source])
        self.time[slots] += 1
        self._store_observations(step, slots, self._index(slots))
        return step

    def finish(self, slots: np.ndarray, step: TimeStep) -> TimeStep:
        """Close the episodes of these slots and give each slot the next one, if any is left."""
        failed = step.failed[slots]
        done, lost = slots[~failed], slots[failed]
        self.length[self.row[done]] = self.time[done]
        self.terminated[self.row[done]] = step.terminated[done]
        for store, controller in zip(self.episodes, self.controllers, strict=True):
            store.finish(self.row[done], done, controller.played())
        for slot in lost:
            for store in self.episodes:
                store.clear(self.row[slot])
        lost = self.replace(lost)
        waiting = done[: self.n_episodes - self.next_row]
        self.row[waiting] = self.next_row + np.arange(len(waiting))
        self.next_row += len(waiting)
        self.active[done[len(waiting) :]] = False
        self.slots = np.flatnonzero(self.active)
        again = np.concatenate([lost, waiting])
        self.lockstep = self.lockstep and not len(again)
        if not len(again):
            return step
        for controller in self.controllers:
            controller.restart(again)
        return self._launch(again)

    def replace(self, lost: np.ndarray) -> np.ndarray:
        """Say which of these slots, whose environments have died, play another episode for the same row: all."""
        return lost
