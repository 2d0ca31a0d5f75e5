"""The runs of a set as a person sees them: a table that changes in place, or plain lines without a terminal."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from observers.console import duration, short
from studies.watching import OVER, Row, Watch

ORDER = (
    "running",
    "placed",
    "elsewhere",
    "failed",
    "stopped",
    "waiting",
    "completed",
)  # who comes first where room is scarce
COLOURS = {
    "running": "cyan",
    "placed": "cyan",
    "elsewhere": "cyan",
    "failed": "bold red",
    "stopped": "yellow",
    "completed": "green",
}
EVERY, PLAINLY = 1.0, 60.0  # seconds between two tables, two blocks of lines


class Board:
    """Shows what a watch sees.

    Args:
        watch: of the runs.
        jobs: how many there are at once.
        console: where to; rich says whether it is a terminal.
        clock: seconds, never going back.
    """

    def __init__(
        self, watch: Watch, *, jobs: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch, self._jobs = watch, jobs
        self._console = console or Console()
        self._clock = clock
        self._began = clock()
        self._end = threading.Event()
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """Print a line, above the table."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it until the block ends."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        ticking = threading.Thread(target=self._tick, daemon=True)
        ticking.start()
        try:
            yield
        finally:
            self._end.set()
            ticking.join()
            self._watch.look()
            if self._live is not None:
                self._live.update(self.table(), refresh=True)
                self._live.stop()

    def _tick(self) -> None:
        while not self._end.wait(EVERY if self._live is not None else PLAINLY):
            self._watch.look()
            if self._live is not None:
                self._live.update(self.table(), refresh=True)
            else:
                for line in self.lines():
                    self.say(line)

    def rows(self) -> list[Row]:
        """Runs in the order in which they are shown."""
        return sorted(self._watch.rows.values(), key=lambda row: ORDER.index(row.state))

    def summary(self) -> str:
        """E.g. "0:05:00  2 running, 4 waiting, 2 completed, 0:12:00 left"."""
        counts = Counter(row.state for row in self._watch.rows.values())
        parts = [f"{counts[state]} {state}" for state in ORDER if counts[state]]
        left = self.left()
        return f"{duration(self._clock() - self._began)}  {', '.join(parts)}" + (
            f", {duration(left)} left" if left else ""
        )

    def left(self) -> float | None:
        """Seconds to come for all; runs of unknown speed are taken to be as fast as the others."""
        rows = [row for row in self._watch.rows.values() if row.state not in OVER]
        known = [row.speed for row in self._watch.rows.values() if row.speed]
        if not rows or not known:
            return None
        usual = statistics.mean(known)
        each = [(row.t_max - row.steps) / (row.speed or usual) for row in rows]
        return max(sum(each) / self._jobs, max(each))

    def lines(self) -> list[str]:
        """What is going on, in words."""
        lines = [self.summary()]
        for row in self.rows():
            if row.state == "running":
                speed = f"{short(round(row.speed))} steps/s" if row.speed else ""
                test = f"{row.test} {short(row.latest[row.test])}" if row.test else ""
                left = f"{duration(row.left)} left" if row.left is not None else ""
                parts = [row.run.about, f"{row.steps:,}/{row.t_max:,}", speed, test, left]
                lines.append("  " + "  ".join(filter(None, parts)))
        return lines

    def table(self) -> Table:
        """The same with all runs that there is room for."""
        rows = self.rows()
        room = max(3, self._console.height - 5)
        shown, rest = (rows, []) if len(rows) <= room else (rows[: room - 1], rows[room - 1 :])
        table = Table(title=self.summary(), title_justify="left", title_style="bold", box=None, pad_edge=False)
        for name, right in {"run": False, "state": False, "steps": True, "steps/s": True, "last test": True,
                            "left": True}.items():  # fmt: skip
            table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
        for row in shown:
            table.add_row(*_cells(row), style="dim" if row.state in ("waiting", "completed") else "")
        if rest:
            counts = Counter(row.state for row in rest)
            told = ", ".join(f"{number} {state}" for state, number in counts.items())
            table.add_row(Text(f"and {len(rest)} more: {told}"))
        return table


def _cells(row: Row) -> Sequence[str | Text]:
    done = f"{100 * row.steps // row.t_max}%"
    return (
        Text(row.run.about),
        Text(row.state, style=COLOURS.get(row.state, "")),
        f"{row.steps:,} {done:>4}" if row.steps else "",
        short(round(row.speed)) if row.speed else "",
        f"{row.test.removeprefix('test_').removesuffix('_mean')} {short(row.latest[row.test])}" if row.test else "",
        duration(row.left) if row.left is not None else "",
    )
