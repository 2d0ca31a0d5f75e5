"""A run as its folder tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.times import time_of

Series = tuple[np.ndarray, np.ndarray]
"""steps float64 [K] (increasing), values float64 [K] (NaN where the file has null)."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run as its folder tells it.

    Attributes:
        path: the folder.
        config: config.json.
        metrics: name -> :data:`Series`.
        status: of run.json, "" where that cannot be read.
        info: info.json, empty where that cannot be read.
        started: when its config was written, in seconds since 1970.
        entry: run.json, empty where that cannot be read.
        reached: the last step of any metric.
        faults: what of the folder could not be read, in words.
    """

    path: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Series]
    status: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0
    entry: Mapping[str, Any] = field(default_factory=dict)
    reached: float = 0.0
    faults: tuple[str, ...] = ()

    def setting(self, key: str) -> Any:
        """Return a setting by its dotted name, e.g. "env_args.n_agents"; None where it does not exist."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    @property
    def speed(self) -> float | None:
        """Environment steps per second of the whole run, tests included; None where run.json does not tell."""
        return speed(self.entry, self.info, self.reached)

    @property
    def environment(self) -> str:
        """Environment and map, key or game: "battle 3m"."""
        names = [self.setting(f"env_args.{key}") for key in ("map_name", "key", "game")]
        name = next(filter(None, names), "")
        words = [str(word) for word in (self.setting("env"), name) if word]
        return " ".join(words) or self.path.parent.name


def speed(entry: Mapping[str, Any], info: Mapping[str, Any], reached: float) -> float | None:
    """Environment steps per second, tests included; None where that cannot be known.

    Args:
        entry: run.json.
        info: info.json.
        reached: steps at the end; those before a resumed run are not its own.
    """
    began, ended = (time_of(entry.get(key)) for key in ("start_time", "stop_time"))
    ended = ended or time_of(entry.get("heartbeat"))
    first = info.get("resumed_at")
    steps = reached - (float(first) if isinstance(first, int | float) else 0.0)
    if began is None or ended is None or steps <= 0:
        return None
    seconds = (ended - began).total_seconds()
    return steps / seconds if seconds > 0 else None
