"""Where the steps of episodes go while they are gathered: all of a step for training, its rewards alone for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from core.data import EpisodeBatch, TeamSpec, TeamStep, episode_layout

PER_EPISODE = frozenset({"returns", "policies"})  # arrays without a time axis

Index = tuple[Any, Any]  # rows and time steps, or slices: what an assignment to [B, T, ...] takes


class Returns:
    """One team's returns of B episodes, and nothing else of them."""

    def __init__(self, n_episodes: int, limit: int, team: TeamSpec, reward_dim: int) -> None:
        self.team = team
        self.returns = np.zeros((n_episodes, reward_dim))

    def observe(self, index: Index, step: TeamStep, source: Any) -> None:
        """See what the agents see; ``source`` chooses the slots."""

    def act(self, index: Index, actions: np.ndarray, rewards: np.ndarray) -> None:
        """See what they did and what it brought: int64 [K, A] and float32 [K, R]."""
        self.returns[index[0]] += rewards

    def finish(self, rows: np.ndarray, slots: np.ndarray, policies: np.ndarray | None) -> None:
        """See which sub-policies [N, A] these slots' agents have played, where there are several."""

    def clear(self, row: int) -> None:
        """Forget an episode that was dropped."""
        self.returns[row] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is kept; the first axis is B."""
        return {"returns": self.returns}

    def cut(self, n_steps: int) -> dict[str, np.ndarray]:
        """:meth:`arrays` of episodes of up to so many steps, as they travel to a store of more episodes."""
        return self.arrays()

    def put(self, rows: np.ndarray, part: dict[str, np.ndarray]) -> None:
        """Take what :meth:`cut` gave for these rows, int64 [K], of which nothing is known yet."""
        for name, array in self.arrays().items():
            array[rows, : part[name].shape[1]] = part[name]


class Episodes(Returns):
    """All of one team's B episodes."""

    def __init__(self, n_episodes: int, limit: int, team: TeamSpec, reward_dim: int) -> None:
        super().__init__(n_episodes, limit, team, reward_dim)
        layout = episode_layout(team, limit, reward_dim)
        arrays = {name: np.zeros((n_episodes, *shape), dtype) for name, (shape, dtype) in layout.items()}
        self.obs, self.state = arrays["obs"], arrays.get("state")
        self.available, self.actions, self.rewards = arrays["available"], arrays["actions"], arrays["rewards"]
        self.available[:] = True
        self.policies = np.zeros((n_episodes, team.n_agents), np.int64)  # from 1; 0 where agents have no several

    def observe(self, index: Index, step: TeamStep, source: Any) -> None:
        """Keep what the agents see."""
        self.obs[index] = step.obs[source]
        self.available[index] = step.available[source]
        if self.state is not None:
            self.state[index] = step.state[source]

    def act(self, index: Index, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Keep what they did and what it brought."""
        super().act(index, actions, rewards)
        self.actions[index] = actions
        self.rewards[index] = rewards

    def finish(self, rows: np.ndarray, slots: np.ndarray, policies: np.ndarray | None) -> None:
        """Keep which sub-policies were played."""
        if policies is not None:
            self.policies[rows] = policies[slots] + 1

    def clear(self, row: int) -> None:
        """Forget an episode that was dropped."""
        super().clear(row)
        self.obs[row] = 0
        self.available[row] = True
        self.actions[row] = 0
        self.rewards[row] = 0
        if self.state is not None:
            self.state[row] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is kept; the first axis is B."""
        kept: dict[str, np.ndarray] = {"obs": self.obs, "available": self.available, "policies": self.policies}
        kept |= {"actions": self.actions, "rewards": self.rewards}
        return super().arrays() | kept | ({} if self.state is None else {"state": self.state})

    def cut(self, n_steps: int) -> dict[str, np.ndarray]:
        """Without the rows behind ``n_steps``."""
        every = self.arrays().items()
        return {name: array if name in PER_EPISODE else array[:, : n_steps + 1] for name, array in every}

    def batch(self, length: np.ndarray, terminated: np.ndarray) -> EpisodeBatch:
        """The episodes, cut to the longest.

        Args:
            length: int64 [B].
            terminated: bool [B], whether the last step was a true end.
        """
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
            policies=torch.from_numpy(self.policies - 1) if self.policies.any() else None,
        )
