"""Replay of whole episodes, stored compactly; episodes are drawn from it, or single steps."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from core.data import EpisodeBatch, Layout, TeamSpec, episode_layout, layout_bytes
from core.errors import UserError
from core.memory import amount, enough_memory
from core.row_batch import RowBatch, going_on, rows_of

Precision = Literal["float32", "float16"]


def zero_pages(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """Zeros that take memory page by page, as they are first written (``np.zeros`` may reuse and clear old memory).

    Raises:
        MemoryError: more than the machine can ever hold.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(shape, dtype)
    try:
        pages = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"unable to allocate {size} bytes") from error
    return np.frombuffer(pages, dtype, count=math.prod(shape)).reshape(shape)


def replay_layout(spec: TeamSpec, episode_limit: int, reward_dim: int, dtype: Precision) -> Layout:
    """Arrays of one stored episode."""
    layout = episode_layout(spec, episode_limit, reward_dim)
    for name in ("obs", "state"):
        if name in layout and layout[name][1] == np.float32:
            layout[name] = (layout[name][0], np.dtype(dtype))
    layout["actions"] = (layout["actions"][0], np.uint8 if spec.n_actions <= 256 else np.int32)
    return layout | {"length": ((), np.int32), "terminated": ((), bool)}


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
        dtype: how observations and states that are floats are stored; float16 is nearest, to 3 decimal digits.
        n_policies: sub-policies of every agent; of several, which was played is stored too.
        rivals: replays of other teams that are to hold the same episodes; this one adds to them and draws from them.

    Raises:
        UserError: too little memory.
    """

    def __init__(
        self,
        spec: TeamSpec,
        *,
        episode_limit: int,
        capacity: int,
        reward_dim: int,
        generator: np.random.Generator,
        dtype: Precision = "float32",
        n_policies: int = 1,
        rivals: Sequence[Replay] = (),
    ) -> None:
        self.spec = spec
        self.rivals = rivals
        self.capacity = capacity
        self.generator = generator
        self.size = 0
        self.position = 0
        layout = replay_layout(spec, episode_limit, reward_dim, dtype)
        if n_policies > 1:
            layout["policies"] = ((spec.n_agents,), np.dtype(np.int16))
        with enough_memory(
            f"a replay buffer of {capacity:,} episodes, {amount(capacity * layout_bytes(layout))} when full",
            "lower buffer_size or buffer_memory, or give buffer_dtype=float16",
        ):
            self.arrays = {name: zero_pages((capacity, *shape), kind) for name, (shape, kind) in layout.items()}

    @property
    def n_bytes(self) -> int:
        """Memory when full."""
        return sum(array.nbytes for array in self.arrays.values()) + sum(rival.n_bytes for rival in self.rivals)

    def add(self, batch: EpisodeBatch) -> None:
        """Add episodes, replacing the oldest once full."""
        for rival, seen in zip(self.rivals, batch.rivals, strict=True):
            rival.add(seen)
        rows = (self.position + np.arange(batch.n_episodes)) % self.capacity
        length = batch.mask.sum(1).numpy()
        for key in ("obs", "state", "available", "actions", "rewards"):
            if key in self.arrays:
                source = getattr(batch, key).numpy()
                target = self.arrays[key]
                if target.dtype == np.float16:
                    _check_half(source, key)
                target[rows, : source.shape[1]] = source
                target[rows, source.shape[1] :] = key == "available"
        self.arrays["length"][rows] = length
        self.arrays["terminated"][rows] = batch.terminated.any(1).numpy()
        if "policies" in self.arrays:
            assert batch.policies is not None, "where agents have several, it is known which they played"
            self.arrays["policies"][rows] = batch.policies.numpy()
        self.position = int((self.position + batch.n_episodes) % self.capacity)
        self.size = min(self.size + batch.n_episodes, self.capacity)

    def not_finite(self) -> list[str]:
        """Names of the arrays that hold nan or infinities; reads all of them."""
        floats = {key: array for key, array in self.arrays.items() if array.dtype.kind == "f"}
        own = [key for key, array in floats.items() if not all(np.isfinite(row).all() for row in array[: self.size])]
        return list(dict.fromkeys(own + [key for rival in self.rivals for key in rival.not_finite()]))

    def can_sample(self, n_episodes: int) -> bool:
        """Whether there are that many episodes."""
        return self.size >= n_episodes

    def sample(self, n_episodes: int) -> EpisodeBatch:
        """Draw episodes without replacement, cut to the longest of them."""
        return self._episodes(self.generator.choice(self.size, n_episodes, replace=False, shuffle=False))

    def _episodes(self, rows: np.ndarray) -> EpisodeBatch:
        """Those in these places, int64 [B]."""
        length = self.arrays["length"][rows]
        n_steps = int(length.max())
        steps = np.arange(n_steps)
        terminated = (steps == length[:, None] - 1) & self.arrays["terminated"][rows][:, None]
        return self._batch(
            lambda key, more: self.arrays[key][rows, : n_steps + more],
            policies=self._policies(rows),
            terminated=torch.from_numpy(terminated),
            mask=torch.from_numpy(steps < length[:, None]),
            rivals=tuple(rival._episodes(rows) for rival in self.rivals),
        )

    def sample_rows(self, n_episodes: int) -> RowBatch:
        """Draw the episodes of :meth:`sample`, without padding."""
        return self._rows(self.generator.choice(self.size, n_episodes, replace=False, shuffle=False))

    def _rows(self, episodes: np.ndarray) -> RowBatch:
        """Those in these places, int64 [B], as rows."""
        length = self.arrays["length"][episodes]
        order = np.argsort(-length, kind="stable")
        plan, episodes = _plan(length[order].tobytes()), episodes[order]
        first, of_rows = len(episodes), episodes[plan.places]
        of_steps = of_rows[first:]  # the row before each but the first
        limit = self.arrays["actions"].shape[1]
        index = of_steps * limit + plan.times[first:] - 1, of_rows * (limit + 1) + plan.times

        def taken(key: str, more: int) -> np.ndarray:
            array = self.arrays[key]
            return array.reshape(-1, *array.shape[2:]).take(index[more], 0)[None]

        terminated = plan.ends & self.arrays["terminated"][of_steps]
        terminated = torch.from_numpy(terminated)[None]
        return RowBatch(**self._fields(taken), terminated=terminated, mask=None, sizes=plan.sizes, here=plan.here)

    def sample_steps(self, n_steps: int) -> EpisodeBatch:
        """Draw steps with replacement, uniformly from all that are stored: batches of one step each, B = ``n_steps``.

        The actions before them are in ``before``.
        """
        ends = np.cumsum(self.arrays["length"][: self.size], dtype=np.int64)
        number = self.generator.integers(ends[-1], size=n_steps)
        rows = np.searchsorted(ends, number, side="right")
        return self._steps(rows, number - (ends[rows] - self.arrays["length"][rows]))

    def _steps(self, rows: np.ndarray, step: np.ndarray) -> EpisodeBatch:
        """One step each of the episodes in these places: two int64 [B]."""
        length = self.arrays["length"][rows]
        pair = np.stack([step, step + 1], 1)
        before = self.arrays["actions"][rows, np.maximum(step - 1, 0)].astype(np.int64)
        before[step == 0] = -1
        return self._batch(
            lambda key, more: self.arrays[key][rows[:, None], pair[:, : 1 + more]],
            policies=self._policies(rows),
            before=torch.from_numpy(before),
            last=torch.from_numpy(step == length - 1)[:, None],
            terminated=torch.from_numpy((step == length - 1) & self.arrays["terminated"][rows])[:, None],
            mask=torch.ones(len(rows), 1, dtype=torch.bool),
            rivals=tuple(rival._steps(rows, step) for rival in self.rivals),
        )

    def _policies(self, rows: np.ndarray) -> torch.Tensor | None:
        stored = self.arrays.get("policies")
        return None if stored is None else torch.from_numpy(stored[rows]).long()

    def _batch(self, taken: Callable[[str, int], np.ndarray], **others: Any) -> EpisodeBatch:
        return EpisodeBatch(**self._fields(taken), **others)

    def _fields(self, taken: Callable[[str, int], np.ndarray]) -> dict[str, Any]:
        """What ``taken`` gives of the arrays; its second argument is 1 where the row behind the last step belongs."""

        def take(key: str, more: int) -> torch.Tensor:
            array = torch.from_numpy(taken(key, more))
            return array.float() if array.dtype == torch.float16 else array

        obs = take("obs", 1)
        return {
            "obs": obs,
            "state": obs.flatten(2) if self.spec.state_is_joint_obs else take("state", 1),
            "available": take("available", 1),
            "actions": take("actions", 0).long(),
            "rewards": take("rewards", 0),
        }

    def state_dict(self) -> dict[str, Any]:
        """Stored episodes, place in the ring, random stream."""
        arrays = {key: torch.from_numpy(array[: self.size]) for key, array in self.arrays.items()}
        generator = self.generator.bit_generator.state
        rivals = {"rivals": [rival.state_dict() for rival in self.rivals]} if self.rivals else {}
        return {"arrays": arrays, "size": self.size, "position": self.position, "generator": generator} | rivals

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for rival, stored in zip(self.rivals, state.get("rivals", ()), strict=True):
            rival.load_state_dict(stored)
        self.size, self.position = state["size"], state["position"]
        for key, array in self.arrays.items():
            array[: self.size] = state["arrays"][key].numpy()
        self.generator.bit_generator.state = state["generator"]


def _check_half(values: np.ndarray, key: str) -> None:
    """Raise UserError where float16 would make infinity of a number."""
    largest, most = float(np.abs(values).max()), float(np.finfo(np.float16).max)
    if largest > most:
        what = "An observation" if key == "obs" else "A state"
        raise UserError(
            f"{what} holds {largest:g}, more than buffer_dtype=float16 can ({most:,.0f}): give buffer_dtype=float32."
        )


class _Plan(NamedTuple):
    """Rows of episodes: time and place among those of the time of each, which steps are their episodes' last, ..."""

    sizes: list[int]
    times: np.ndarray
    places: np.ndarray
    ends: np.ndarray
    here: torch.Tensor | None


@lru_cache(maxsize=1)
def _plan(lengths: bytes) -> _Plan:
    """Of episodes of these lengths, int32, the longest first; kept, since those of many environments never change."""
    length = np.frombuffer(lengths, np.int32)
    sizes = np.searchsorted(-length, -np.arange(length[0] + 1), side="right").tolist()  # with a row at each time
    times, places = rows_of(sizes)
    ends = times[len(length) :] == length[places[len(length) :]]
    return _Plan(sizes, times, places, ends, going_on(sizes))
