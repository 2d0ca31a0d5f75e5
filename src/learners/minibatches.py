"""Episodes in minibatches, each of which lies in memory as one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from core.data import EpisodeBatch

Rows = Tensor | slice
EVERY = slice(None)


def draw(n_episodes: int, n: int, generator: torch.Generator, device: torch.device) -> Sequence[Rows]:
    """Every episode in exactly one of n minibatches, in random order; all of them at once where n is 1."""
    if n == 1:
        return [EVERY]
    return torch.randperm(n_episodes, generator=generator, device=device).tensor_split(n)


def minibatches(x: Any, rows: Sequence[Rows]) -> list[Any]:
    """A tensor, or every tensor of a dataclass or a tuple, in parts: laid out once, then cut.

    Args:
        x: axis 0 of its tensors is of episodes; what is neither stays as it is.
        rows: those of every part, int64; all of them for a slice, which stands alone.
    """
    if isinstance(rows[0], slice):
        return [x]
    return _parts(x, torch.cat(list(rows)), [len(part) for part in rows])  # type: ignore[arg-type]


def _parts(x: Any, order: Tensor, sizes: list[int]) -> list[Any]:
    if isinstance(x, Tensor):
        return list(x.index_select(0, order).split(sizes))
    if isinstance(x, tuple):
        columns = [_parts(value, order, sizes) for value in x]
        return [tuple(column[k] for column in columns) for k in range(len(sizes))]
    if not hasattr(x, "__dataclass_fields__"):
        return [x] * len(sizes)
    named = {field.name: _parts(getattr(x, field.name), order, sizes) for field in fields(x)}
    parts = [replace(x, **{name: column[k] for name, column in named.items()}) for k in range(len(sizes))]
    if isinstance(x, EpisodeBatch):
        _hand_down(x, parts, order, sizes)
    return parts


def _hand_down(batch: EpisodeBatch, parts: list[EpisodeBatch], order: Tensor, sizes: list[int]) -> None:
    """Give the parts of a batch what readers have made of it already, where that is a row for every episode."""
    if batch.packing is not None:
        return
    for reader, made in batch.kept.items():
        if isinstance(made, Tensor) and len(made) == batch.n_episodes:  # not packed agent by agent
            for part, own in zip(parts, _parts(made, order, sizes), strict=True):
                part.kept[reader] = own
