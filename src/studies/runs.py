"""A run of a set, and what happens to it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.filed import Wanted
from training.options import Options, resolve


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run.

    Attributes:
        panel, line: where it belongs in a picture.
        config, env: names of the settings files.
        words: further settings, seed included.
        teams: who plays a team ("prey=random").
    """

    panel: str
    line: str
    config: str
    env: str
    words: tuple[str, ...]
    teams: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """Short, for people."""
        seed = next((word for word in self.words if word.startswith("seed=")), "")
        return f"{self.panel}: {self.line} {seed}".strip()

    def arguments(self, results: Path) -> list[str]:
        """Its command line."""
        teams = [word for team in self.teams for word in ("--team", team)]
        options = [f"--config={self.config}", f"--env-config={self.env}", *teams]
        return [*options, "with", *self.words, f"local_results_path={results}"]

    def options(self) -> Options:
        """What it would run with now.

        Raises:
            UserError: the settings are wrong.
        """
        return self._options

    @functools.cached_property
    def _options(self) -> Options:
        return resolve(self.config, self.env, self.words, self.teams)

    def settings(self) -> dict[str, Any]:
        """The same, as it is recorded."""
        return self.options().flat()

    def wanted(self) -> Wanted:
        """The same, to be compared with what is on file."""
        return Wanted.of(self.options(), self.words)


@dataclass(frozen=True)
class News:
    """What has happened to a run.

    Attributes:
        state: waiting, placed, elsewhere (another process plays it), completed, stopped or failed.
        text: more about it.
        command: that plays it, where it is placed.
    """

    run: Run
    state: str
    text: str = ""
    command: tuple[str, ...] = ()
