"""Replayed episodes as rows, for learners to whom all steps are alike: no padding, and what follows is a slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.data import EpisodeBatch, Steps
from core.kinds import UNIT, Kind
from core.packing import Packing


@dataclass(frozen=True, kw_only=True)
class RowBatch(Steps):
    """Episodes of one team: all their first rows, then all second ones, ..., of each time those that go on first.

    So the rows behind those of the first time are what follows the steps, in the steps' own order. Arrays have the axes
    of an ``EpisodeBatch`` that is one episode of P steps (of all episodes) and R = P + B rows.

    Attributes:
        obs, state, available: [1, R, A, O], [1, R, S], [1, R, A, U].
        actions, rewards, terminated: [1, P, A], [1, P, R'], [1, P].
        mask: bool [1, P], steps that happened, where there is padding; None where all did.
        sizes: rows of every time; they never grow.
        here: int64 [P], the steps' own rows; None where they are the first P.
    """

    mask: Tensor | None
    sizes: list[int]
    here: Tensor | None

    @classmethod
    def of(cls, batch: EpisodeBatch) -> RowBatch:
        """Make it of whole episodes; where little is padding, and on devices, padding stays and is masked."""
        packing, n_steps = batch.packing, batch.n_steps
        if packing is None:
            sizes, here = [batch.n_episodes] * (n_steps + 1), None
            index = _by_time(batch.n_episodes, n_steps + 1, batch.mask.device)
            of_steps = _by_time(batch.n_episodes, n_steps, batch.mask.device)
        else:
            sizes, index, here = packing.sizes, packing.index, going_on(packing.sizes)
            of_steps = index if here is None else index[here]
            of_steps = of_steps - of_steps // (n_steps + 1)
        rows, steps = (lambda x: _take(x, index)), (lambda x: _take(x, of_steps))
        return cls(
            **{name: rows(getattr(batch, name)) for name in ("obs", "state", "available")},
            **{name: steps(getattr(batch, name)) for name in ("actions", "rewards", "terminated")},
            mask=steps(batch.mask) if packing is None else None,
            sizes=sizes,
            here=here,
        )

    @property
    def n_steps(self) -> int:
        """P."""
        return self.actions.shape[1]

    @property
    def last(self) -> Tensor:
        """The last steps of their episodes, bool [1, P]."""
        if self.mask is not None:
            ahead = torch.cat([self.mask[:, self.sizes[0] :], torch.zeros_like(self.mask[:, : self.sizes[0]])], 1)
            return self.mask & ~ahead
        last = torch.ones_like(self.terminated)
        if (again := going_on(self.sizes[1:])) is None:
            again = torch.arange(self.n_steps - self.sizes[-1])
        last[:, again] = False
        return last

    @property
    def steps(self) -> Packing:
        """Where the steps stand among padded episodes [B, T]."""
        shape = (self.sizes[0], len(self.sizes) - 1)
        times, places = rows_of(self.sizes[1:])
        index = torch.from_numpy(places * shape[1] + times).to(self.actions.device)
        return Packing(index=index, sizes=self.sizes[1:], shape=shape)

    def of_steps(self, x: Tensor) -> Tensor:
        """Those of all rows that are the steps' own: [1, R, ...] -> [1, P, ...]."""
        return x[:, : self.n_steps] if self.here is None else x.index_select(1, self.here)

    def ahead(self, x: Tensor) -> Tensor:
        """Those that follow the steps: [1, R, ...] -> [1, P, ...]."""
        return x[:, self.sizes[0] :]

    def last_actions(self, kind: Kind) -> Tensor:
        """As of an ``EpisodeBatch``: [1, R, A, U]."""
        dtype = torch.float32 if kind == "floats" else torch.uint8
        last = torch.zeros(self.available.shape, dtype=dtype, device=self.actions.device)
        self.ahead(last).scatter_(-1, self.actions.unsqueeze(-1), UNIT[kind])
        return last

    def to(self, device: torch.device | str) -> RowBatch:
        """Copy to a device (no copy where it already is)."""
        there = {name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **there)  # type: ignore[arg-type]


def going_on(sizes: list[int]) -> Tensor | None:
    """Rows of every time after which there is another one, int64; None where these are the first ones."""
    if sizes[0] == sizes[-1]:
        return None
    times, places = rows_of(sizes[1:])
    return torch.from_numpy(np.cumsum([0, *sizes[:-2]])[times] + places)


def rows_of(sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Time of every row, and its place among those of the time: two int64 [R]."""
    times = np.repeat(np.arange(len(sizes)), sizes)
    return times, np.arange(len(times)) - np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)


def _by_time(n_episodes: int, n_steps: int, device: torch.device) -> Tensor:
    """Numbers of the rows of [B, T], one time after the other: int64 [T * B]."""
    return torch.arange(n_episodes * n_steps, device=device).view(n_episodes, n_steps).t().flatten()


def _take(x: Tensor, index: Tensor) -> Tensor:
    return x.flatten(0, 1).index_select(0, index).unsqueeze(0)
