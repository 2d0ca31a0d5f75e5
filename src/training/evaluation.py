"""What an evaluation (``evaluate=True``) says, and the files that it writes."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from core.data import EpisodeStats
from core.errors import UserError
from core.intervals import interval
from observers.atomic import number, replace_file
from observers.gather import columns
from training.options import ExperimentSettings

FORMATS = (".json", ".csv")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one run's evaluation found.

    Attributes:
        about: what identifies it: "checkpoint", "step", "task".
        settings: of the evaluation.
        played: "test_" and, if sampled tests were asked for, "test_sampled_" -> their episodes.
        metrics: name -> value.
    """

    about: Mapping[str, Any]
    settings: ExperimentSettings
    played: Mapping[str, EpisodeStats]
    metrics: Mapping[str, float]

    @property
    def title(self) -> str:
        """How many episodes were played how, with which seed: "100 greedy episodes with seed 1"."""
        counts = [f"{len(stats.lengths)} {self._how(kind)}" for kind, stats in self.played.items()]
        return f"{' and '.join(counts)} episodes with seed {self.settings.seed}"

    def _how(self, kind: str) -> str:
        return "greedy" if self.settings.test_greedy and kind == "test_" else "sampled"

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Name of a mean over episodes -> its 95% bootstrap interval; nothing where fewer than two report it."""
        found = {}
        for kind, stats in self.played.items():
            for name, column in columns(stats).items():
                reported = column[~np.isnan(column)]
                if len(reported) > 1:
                    low, high = interval(reported[:, None])
                    found[f"{kind}{name}_mean"] = (float(low[0]), float(high[0]))
        return found

    @property
    def row(self) -> dict[str, Any]:
        """What identifies it, with the run's algorithm and environment."""
        s = self.settings
        about = {**self.about, "name": s.name, "env": s.env, "seed": s.seed}
        return about | {"episodes": len(next(iter(self.played.values())).lengths)}

    def episodes(self) -> Iterator[dict[str, Any]]:
        """A row for every episode: its number, how it was played, and what :func:`observers.gather.columns` has."""
        for kind, stats in self.played.items():
            found = columns(stats)
            for k in range(len(stats.lengths)):
                values = {name: number(float(column[k])) for name, column in found.items()}
                yield {"episode": k, "policy": self._how(kind), **values}


class Report:
    """The files of one evaluation or several, written anew after each.

    Args:
        out: .json or .csv, a row for every evaluation; None for none.
        episodes: .csv, a row for every episode; likewise.
        several: a list in the JSON file, and the run in the table of episodes.
    """

    def __init__(
        self, out: str | Path | None = None, *, episodes: str | Path | None = None, several: bool = False
    ) -> None:
        self.out, self.table = (None if path is None else Path(path) for path in (out, episodes))
        self.several = several
        self.found: list[Evaluation] = []

    def check(self, settings: ExperimentSettings) -> None:
        """Check that the files can be written; makes their folders.

        Raises:
            UserError: nothing is evaluated, another format, or a file could not be written.
        """
        for option, path, formats in (("--out", self.out, FORMATS), ("--csv", self.table, (".csv",))):
            if path is None:
                continue
            if not settings.evaluate:
                raise UserError(
                    f"{option} {path} is for evaluate=True; a training run's results are in its folder (src/plot.py)."
                )
            if path.suffix not in formats:
                raise UserError(f"{option} {path} must end in {' or '.join(formats)}.")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                with TemporaryFile(dir=path.parent):  # not after all episodes have been played
                    pass
            except OSError as error:
                raise _unwritable(path, error, option) from error

    def add(self, evaluation: Evaluation) -> list[Path]:
        """Write the files with one more evaluation: a JSON object (or several in a list), or a CSV heading and lines.

        Returns:
            the files.

        Raises:
            UserError: one cannot be written.
        """
        self.found.append(evaluation)
        if self.out is not None:
            _write(self.out, self._as_json() if self.out.suffix == ".json" else self._as_csv(), "--out")
        if self.table is not None:
            runs = (({"run": one.about["checkpoint"]} if self.several else {}, one) for one in self.found)
            _write(self.table, _csv([run | row for run, one in runs for row in one.episodes()]), "--csv")
        return [path for path in (self.out, self.table) if path is not None]

    def _as_json(self) -> str:
        objects = [
            {**one.row, "metrics": _finite(one.metrics), "intervals": dict(sorted(one.intervals.items()))}
            for one in self.found
        ]
        return json.dumps(objects if self.several else objects[0], indent=2) + "\n"

    def _as_csv(self) -> str:
        rows = []
        for one in self.found:
            rows.append(one.row | _finite(one.metrics))
            for name, bounds in sorted(one.intervals.items()):
                rows[-1] |= dict(zip((f"{name}_low", f"{name}_high"), bounds, strict=True))
        return _csv(rows)


def _finite(metrics: Mapping[str, float]) -> dict[str, Any]:
    return {key: number(value) for key, value in sorted(metrics.items())}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str, option: str) -> None:
    try:
        replace_file(path, [text.encode()])
    except OSError as error:
        raise _unwritable(path, error, option) from error


def _unwritable(path: Path, error: OSError, option: str) -> UserError:
    return UserError(f"The results cannot be written to '{path}': {error.strerror}. Choose another {option}.")
