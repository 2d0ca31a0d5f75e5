"""The points of a run: metrics.jsonl, which grows line by line, and metrics.json, the same by metric."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from observers.atomic import append, number, replace_file

GROWTH = 1.25  # metrics.json is rewritten when it has grown by this factor, so the work stays linear
SMALL = 2_000  # ... or at every heartbeat while it has fewer points


class MetricFiles:
    """Writes them as points come; what cannot be written waits. Every method may be called from any thread.

    Args:
        trouble: told of each error in writing.

    Attributes:
        dir: the run's folder; without one everything waits.
    """

    def __init__(self, trouble: Callable[[OSError], None]) -> None:
        self.dir: Path | None = None
        self._trouble = trouble
        self._columns: dict[str, dict[str, list]] = {}
        self._pending: list[str] = []  # lines that are not in metrics.jsonl yet
        self._to_skip: Counter[tuple[str, int]] = Counter()  # (name, step) on file, to come again by log
        self._points = 0
        self._points_in_json = 0
        self._lock = threading.RLock()

    def record(self, values: Mapping[str, float], step: int, stamp: str, *, again: bool) -> None:
        """Append one point per name; ``again``: they will come by :meth:`log` too."""
        with self._lock:
            if again:
                self._to_skip.update((name, step) for name in values)
            self._take((name, step, value, stamp) for name, value in values.items())

    def log(self, metrics_by_name: Mapping[str, Any]) -> None:
        """Take Sacred's columns, except points that :meth:`record` has written."""
        with self._lock:
            self._take(
                (name, step, value, when.isoformat())
                for name, column in metrics_by_name.items()
                for step, value, when in zip(column["steps"], column["values"], column["timestamps"], strict=True)
                if not self._skips(name, step)
            )

    def waiting(self) -> list[str]:
        """The lines of metrics.jsonl that still cannot be written, for a checkpoint to keep."""
        with self._lock:
            self._flush()
            return list(self._pending)

    def carry(self, lines: Iterable[str]) -> None:
        """Write what the run that is continued could not: its :meth:`waiting`, kept by the checkpoint."""
        points = [json.loads(line) for line in lines]
        values = [math.nan if point["value"] is None else point["value"] for point in points]
        with self._lock:
            self._take((p["name"], p["step"], value, p["timestamp"]) for p, value in zip(points, values, strict=True))

    def beat(self) -> None:
        """Try to write what waits, and metrics.json if it has grown enough."""
        with self._lock:
            self._flush()
            if self._points >= GROWTH * self._points_in_json or self._points < SMALL:
                self._write_json()

    def finish(self) -> int:
        """Write everything; returns how many points are in neither file."""
        with self._lock:
            self._flush()
            self._write_json()
            return len(self._pending) if self._points_in_json < self._points else 0

    def _skips(self, name: str, step: int) -> bool:
        left = self._to_skip.pop((name, step), 0)
        if left > 1:
            self._to_skip[name, step] = left - 1
        return left > 0

    def _take(self, points: Iterable[tuple[str, Any, Any, str]]) -> None:
        for name, step, value, stamp in points:
            value, step = number(value), number(step)
            column = self._columns.setdefault(name, {"steps": [], "values": [], "timestamps": []})
            column["steps"].append(step)
            column["values"].append(value)
            column["timestamps"].append(stamp)
            self._points += 1
            self._pending.append(json.dumps({"name": name, "step": step, "value": value, "timestamp": stamp}))
        self._flush()

    def _flush(self) -> None:
        if not self._pending or self.dir is None:
            return
        try:
            append(self.dir / "metrics.jsonl", ("\n".join(self._pending) + "\n").encode())
            self._pending = []
        except OSError as error:
            self._trouble(error)

    def _write_json(self) -> None:
        if self.dir is None or self._points == self._points_in_json:
            return
        try:
            names = sorted(self._columns)
            parts = (f"{json.dumps(name)}: {json.dumps(self._columns[name])}" for name in names)
            chunks = (("{\n" if i == 0 else ",\n") + part for i, part in enumerate(parts))
            replace_file(self.dir / "metrics.json", [*(chunk.encode() for chunk in chunks), b"\n}\n"])
            self._points_in_json = self._points
        except OSError as error:
            self._trouble(error)
