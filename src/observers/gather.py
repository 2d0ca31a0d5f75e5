"""Numbers of what is told, and the episodes between two writes of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data import EpisodeStats
from core.metrics import Later, now


def numbers(metrics: Mapping[str, float | Tensor | Later]) -> dict[str, float]:
    """Compute what comes later and make floats of all tensors, with one transfer per device and dtype.

    Raises:
        ValueError: a tensor has more than one element.
    """
    groups: dict[tuple[torch.device, torch.dtype], list[tuple[str, Tensor]]] = {}
    result: dict[str, float] = {}
    for key, metric in metrics.items():
        value = now(metric)
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(f"metric '{key}' has shape {tuple(value.shape)}; a metric is one number")
            groups.setdefault((value.device, value.dtype), []).append((key, value.detach().reshape(())))
            result[key] = 0.0  # keeps the order of the keys
        else:
            result[key] = float(value)
    for entries in groups.values():
        values = torch.stack([value for _, value in entries]).tolist()
        result |= {key: float(value) for (key, _), value in zip(entries, values, strict=True)}
    return result


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
