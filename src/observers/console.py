"""What a person sees while a run goes on: a header, a progress bar, a table per log interval, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO


class Console:
    """Shows a run on a terminal, or as plain lines where standard output is not one.

    Interactive (a terminal): a progress bar stays at the bottom, tables scroll above it. Otherwise: no control
    characters, one line per log interval. Tables and lines also go to ``cout.txt``; the bar never does.

    Args:
        t_max: environment steps of the whole run.
        t_start: steps that an earlier run has made already (resume); speed and time left count from here.
        quiet: print nothing at all.
        interactive: None asks the stream (``isatty``).
        stream: where to write; None is ``sys.stdout``.
        every: at least this many seconds between two plain lines.
    """

    def __init__(
        self,
        *,
        t_max: int,
        t_start: int = 0,
        quiet: bool = False,
        interactive: bool | None = None,
        stream: TextIO | None = None,
        every: float = 10.0,
    ) -> None:
        raise NotImplementedError

    def header(self, title: str, rows: Mapping[str, object]) -> None:
        """Print the header: e.g. ``header("asae on battle/3m", {"agents": 3, "results": path})``. Starts the bar."""
        raise NotImplementedError

    def progress(self, t_env: int, metrics: Mapping[str, float]) -> None:
        """Move the bar; ``metrics`` are the latest values (the test return is shown beside it)."""
        raise NotImplementedError

    def table(self, t_env: int, metrics: Mapping[str, float]) -> None:
        """Print the latest values, the most important first (plain: one line, at most one per ``every`` seconds)."""
        raise NotImplementedError

    def message(self, text: str) -> None:
        """Print one line above the bar (``print`` does the same while the bar is shown)."""
        raise NotImplementedError

    def close(self, *, status: str, results: str, metrics: Mapping[str, float]) -> None:
        """Take the bar away and say how the run ended, where its results lie, and the final test return."""
        raise NotImplementedError
