"""The points of a run, from its metrics.jsonl as it grows (or from metrics.json where there is no other)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirrors.follower import CopyFailed
from observers.tee import NewLines


class Unreadable(CopyFailed):
    """A run's files are not what they should be; the message names the file."""


@dataclass
class Column:
    """Points of one metric, in the order in which they were written; times are UTC without a zone, as Sacred's."""

    steps: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    timestamps: list[datetime] = field(default_factory=list)

    def __getitem__(self, part: slice) -> Column:
        return Column(self.steps[part], self.values[part], self.timestamps[part])

    def __len__(self) -> int:
        return len(self.steps)


class Points:
    """Reads on where it stopped before.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rewind()

    def rewind(self) -> None:
        """Begin anew."""
        self._lines = NewLines(self._folder / "metrics.jsonl")
        self._whole_read = False

    def read(self) -> dict[str, Column]:
        """Return some of the points that were not read before, by name; none where there are no more.

        Raises:
            OSError: the file cannot be read.
            Unreadable: metrics.json is damaged. (Lines of metrics.jsonl that are torn are left out.)
        """
        if (self._folder / "metrics.jsonl").exists():
            return _columns(self._lines.read())
        whole = self._folder / "metrics.json"
        if self._whole_read or not whole.exists():
            return {}
        unknown = datetime.fromtimestamp(whole.stat().st_mtime, UTC).replace(tzinfo=None)
        try:
            columns = {name: _column(found, unknown) for name, found in json.loads(whole.read_text()).items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"metrics.json is damaged ({error!r})") from error
        self._whole_read = True
        return columns


def _columns(lines: Iterable[bytes]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for line in lines:
        try:
            point = json.loads(line)
            name, step, value = point["name"], point["step"], point["value"]
            when = datetime.fromisoformat(point["timestamp"])
        except (ValueError, KeyError, TypeError):
            continue
        column = columns.setdefault(name, Column())
        column.steps.append(step)
        column.values.append(value)
        column.timestamps.append(when)
    return columns


def _column(found: Any, unknown: datetime) -> Column:
    steps, values = found["steps"], found["values"]
    stamps = found.get("timestamps")  # copies of src/publish.py have none
    times = [unknown] * len(steps) if stamps is None else [datetime.fromisoformat(stamp) for stamp in stamps]
    return Column(steps, values, times)
