"""Replay of whole episodes, stored compactly."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError
from core.kinds import DTYPE


def zero_pages(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """Zeros that take memory page by page, as they are first written (``np.zeros`` may reuse and clear old memory).

    Raises:
        UserError: more than the machine can ever hold.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(shape, dtype)
    try:
        pages = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise UserError(f"The replay buffer needs {size / 2**30:,.0f} GiB: lower buffer_size.") from error
    return np.frombuffer(pages, dtype, count=math.prod(shape)).reshape(shape)


class Replay:
    """A ring of the newest episodes of one team.

    Actions are small integers (no one-hots), masks are one length and one bit per episode, and a state that is the
    joint observation is not stored again. The arrays are zero pages: memory grows as episodes come.

    Args:
        spec: sizes of the team.
        episode_limit: T of the storage.
        capacity: episodes.
        reward_dim: R of the batches (1 for a team reward).
        generator: stream that samples.
    """

    def __init__(
        self, spec: TeamSpec, *, episode_limit: int, capacity: int, reward_dim: int, generator: np.random.Generator
    ) -> None:
        self.spec = spec
        self.capacity = capacity
        self.generator = generator
        self.size = 0
        self.position = 0
        agents, limit = spec.n_agents, episode_limit
        action_type = np.uint8 if spec.n_actions <= 256 else np.int32
        self.arrays: dict[str, np.ndarray] = {
            "obs": zero_pages((capacity, limit + 1, agents, spec.obs_dim), DTYPE[spec.obs_kind]),
            "available": zero_pages((capacity, limit + 1, agents, spec.n_actions), bool),
            "actions": zero_pages((capacity, limit, agents), action_type),
            "rewards": zero_pages((capacity, limit, reward_dim), np.float32),
            "length": zero_pages((capacity,), np.int32),
            "terminated": zero_pages((capacity,), bool),
        }
        if not spec.state_is_joint_obs:
            self.arrays["state"] = zero_pages((capacity, limit + 1, spec.state_dim), DTYPE[spec.state_kind])

    @property
    def n_bytes(self) -> int:
        """Memory when full."""
        return sum(array.nbytes for array in self.arrays.values())

    def add(self, batch: EpisodeBatch) -> None:
        """Add episodes, replacing the oldest once full."""
        rows = (self.position + np.arange(batch.n_episodes)) % self.capacity
        length = batch.mask.sum(1).numpy()
        for key in ("obs", "state", "available", "actions", "rewards"):
            if key in self.arrays:
                source = getattr(batch, key).numpy()
                target = self.arrays[key]
                target[rows, : source.shape[1]] = source
                target[rows, source.shape[1] :] = key == "available"
        self.arrays["length"][rows] = length
        self.arrays["terminated"][rows] = batch.terminated.any(1).numpy()
        self.position = int((self.position + batch.n_episodes) % self.capacity)
        self.size = min(self.size + batch.n_episodes, self.capacity)

    def can_sample(self, n_episodes: int) -> bool:
        """Whether there are that many episodes."""
        return self.size >= n_episodes

    def sample(self, n_episodes: int) -> EpisodeBatch:
        """Draw episodes without replacement, cut to the longest of them."""
        rows = self.generator.choice(self.size, n_episodes, replace=False, shuffle=False)
        length = self.arrays["length"][rows]
        n_steps = int(length.max())

        def take(key: str, steps: int) -> torch.Tensor:
            return torch.from_numpy(self.arrays[key][rows, :steps])

        obs = take("obs", n_steps + 1)
        steps = np.arange(n_steps)
        mask = steps < length[:, None]
        terminated = (steps == length[:, None] - 1) & self.arrays["terminated"][rows][:, None]
        return EpisodeBatch(
            obs=obs,
            state=obs.flatten(2) if self.spec.state_is_joint_obs else take("state", n_steps + 1),
            available=take("available", n_steps + 1),
            actions=take("actions", n_steps).long(),
            rewards=take("rewards", n_steps),
            terminated=torch.from_numpy(terminated),
            mask=torch.from_numpy(mask),
        )

    def state_dict(self) -> dict[str, Any]:
        """Stored episodes, place in the ring, random stream."""
        arrays = {key: torch.from_numpy(array[: self.size]) for key, array in self.arrays.items()}
        generator = self.generator.bit_generator.state
        return {"arrays": arrays, "size": self.size, "position": self.position, "generator": generator}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.size, self.position = state["size"], state["position"]
        for key, array in self.arrays.items():
            array[: self.size] = state["arrays"][key].numpy()
        self.generator.bit_generator.state = state["generator"]
