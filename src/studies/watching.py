"""What the runs of a set are doing, read from the files that they write as they go: they may be on any machine."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from observers.importance import returns, successes
from observers.tee import NewLines
from studies.runs import News, Run

WINDOW = 120.0  # seconds over which a speed is measured
LEAST = 2.0  # ... at least
OVER = ("completed", "failed", "stopped")


@dataclass
class Row:
    """One run.

    Attributes:
        state: as :class:`studies.runs.News` has it; a run that is placed is "running" when it has its folder.
        steps: environment steps so far.
        speed: steps a second, tests included; None where too little is known.
        latest: the last value of every metric.
        kept: (steps, value) of one metric.
        text: how it ended, or why it waits.
    """

    run: Run
    t_max: int
    state: str = "waiting"
    steps: int = 0
    speed: float | None = None
    latest: dict[str, float] = field(default_factory=dict)
    kept: list[tuple[int, float]] = field(default_factory=list)
    text: str = ""
    folder: Path | None = None
    command: str = ""
    metrics: NewLines | None = None
    marks: deque[tuple[float, int]] = field(default_factory=deque)  # (seconds, steps)

    @property
    def left(self) -> float | None:
        """Seconds to come, None where that cannot be known."""
        return (self.t_max - self.steps) / self.speed if self.speed and self.state not in OVER else None

    @property
    def test(self) -> str:
        """Name of the metric that counts; empty before the first test."""
        tests = [name for name in self.latest if name.startswith("test_")]
        return next(iter(successes(dict.fromkeys(tests, 0.0)) or returns(dict.fromkeys(tests, 0.0))), "")


class Watch:
    """Follows runs; may be called from any thread.

    Args:
        results: their folder.
        t_max: run -> its environment steps.
        keep: a metric of which all values are kept.
    """

    def __init__(self, results: Path, t_max: Mapping[Run, int], *, keep: str = "") -> None:
        self._keep = keep
        self._results = results.resolve()
        self._lock = threading.Lock()
        self.rows = {run: Row(run, steps) for run, steps in t_max.items()}
        self._known = set(self._folders())

    def _folders(self) -> Iterable[Path]:
        return self._results.glob("sacred/*/*/[0-9]*")

    def add(self, run: Run, t_max: int) -> None:
        """Follow another run."""
        with self._lock:
            self.rows[run] = Row(run, t_max)

    def hear(self, news: News) -> None:
        """Take what has happened to a run."""
        with self._lock:
            row = self.rows[news.run]
            row.state, row.text = news.state, news.text
            if news.state == "placed":
                row.command = shlex.join(["python", "src/main.py", *news.command[2:]])
                row.folder, row.metrics, row.speed = None, None, None
                row.marks.clear()
                saved = [Path(word).name for word in news.command if word.startswith("resume=")]
                row.steps = max([row.steps, *(int(step) for step in saved if step.isdecimal())])
            elif news.state == "completed":
                row.steps = row.t_max
                self._read(row)

    def look(self) -> None:
        """Read what is new."""
        with self._lock:
            going_on = [row for row in self.rows.values() if row.state in ("placed", "running")]
            if any(row.folder is None for row in going_on):
                self._find({row.command: row for row in going_on if row.folder is None})
            for row in going_on:
                self._read(row)

    def _find(self, rows: Mapping[str, Row]) -> None:
        """Find the folders of runs by the command lines that they recorded."""
        for folder in set(self._folders()) - self._known:
            with contextlib.suppress(OSError, ValueError, KeyError):  # as it is when a run has just begun
                command = json.loads((folder / "info.json").read_text())["provenance"]["command"]
                self._known.add(folder)
                if command in rows:
                    row = rows[command]
                    row.folder, row.metrics, row.state = folder, NewLines(folder / "metrics.jsonl"), "running"

    def _read(self, row: Row) -> None:
        """Read the lines that were added to a run's metrics."""
        if row.metrics is None:
            return
        with contextlib.suppress(OSError):
            while lines := row.metrics.read():
                for line in lines:
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        self._take(row, json.loads(line))

    def _take(self, row: Row, point: Mapping) -> None:
        steps, when = int(point["step"]), datetime.fromisoformat(point["timestamp"]).timestamp()
        row.latest[point["name"]] = float("nan") if point["value"] is None else float(point["value"])
        row.steps = max(row.steps, steps)
        if point["name"] == self._keep:
            row.kept.append((steps, row.latest[self._keep]))
        if not row.marks or steps > row.marks[-1][1]:
            row.marks.append((when, steps))
        while len(row.marks) > 2 and when - row.marks[1][0] > WINDOW:
            row.marks.popleft()
        (then, before), (now, after) = row.marks[0], row.marks[-1]
        if now - then >= LEAST:
            row.speed = (after - before) / (now - then)
