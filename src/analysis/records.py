"""A run as its folder tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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
    def environment(self) -> str:
        """Environment and map, key or game: "battle 3m"."""
        names = [self.setting(f"env_args.{key}") for key in ("map_name", "key", "game")]
        name = next(filter(None, names), "")
        words = [str(word) for word in (self.setting("env"), name) if word]
        return " ".join(words) or self.path.parent.name
