"""The numbers that other people's environments report in the last info of an episode: which are logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from core.registry import did_you_mean
from envs.workers.notices import say


class Numbers:
    """Columns that come into being when a name is first reported.

    Attributes:
        columns: name -> float32 [N]; NaN in slots whose episode did not report it, or goes on.
    """

    def __init__(self, n_envs: int, *, name: str, wanted: Sequence[str] | None, limit: int) -> None:
        """Without columns.

        Args:
            n_envs: N.
            name: what notices call the environment.
            wanted: names that are logged; None: all that there are, the first ``limit`` of them.
            limit: see there.
        """
        self.columns: dict[str, np.ndarray] = {}
        self._n_envs = n_envs
        self._name = name
        self._wanted = wanted
        self._limit = limit
        self._quiet = False

    def clear(self, slots: np.ndarray) -> None:
        """Forget the episodes of these slots (int64 [K])."""
        for column in self.columns.values():
            column[slots] = np.nan

    def store(self, slot: int, reported: Mapping[str, float]) -> None:
        """Take what an episode that ended has reported; says once, on standard error, what is not logged.

        What is not a number (nan, where nothing could be measured, or an infinity) counts as not reported.
        """
        left = []
        for key, value in reported.items():
            if not math.isfinite(value):
                continue
            if key not in self.columns and self._may_add(key):
                self.columns[key] = np.full(self._n_envs, np.nan, np.float32)
            if key in self.columns:
                self.columns[key][slot] = value
            else:
                left.append(key)
        notice = "" if self._quiet else self._notice(reported, left)
        if notice:
            self._quiet = True
            say(self._name, notice)

    def _may_add(self, key: str) -> bool:
        return len(self.columns) < self._limit if self._wanted is None else key in self._wanted

    def _notice(self, reported: Mapping[str, float], left: Sequence[str]) -> str:
        if self._wanted is not None:
            absent = next((key for key in self._wanted if key not in reported), None)
            if absent is None:
                return ""
            return (
                f"an episode's last info has no number '{absent}' (env_args.info_keys)."
                f"{did_you_mean(absent, reported)} It has: {_some(list(reported))}."
            )
        if not left:
            return ""
        return (
            f"of the numbers in an episode's last info {self._limit} are logged (env_args.info_limit), not "
            f"{_some(left)}. env_args.info_keys=[{left[0]}] would choose."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
