"""Runs on file: which of them have given settings, and which are still going on.

What are compared are the settings that a run resolves to now with those on record, so that a changed default or YAML
file makes another run of it, and so does a new version of the environment.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.records import speed
from core.comparing import FREE, PLACES, TOLD, different, flattened
from core.processes import has_ended
from training.options import Options
from training.provenance import environment, same_environment

NOT_COMPARED = (FREE - {"t_max"}) | PLACES | TOLD | {"resume", "load_step"}
FIRST = ("name", "env", "seed")  # compared before all others are
QUIET = 45.0  # seconds without a heartbeat (Sacred's come every ten) after which a run goes on no more


@dataclass(frozen=True)
class Filed:
    """A run on file.

    Attributes:
        environment: what was played; None where that was not recorded.
        speed: steps a second with tests and all, of a completed run; None where the files do not tell.
    """

    folder: Path
    status: str
    config: dict[str, Any]
    environment: dict[str, Any] | None
    speed: float | None = None


@dataclass(frozen=True)
class Wanted:
    """What a run would be now.

    Attributes:
        settings: as they are recorded.
        asked: keys that are asked for, or are not as built in.
        environment: what is played.
    """

    settings: dict[str, Any]
    asked: frozenset[str]
    environment: dict[str, Any]

    @classmethod
    def of(cls, options: Options, words: Sequence[str]) -> Wanted:
        """Of what was chosen, with these words."""
        asked = {word.partition("=")[0] for word in words} | options.given()
        return cls(options.flat(), frozenset(asked), environment(options))

    @property
    def key(self) -> str:
        """Equal for runs that compute the same."""
        compared = {key: value for key, value in flattened(self.settings).items() if key not in NOT_COMPARED}
        return json.dumps([compared, self.environment], sort_keys=True)

    def is_in(self, one: Filed) -> bool:
        """Whether a run on file has these settings and this environment."""
        if any(one.config.get(key) != self.settings[key] for key in FIRST):
            return False
        return same_environment(one.environment, self.environment) and not self._changed(one.config)

    def _changed(self, config: dict[str, Any]) -> set[str]:
        """Settings that differ; one that came after that run counts only where it is asked for, or not as built in."""
        later = flattened(self.settings).keys() - flattened(config).keys() - self.asked
        found = different(config, self.settings).keys() - NOT_COMPARED
        return found - {key for key in later if not key.endswith(".plays")}


class Files:
    """Runs below some folders; files that have not changed are read once."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._read: dict[Path, tuple[tuple[int, ...], Filed]] = {}

    def same(self, wanted: Wanted) -> list[Filed]:
        """Return those with these settings, in each folder the newest last."""
        return [one for one in self.every() if wanted.is_in(one)]

    def every(self) -> Iterator[Filed]:
        """Return all, in each folder the newest last; what is being written or is torn is left out."""
        for place in self._places:
            dated = []
            for path in place.glob("sacred/*/*/*/run.json"):
                with contextlib.suppress(OSError):
                    dated.append((path.stat().st_mtime_ns, path))
            for _, path in sorted(dated):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    yield self._one(path)

    def _one(self, path: Path) -> Filed:
        config, info = path.with_name("config.json"), path.with_name("info.json")
        stamp = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in (path, config, info))
        if path not in self._read or self._read[path][0] != stamp:
            entry, settings = json.loads(path.read_text()), json.loads(config.read_text())
            told = json.loads(info.read_text()) if info.exists() else {}
            made = told.get("provenance", {}).get("environment")
            done = entry["status"] == "COMPLETED"
            fast = speed(entry, told, float(settings.get("t_max") or 0)) if done else None
            one = Filed(path.parent, entry["status"], settings, made, fast)
            self._read[path] = stamp, one
        return self._read[path][1]


def _process(folder: Path) -> dict[str, Any]:
    """Who plays a run; nothing where that is not recorded."""
    try:
        return dict(json.loads((folder / "info.json").read_text())["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


class Heartbeats:
    """Whether runs that are on file as RUNNING really go on.

    Args:
        mark: a file on the same disk, whose time is compared with theirs (clocks of machines differ).
        clock: seconds, never going back.
    """

    def __init__(self, mark: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._mark, self._clock = mark, clock
        self._seen: dict[Path, tuple[int, float]] = {}  # folder -> last beat, when it was seen first

    def of(self, folder: Path) -> bool:
        """Whether a run has had a heartbeat lately; what has none is gone, and what certainly is needs no waiting."""
        if has_ended(_process(folder)):
            return False
        try:
            beat = (folder / "run.json").stat().st_mtime_ns
            self._mark.touch()
            age = (self._mark.stat().st_mtime_ns - beat) / 1e9
        except OSError:
            return False
        if folder not in self._seen or self._seen[folder][0] != beat:
            self._seen[folder] = beat, self._clock() - max(0.0, age)
        return self._clock() - self._seen[folder][1] < QUIET
