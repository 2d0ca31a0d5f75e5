"""A Sacred observer that writes files which stay readable whatever happens to the run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sacred.observers import RunObserver


class AtomicFileObserver(RunObserver):
    """Writes ``<basedir>/<id>/{config.json, run.json, cout.txt, metrics.jsonl, metrics.json, info.json}``.

    Use with ``SETTINGS.CAPTURE_MODE = "no"`` (the observer records stdout and stderr itself, line by line).

    Args:
        basedir: results/sacred/<name>/<map or key>.
        priority: Sacred calls observers with a higher priority first; the first one gives the run its id.
        capture: record stdout and stderr into cout.txt while the run lasts.
    """

    def __init__(self, basedir: str | Path, *, priority: int = 100, capture: bool = True) -> None:
        self.basedir = Path(basedir)
        self.priority = priority
        self.dir: Path | None = None  # the run's folder, known after started_event

    def prepare(self) -> None:
        """Make ``basedir``; call it before the run for a clean error (``started_event`` calls it too).

        Raises:
            UserError: the folder cannot be made or written.
        """
        raise NotImplementedError

    def record(self, values: Mapping[str, float], step: int, when: datetime) -> None:
        """Append one point per name to metrics.jsonl, on disk (page cache) when this returns."""
        raise NotImplementedError
