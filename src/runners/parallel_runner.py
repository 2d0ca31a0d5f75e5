"""Gathers whole episodes from many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from core.data import EnvSpec, EpisodeBatch, EpisodeStats, TeamSpec, TimeStep
from core.protocols import Controller, VecEnv

SeedOf = Callable[[int], int]
Index = tuple[Any, Any]  # rows and time steps, or slices: what an assignment to [B, T, ...] takes


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


class _Episodes:
    """Storage of one team's B episodes while they are gathered; becomes an EpisodeBatch."""

    def __init__(self, n_episodes: int, limit: int, team: TeamSpec, reward_dim: int) -> None:
        self.team = team
        agents = team.n_agents
        self.obs = np.zeros((n_episodes, limit + 1, agents, team.obs_dim), np.float32)
        self.state = None if team.state_is_joint_obs else np.zeros((n_episodes, limit + 1, team.state_dim), np.float32)
        self.available = np.ones((n_episodes, limit + 1, agents, team.n_actions), bool)
        self.actions = np.zeros((n_episodes, limit, agents), np.int64)
        self.rewards = np.zeros((n_episodes, limit, reward_dim), np.float32)

    def clear(self, row: int) -> None:
        """Forget an episode that was dropped."""
        self.obs[row] = 0
        self.available[row] = True
        self.actions[row] = 0
        self.rewards[row] = 0
        if self.state is not None:
            self.state[row] = 0

    def batch(self, length: np.ndarray, terminated: np.ndarray) -> EpisodeBatch:
        n_steps = int(length.max())
        steps = np.arange(n_steps)
        mask = steps < length[:, None]
        ends = (steps == length[:, None] - 1) & terminated[:, None]

        def take(array: np.ndarray, rows: int) -> torch.Tensor:
            return torch.from_numpy(array[:, :rows])

        obs = take(self.obs, n_steps + 1)
        return EpisodeBatch(
            obs=obs,
            state=obs.flatten(2) if self.state is None else take(self.state, n_steps + 1),
            available=take(self.available, n_steps + 1),
            actions=take(self.actions, n_steps),
            rewards=take(self.rewards, n_steps),
            terminated=torch.from_numpy(ends),
            mask=torch.from_numpy(mask),
        )


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
        on_step: Callable[[np.ndarray], None] | None = None,
    ) -> tuple[dict[str, EpisodeBatch], EpisodeStats]:
        """Gather ``n_episodes`` whole episodes.

        Args:
            controllers: team -> who acts for it.
            n_episodes: B.
            t_env: environment steps so far, for exploration; None in tests.
            greedy: act greedily.
            on_step: called with the active slots (bool [N]) after every reset and step (drawing).

        Returns:
            team -> batch, and the statistics of the episodes.
        """
        collection = _Collection(self, list(controllers.values()), n_episodes)
        info_keys, dropped = self.spec.info_keys, 0
        info = {key: np.zeros(n_episodes) for key in info_keys}
        step = collection.begin(on_step)
        while len(collection.slots):
            actions = [
                controller.act(team, t_env=t_env, greedy_policy=greedy)
                for controller, team in zip(controllers.values(), step.teams, strict=True)
            ]
            step = collection.step(actions)
            if on_step is not None:
                on_step(collection.active)
            finished = collection.active & (step.terminated | step.truncated | step.failed)
            if finished.any():
                dropped += int(step.failed[finished].sum())
                for key in info_keys:
                    done = np.flatnonzero(finished & ~step.failed)
                    info[key][collection.row[done]] = step.info[key][done]
                step = collection.finish(np.flatnonzero(finished), step)
                if on_step is not None and len(collection.slots):
                    on_step(collection.active & finished)
        return collection.result(controllers, info, dropped)


class EpisodeRunner(ParallelRunner):
    """The case of one environment: episodes one after another."""

    @staticmethod
    def slots(n_episodes: int, n_envs: int | None) -> int:
        """One."""
        return 1


class _Collection:
    """One call of collect: which slot plays which episode, and where its steps go."""

    def __init__(self, runner: ParallelRunner, controllers: list[Controller], n_episodes: int) -> None:
        self.runner, self.env, self.controllers = runner, runner.env, controllers
        spec, n = runner.spec, runner.env.n_envs
        self.n_episodes = n_episodes
        self.episodes = [
            _Episodes(n_episodes, spec.episode_limit, team, runner.rewards.dim(team)) for team in spec.teams
        ]
        self.active = np.arange(n) < n_episodes
        self.slots = np.flatnonzero(self.active)
        self.row = np.arange(n)  # slot -> episode of this batch
        self.time = np.zeros(n, np.int64)  # slot -> steps of its episode so far
        self.next_row = min(n, n_episodes)
        self.length = np.zeros(n_episodes, np.int64)
        self.terminated = np.zeros(n_episodes, bool)
        self.lockstep = n == n_episodes

    def begin(self, on_step: Callable[[np.ndarray], None] | None) -> TimeStep:
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
            store.obs[index] = team.obs[source]
            store.available[index] = team.available[source]
            if store.state is not None:
                store.state[index] = team.state[source]

    def step(self, actions: list[np.ndarray]) -> TimeStep:
        slots = self.slots
        index = self._index(slots)
        step = self.env.step(actions, self.active)
        source = slice(None) if isinstance(index[0], slice) else slots
        for store, team, chosen in zip(self.episodes, step.teams, actions, strict=True):
            store.actions[index] = chosen[source]
            store.rewards[index] = self.runner.rewards(team.rewards)[source]
        self.time[slots] += 1
        self._store_observations(step, slots, self._index(slots))
        return step

    def finish(self, slots: np.ndarray, step: TimeStep) -> TimeStep:
        """Close the episodes of these slots and give each slot the next one, if any is left."""
        failed = step.failed[slots]
        done, lost = slots[~failed], slots[failed]
        self.length[self.row[done]] = self.time[done]
        self.terminated[self.row[done]] = step.terminated[done]
        for slot in lost:
            for store in self.episodes:
                store.clear(self.row[slot])
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

    def result(
        self, controllers: Mapping[str, Controller], info: Mapping[str, np.ndarray], dropped: int
    ) -> tuple[dict[str, EpisodeBatch], EpisodeStats]:
        batches = {
            name: store.batch(self.length, self.terminated)
            for name, store in zip(controllers, self.episodes, strict=True)
        }
        returns = {
            name: store.rewards.sum(1, dtype=np.float64)  # padding is zero
            for name, store in zip(controllers, self.episodes, strict=True)
        }
        return batches, EpisodeStats(returns=returns, lengths=self.length, info=info, dropped=dropped)
