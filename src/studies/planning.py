"""From what a sweep is asked for to its runs, and what is wrong with any of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.errors import UserError
from core.settings import NESTED
from studies.runs import Run
from training.teams import check_parts

MOST_SEEDS = 10_000
OPEN, CLOSED, QUOTES = "[{(", "]})", "\"'"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Algorithms x environments x grid x seeds.

    Attributes:
        configs, envs: names of settings files.
        grid: setting -> its values.
        seeds: of every combination.
        teams: who plays a team ("prey=random").
        words: settings of all runs; the grid's win over them.
    """

    configs: tuple[str, ...]
    envs: tuple[str, ...]
    seeds: tuple[int, ...]
    grid: Mapping[str, tuple[str, ...]]
    teams: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def runs(self) -> list[Run]:
        """All of them; the first seed of everything comes before the second one of anything.

        Raises:
            UserError: seeds or places of results are given as settings.
        """
        for key in [word.partition("=")[0].strip() for word in self.words] + list(self.grid):
            if key in ("seed", "local_results_path"):
                option = "--seeds 5 (or 3,7,9)" if key == "seed" else "--results FOLDER"
                raise UserError(f"{key}= is no setting of a sweep: give {option}.")
        return list(self._runs())

    def _runs(self) -> Iterator[Run]:
        for seed, env, values in itertools.product(self.seeds, self.envs, itertools.product(*self.grid.values())):
            chosen = [f"{key}={value}" for key, value in zip(self.grid, values, strict=True)]
            arguments = [word.removeprefix(f"{NESTED}.") for word in chosen if word.startswith(f"{NESTED}.")]
            others = [word for word in chosen if not word.startswith(f"{NESTED}.")]
            for config in self.configs:
                yield Run(
                    panel=" ".join([env, *arguments]),
                    line=" ".join([config, *others]),
                    config=config,
                    env=env,
                    words=(f"seed={seed}", *self.words, *chosen),
                    teams=self.teams,
                )

    def __str__(self) -> str:
        """E.g. "2 algorithms x 1 environment x 2 env_args.map_name x 5 seeds"."""
        sizes = {"algorithm": len(self.configs), "environment": len(self.envs)}
        parts = [f"{size} {name}{'s' * (size > 1)}" for name, size in sizes.items()]
        parts += [f"{len(values)} {key}" for key, values in self.grid.items()]
        return " x ".join([*parts, f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"])


def read_seeds(text: str) -> tuple[int, ...]:
    """Read 5 (seeds 1 to 5), 3,7,9 or 11-15.

    Raises:
        UserError: it is none of these.
    """
    seeds: list[int] = []
    if text.isdecimal():
        seeds = list(range(1, min(int(text), MOST_SEEDS + 1) + 1))
    elif re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        for part in text.split(","):
            first, _, last = part.partition("-")
            seeds += range(int(first), min(int(last or first), int(first) + MOST_SEEDS) + 1)
    if not seeds or len(seeds) > MOST_SEEDS:
        raise UserError(f"--seeds {text}: give how many (5 means 1 to 5), or which: 3,7,9 or 11-15.")
    return tuple(dict.fromkeys(seeds))


def read_grid(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read key=value,value words; commas within brackets and quotes part nothing.

    Raises:
        UserError: a word is no such, or a key is there twice.
    """
    grid: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        values = tuple(dict.fromkeys(part.strip() for part in parted(text)))
        if not key or not equals or "" in values:
            raise UserError(f"Cannot read --grid {word}: it takes key=value,value, e.g. lr=0.001,0.0005.")
        if key in grid:
            raise UserError(f"--grid {key} is given twice: put all its values into one, {key}=a,b,c.")
        grid[key] = values
    return grid


def parted(text: str) -> list[str]:
    """Return what stands between commas, but for those within brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote or letter in QUOTES:
            quote = "" if letter == quote else quote or letter
        depth += (letter in OPEN) - (letter in CLOSED)
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def check(runs: Sequence[Run], *, fit: bool = False) -> None:
    """Check the settings of every run; seeds change nothing in that.

    Args:
        runs: of a plan.
        fit: also build an environment and the teams of each, to see whether its parts fit together.

    Raises:
        UserError: what is wrong, each with the first of the runs that have it.
    """
    faults: dict[str, list[str]] = {}
    for run in dict.fromkeys(replace(run, words=run.words[1:]) for run in runs):  # without seeds
        try:
            options = run.options()
            if fit:
                check_parts(options)
        except UserError as error:
            faults.setdefault(str(error), []).append(run.about)
    if faults:
        n_wrong = sum(map(len, faults.values()))
        lines = [f"{error}\n  ({_some(abouts)})" for error, abouts in faults.items()]
        raise UserError("\n".join([f"nothing was started: {n_wrong} kinds of runs cannot be.", *lines]))


def _some(names: Sequence[str]) -> str:
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
