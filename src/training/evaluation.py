"""What an evaluation (``evaluate=True``) says, and the file that it writes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.data import EpisodeStats
from core.errors import UserError
from observers.atomic import number, replace_file
from training.options import ExperimentSettings

FORMATS = (".json", ".csv")


def check_out(path: Path, settings: ExperimentSettings) -> None:
    """Check that the results can be written to ``path``; makes its folder.

    Raises:
        UserError: nothing is evaluated, another format, or the folder cannot be made.
    """
    if not settings.evaluate:
        raise UserError(f"--out {path} is for evaluate=True; a training run's results are in its folder (src/plot.py).")
    if path.suffix not in FORMATS:
        raise UserError(f"--out {path} must end in {' or '.join(FORMATS)}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def title(played: Mapping[str, EpisodeStats], settings: ExperimentSettings) -> str:
    """How many episodes were played how, with which seed: "100 greedy episodes with seed 1"."""
    counts = [
        f"{len(stats.lengths)} {'greedy' if settings.test_greedy and kind == 'test_' else 'sampled'}"
        for kind, stats in played.items()
    ]
    return f"{' and '.join(counts)} episodes with seed {settings.seed}"


def write(
    path: Path,
    played: Mapping[str, EpisodeStats],
    metrics: Mapping[str, float],
    *,
    settings: ExperimentSettings,
    about: Mapping[str, Any],
) -> None:
    """Write the results: a JSON object with the metrics in "metrics", or a CSV heading and one line.

    Args:
        path: .json or .csv; what was there is replaced.
        played: "test_" and, if sampled tests were asked for, "test_sampled_" -> their episodes.
        metrics: name -> value.
        settings: of the evaluation.
        about: what else identifies it; comes first.

    Raises:
        UserError: it cannot be written.
    """
    row = {**about, "name": settings.name, "env": settings.env, "seed": settings.seed}
    row |= {"episodes": len(next(iter(played.values())).lengths)}
    values = {key: number(value) for key, value in sorted(metrics.items())}
    text = io.StringIO()
    if path.suffix == ".json":
        json.dump({**row, "metrics": values}, text, indent=2)
        text.write("\n")
    else:
        writer = csv.DictWriter(text, [*row, *values], lineterminator="\n")
        writer.writeheader()
        writer.writerow({**row, **values})
    try:
        replace_file(path, [text.getvalue().encode()])
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"The results cannot be written to '{path}': {error.strerror}. Choose another --out.")
