"""What gathers between two writes of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data import EpisodeStats

FOLD = 256  # training iterations whose tensors are kept before they become numbers


def numbers(metrics: Sequence[Mapping[str, float | Tensor]]) -> list[dict[str, float]]:
    """Make floats of all tensors (one element each), with one transfer per device and dtype.

    Raises:
        ValueError: a tensor has more than one element.
    """
    groups: dict[tuple[torch.device, torch.dtype], list[tuple[int, str, Tensor]]] = {}
    result: list[dict[str, float]] = [{} for _ in metrics]
    for i, row in enumerate(metrics):
        for key, value in row.items():
            if isinstance(value, Tensor):
                if value.numel() != 1:
                    raise ValueError(f"metric '{key}' has shape {tuple(value.shape)}; a metric is one number")
                groups.setdefault((value.device, value.dtype), []).append((i, key, value.detach().reshape(())))
                result[i][key] = 0.0  # keeps the order of the keys
            else:
                result[i][key] = float(value)
    for entries in groups.values():
        for (i, key, _), value in zip(entries, torch.stack([entry[2] for entry in entries]).tolist(), strict=True):
            result[i][key] = float(value)
    return result


class Means:
    """Sums of metrics since the last write; sums go left to right, so a saved half continues bit for bit."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, float | Tensor]] = []
        self._sums: dict[str, list[float]] = {}  # key -> [sum, count]

    def add(self, metrics: Mapping[str, float | Tensor]) -> None:
        """Keep one iteration's metrics; no synchronisation but every ``FOLD`` calls, which bounds memory."""
        self._rows.append(dict(metrics))
        if len(self._rows) >= FOLD:
            self._fold()

    def _fold(self) -> None:
        for row in numbers(self._rows):
            for key, value in row.items():
                entry = self._sums.setdefault(key, [0.0, 0])
                entry[0] += value
                entry[1] += 1
        self._rows = []

    def take(self) -> dict[str, float]:
        """Return the mean of every key over the iterations that had it, and start anew."""
        self._fold()
        means = {key: total / count for key, (total, count) in self._sums.items()}
        self._sums = {}
        return means

    def state_dict(self) -> dict[str, list[float]]:
        """Key -> [sum, count]."""
        self._fold()
        return {key: list(entry) for key, entry in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self._rows = []
        self._sums = {key: [float(total), int(count)] for key, (total, count) in state.items()}


class Episodes:
    """Episodes finished since the last write."""

    def __init__(self) -> None:
        self._stats: list[EpisodeStats] = []

    def add(self, stats: EpisodeStats) -> None:
        """Keep a set of episodes."""
        self._stats.append(stats)

    def _joined(self) -> EpisodeStats:
        if len(self._stats) != 1:
            teams = self._stats[0].returns if self._stats else {}
            keys = dict.fromkeys(key for stats in self._stats for key in stats.info)
            self._stats = [
                EpisodeStats(
                    returns={team: np.concatenate([stats.returns[team] for stats in self._stats]) for team in teams},
                    lengths=np.concatenate([np.zeros(0, np.int64), *(stats.lengths for stats in self._stats)]),
                    info={key: np.concatenate([_column(stats, key) for stats in self._stats]) for key in keys},
                    dropped=sum(stats.dropped for stats in self._stats),
                )
            ]
        return self._stats[0]

    def take(self) -> dict[str, float]:
        """Return the summary of all episodes, and start anew; empty if there was nothing."""
        summary = summarise(self._joined()) if self._stats else {}
        self._stats = []
        return summary

    def state_dict(self) -> dict[str, Any] | None:
        """Return the episodes' arrays, or None."""
        return dict(vars(self._joined())) if self._stats else None

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restore what :meth:`state_dict` gave."""
        self._stats = [] if state is None else [EpisodeStats(**state)]


def _column(stats: EpisodeStats, key: str) -> np.ndarray:
    return stats.info[key] if key in stats.info else np.full(len(stats.lengths), np.nan)


def summarise(stats: EpisodeStats) -> dict[str, float]:
    """Return the metrics of a set of episodes, under EPyMARL's names.

    ``return_mean`` and ``return_std`` (population) are over episodes; where every agent has its own reward the
    return of an episode is the sum over agents, and ``agent_{i}_return_mean`` is each one's own. With several teams
    these carry the team's name in front (``prey_return_mean``). ``ep_length_mean``, ``<info key>_mean`` and
    ``dropped_episodes`` belong to all teams; an info key counts in the episodes that report it, and gives way to a
    metric of its name; one that begins with ``test_`` gets ``info_`` in front. Without any finished episode only
    ``dropped_episodes`` is given.
    """
    values: dict[str, float] = {}
    if len(stats.lengths):
        for name, column in columns(stats).items():
            reported = column[~np.isnan(column)]
            if len(reported):
                values[f"{name}_mean"] = float(reported.mean())
            if name in _team_returns(stats):
                values[f"{name}_std"] = float(column.std())
    values["dropped_episodes"] = float(stats.dropped)
    return values


def columns(stats: EpisodeStats) -> dict[str, np.ndarray]:
    """What :func:`summarise` gives means of: name without "_mean" -> float64 [E], NaN where it was not reported."""
    found: dict[str, np.ndarray] = {}
    for name, returns in _team_returns(stats).items():
        found[name] = returns.sum(axis=1)  # [E, R'] -> [E]
        if returns.shape[1] > 1:
            found |= {f"{name.removesuffix('return')}agent_{i}_return": one for i, one in enumerate(returns.T)}
    found["ep_length"] = stats.lengths.astype(float)
    for key, column in stats.info.items():
        front = "info_" if key.startswith("test_") else ""  # test_return would be taken for a test's
        found.setdefault(front + key, column)
    return found


def _team_returns(stats: EpisodeStats) -> dict[str, np.ndarray]:
    """Name of a team's return -> [E, R']."""
    return {f"{team}_return" if len(stats.returns) > 1 else "return": one for team, one in stats.returns.items()}
