"""Which of the runs found are wanted: by settings, by words of the algorithm's or the environment's name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from analysis.records import RunRecord
from core.comparing import flattened
from core.errors import UserError
from core.registry import did_you_mean

ABSENT = object()


def select(
    runs: Sequence[RunRecord],
    *,
    where: Sequence[str] = (),
    exclude: Sequence[str] = (),
    algorithms: Sequence[str] = (),
    environments: Sequence[str] = (),
) -> list[RunRecord]:
    """Keep what is asked for.

    Args:
        runs: any runs.
        where: ``key=value`` words; a run has the value of every key, or one of those given for it.
        exclude: ``key=value`` words; a run has none of them.
        algorithms: a run's algorithm has one of these in its name.
        environments: its environment ("battle 3m") has one of these in its name.

    Raises:
        UserError: a word is not ``key=value``, no run has the setting, or nothing is left.
    """
    kept = _named(runs, algorithms, [str(run.setting("name")) for run in runs], "algorithm")
    kept = _named(kept, environments, [run.environment for run in kept], "environment")
    asked: dict[str, list[str]] = {}
    for word in where:
        key, text = _read(word, "--where", runs)
        asked.setdefault(key, []).append(text)
    for key, texts in asked.items():
        known = {_shown(_setting(run, key)) for run in kept} - {_shown(ABSENT)}
        kept = [run for run in kept if any(_is(_setting(run, key), text) for text in texts)]
        if not kept:
            values = ", ".join(sorted(known)) or "none"
            raise UserError(f"No run has {key}={' or '.join(texts)}. There are: {values}.")
    for key, text in [_read(word, "--exclude", runs) for word in exclude]:
        kept = [run for run in kept if not _is(_setting(run, key), text)]
    if not kept:
        raise UserError(f"--exclude {' '.join(exclude)} leaves no run.")
    return kept


def check_keys(keys: Iterable[str], runs: Sequence[RunRecord]) -> None:
    """Raise UserError, with the nearest name, if no run has one of the settings."""
    known = {key for run in runs for key in (*run.config, *flattened(run.config))}
    for key in keys:
        if key not in known and all(run.setting(key) is None for run in runs):
            raise UserError(f"No run has the setting '{key}'.{did_you_mean(key, known)}")


def _named(runs: Sequence[RunRecord], parts: Sequence[str], names: Sequence[str], kind: str) -> list[RunRecord]:
    if not parts:
        return list(runs)
    kept = [run for run, name in zip(runs, names, strict=True) if any(part in name for part in parts)]
    if not kept:
        raise UserError(f"No {kind} has {' or '.join(parts)} in its name. There are: {', '.join(sorted({*names}))}.")
    return kept


def _read(word: str, option: str, runs: Sequence[RunRecord]) -> tuple[str, str]:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise UserError(f"Cannot read {option} '{word}': give key=value, e.g. {option} env_args.n_agents=3.")
    check_keys([key], runs)
    return key, text


def _setting(run: RunRecord, key: str) -> Any:
    return flattened(run.config).get(key, run.config.get(key, ABSENT))


def _is(value: Any, text: str) -> bool:
    """Whether a setting has the value that a text names: 0.001 and 1e-3, true and True are the same."""
    if value is ABSENT:
        return False
    if value is None:
        return text.lower() in ("none", "null")
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == value or _shown(value).replace(" ", "") == text.replace(" ", "").replace("'", '"')


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value)
