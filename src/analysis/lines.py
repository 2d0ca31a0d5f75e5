"""Which runs are one line of a picture: panels are tasks, lines are algorithms with their settings, seeds are distinct.

What runs differ in decides. A task is an environment with the ``env_args`` that differ among its runs; a line is an
algorithm, against the same players, with the settings that differ among its runs of a task. What cannot matter is
not compared (:data:`core.comparing.SAME_LINE`).
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.records import RunRecord
from core.comparing import SAME_LINE, flattened

VERSION = "version"  # of the environment, where it is on record
TASK = ("env_args.", "common_reward", "reward_scalarisation", VERSION)  # the two in the middle change what a return is
MOST_NAMED = 3  # settings that are named of every line; of more, what is usual is left out
MOST_WORDS = 4  # in a label

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Line:
    """Runs that a picture shows as one.

    Attributes:
        panel, group: its labels.
        runs: in the order of their seeds.
    """

    panel: str
    group: str
    runs: tuple[RunRecord, ...]

    @property
    def seeds(self) -> tuple[str, ...]:
        """The seed of every run; one whose seed is not on record has one of its own."""
        return tuple(_seed(run) for run in self.runs)


def sort_runs(runs: Sequence[RunRecord], *, group_by: Sequence[str] = (), panel_by: Sequence[str] = ()) -> list[Line]:
    """Sort runs into lines, ordered by panel and group.

    Args:
        runs: any runs.
        group_by: settings whose values make a line; empty for algorithms and what they differ in.
        panel_by: settings whose values make a panel; empty for tasks.
    """
    own = _with_versions(runs)
    lacking: dict[str, str] = {}
    panels = [_words(run, panel_by) for run in runs] if panel_by else _tasks(runs, own, lacking)
    if group_by:
        groups = [_words(run, group_by) for run in runs]
    else:
        if not panel_by:
            own = [_without(settings, TASK) for settings in own]
        groups = _algorithms(runs, panels, own, lacking)
    lines: dict[tuple[str, str], list[RunRecord]] = {}
    for run, panel, group in zip(runs, panels, groups, strict=True):
        lines.setdefault((panel, group), []).append(run)
    if lacking:
        values = some([f"{key}={value}" for key, value in lacking.items()])
        _tell(
            f"some runs lack settings that the others have alike ({values}): of an older version? They are not parted"
        )
    ordered = sorted(lines.items(), key=lambda item: tuple(map(_natural, item[0])))
    made = [Line(panel=panel, group=group, runs=_by_seed(members)) for (panel, group), members in ordered]
    if group_by or panel_by:
        _tell_merged(made)
    return made


def distinct(line: Line, reached: Callable[[RunRecord], float]) -> tuple[Line, list[tuple[RunRecord, RunRecord]]]:
    """Keep one run of each seed and setting: the one that came furthest, of these a completed one, the newest.

    Returns:
        the line, and (run left out, run that counts) of every repetition.
    """
    settings = [_compared(run) for run in line.runs]
    parts = _differing(settings)
    same = _sorted_by(
        json.dumps([seed, [_plain(one.get(part)) for part in parts]])
        for seed, one in zip(line.seeds, settings, strict=True)
    )
    kept, repeated = [], []
    for places in same.values():
        *others, best = sorted(
            (line.runs[i] for i in places), key=lambda run: (reached(run), run.status == "COMPLETED", run.started)
        )
        kept.append(best)
        repeated += [(run, best) for run in others]
    return Line(panel=line.panel, group=line.group, runs=_by_seed(kept)), repeated


# -- tasks and algorithms --------------------------------------------------------------------------------------------


def _tasks(runs: Sequence[RunRecord], own: Sequence[Settings], lacking: dict[str, str]) -> list[str]:
    """The panel of every run: its environment and the arguments in which runs of it differ."""
    labels = [""] * len(runs)
    for environment, members in _sorted_by(run.environment for run in runs).items():
        task = [{key: value for key, value in own[i].items() if key.startswith(TASK)} for i in members]
        for i, label in zip(members, _labels(environment, task, _differing(task, lacking)), strict=True):
            labels[i] = label
    return labels


def _algorithms(
    runs: Sequence[RunRecord], panels: Sequence[str], own: Sequence[Settings], lacking: dict[str, str]
) -> list[str]:
    """The line of every run: its algorithm, who plays the other teams, and what its runs differ in."""
    players = [{key: value for key, value in settings.items() if _is_player(key)} for settings in own]
    shown = _differing(players)  # one that no run of a task has is a difference, too
    labels = [""] * len(runs)
    untold: dict[str, list[str]] = {}
    kinds = _sorted_by(json.dumps([run.setting("name"), players[i]], sort_keys=True) for i, run in enumerate(runs))
    for members in kinds.values():
        name = str(runs[members[0]].setting("name") or "unnamed")
        first = ", ".join(
            [name, *(_word(key, players[members[0]][key]) for key in shown if key in players[members[0]])]
        )
        rest = [own[i] for i in members]
        places = _sorted_by(panels[i] for i in members).values()
        keys = list(dict.fromkeys(key for place in places for key in _differing([rest[i] for i in place], lacking)))
        for i, label in zip(members, _labels(first, rest, keys), strict=True):
            labels[i] = label
        other = [key for key in _differing(rest) if key not in keys]
        untold |= {first: other} if other else {}
    if untold:
        which = "; ".join(f"{first}: {some(keys)}" for first, keys in untold.items())
        _tell(f"settings that differ from panel to panel are not in the legend ({which})")
    return labels


def _differing(settings: Sequence[Settings], lacking: dict[str, str] | None = None) -> list[str]:
    """Settings with more than one value. One that some lack and the others have alike came later: not a difference.

    Who plays a team is one nevertheless: without it --config's algorithm does.
    """
    found = []
    for key in dict.fromkeys(key for one in settings for key in one):
        if _alike(settings, key):
            continue
        values = {json.dumps(_plain(one[key])): one[key] for one in settings if key in one}
        missing = not all(key in one for one in settings)
        if len(values) > 1 or (missing and _is_player(key)):
            found.append(key)
        elif missing and lacking is not None:
            lacking[key] = str(*values.values())
    return found


def _alike(settings: Sequence[Settings], key: str) -> bool:
    """Whether all have a setting and its value and kind are the same: quick, and mostly so."""
    if not all(key in one for one in settings):
        return False
    first = settings[0][key]
    return all(type(one[key]) is type(first) and one[key] == first for one in settings)


def _labels(first: str, settings: Sequence[Settings], keys: Sequence[str]) -> list[str]:
    """One label for each different set of values of ``keys``, short where there are many."""
    usual: dict[str, str] = {}
    if len(keys) > MOST_NAMED:
        for key in keys:
            counts = Counter(json.dumps(_plain(one[key])) for one in settings if key in one)
            usual[key] = counts.most_common(1)[0][0]
        values = {(key, json.dumps(_plain(value))): value for one in settings for key, value in one.items()}
        told = [_word(key, values[key, value]) for key, value in usual.items()]
        _tell(f"{first}: where a label does not say otherwise, {some(told)}")
    taken: dict[str, str] = {}  # label -> whose values
    labels = []
    for one in settings:
        own = {key: json.dumps(_plain(one[key])) for key in keys if key in one}
        words = [_word(key, one[key]) for key, value in own.items() if usual.get(key) != value]
        if len(words) > MOST_WORDS:
            words[MOST_WORDS - 1 :] = [f"{len(words) - MOST_WORDS + 1} more"]
        label, number = ", ".join([first, *words]), 1
        while taken.setdefault(label, str(own)) != str(own):  # the same words, other values
            number += 1
            label = ", ".join([first, *words, f"no. {number}"])
        labels.append(label)
    return labels


# -- words -----------------------------------------------------------------------------------------------------------


def _words(run: RunRecord, keys: Sequence[str]) -> str:
    """The run's values of ``keys``; a key that it does not have is left out."""
    return ", ".join(_word(key, run.setting(key)) for key in keys if run.setting(key) is not None) or "none"


def _word(key: str, value: Any) -> str:
    text = str(value)
    text = f"{text[:14]}…{text[-14:]}" if len(text) > 32 else text
    outer, _, inner = key.partition(".")
    if key in ("name", "env"):
        return text
    if outer == "team":
        return f"{inner.removesuffix('.plays')}={text}"
    return f"{inner or key}={text}"


def _tell(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _tell_merged(lines: Sequence[Line]) -> None:
    """Say which settings are averaged over since --group-by or --panel-by wants it."""
    merged = {f"{line.group} on {line.panel}": _differing([_compared(run) for run in line.runs]) for line in lines}
    words = [f"{name} ({some(keys)})" for name, keys in merged.items() if keys]
    if words:
        _tell(f"lines of runs with different settings: {some(words, 3)}")


def some(words: Sequence[str], most: int = 8) -> str:
    """A list for a message, not too long."""
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join([*words[:most], *more])


def _natural(text: str) -> list[tuple[float, str]]:
    """For sorting: 3m before 27m."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(float(part), "") if i % 2 else (0.0, part) for i, part in enumerate(parts)]


# -- settings --------------------------------------------------------------------------------------------------------


def _compared(run: RunRecord) -> dict[str, Any]:
    return {key: value for key, value in flattened(run.config).items() if key not in SAME_LINE}


def _with_versions(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """What is compared, with the version of the environment: before it was recorded, ours (numbers) had version 1."""
    found = [_compared(run) for run in runs]
    for members in _sorted_by(run.environment for run in runs).values():
        versions = {i: version for i in members if (version := _version(runs[i])) is not None}
        ours = any(isinstance(version, int) for version in versions.values())
        for i in members:
            if i in versions or ours:
                found[i][VERSION] = versions.get(i, 1)
    return found


def _version(run: RunRecord) -> int | str | None:
    value: Any = run.info
    for key in ("provenance", "environment", "version"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | str) else None


def _without(settings: Settings, prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if not key.startswith(prefixes)}


def _is_player(key: str) -> bool:
    return key.startswith("team.") and key.endswith(".plays")


def _plain(value: Any) -> Any:
    """1 and 1.0 are the same value."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _seed(run: RunRecord) -> str:
    seed = run.setting("seed")
    return f"of {run.path}" if seed is None else str(seed)


def _by_seed(runs: Iterable[RunRecord]) -> tuple[RunRecord, ...]:
    return tuple(sorted(runs, key=lambda run: (_natural(_seed(run)), str(run.path))))


def _sorted_by(keys: Iterable[str]) -> dict[str, list[int]]:
    """Key -> places that have it."""
    found: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return found
