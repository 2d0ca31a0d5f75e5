"""What a person sees while a run goes on: a header, a progress bar, a table per log interval, the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from observers.compilation import Compilation
from observers.importance import importance, returns, successes, worth_a_row
from observers.pace import Pace
from observers.tee import Outlet, Tee

IN_LINE = (2, 2, 3, 0)  # metrics in a plain line, of each group of `importance`


def short(value: float) -> str:
    """Write a number in at most about eight characters: 0.8125, 12.35, 20,500, 1.234e+07."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Write a time as h:mm:ss, or days."""
    whole = int(seconds)
    clock = f"{whole % 86400 // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 86400} d {clock}" if whole >= 86400 else clock


class Console:
    """Shows a run on a terminal, or as plain lines where standard output is not one.

    Interactive (a terminal): a progress bar stays at the bottom, tables scroll above it. Otherwise: no control
    characters, one line per log interval. Tables and lines also go to ``cout.txt``; the bar never does.

    Args:
        t_max: environment steps of the whole run.
        test_interval: environment steps between two tests; None where none will come.
        env: the environment's name, for what is said of its kernels.
        quiet: print nothing at all.
        interactive: None asks the stream (``isatty``).
        stream: where to write; None is ``sys.stdout``.
        every: at least this many seconds between two plain lines.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        *,
        t_max: int,
        test_interval: int | None = None,
        env: str = "the environment",
        quiet: bool = False,
        interactive: bool | None = None,
        stream: TextIO | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._t_max = t_max
        self._quiet = quiet
        stream = stream or sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - standard output may be closed
        self._stream: Any = stream if isinstance(stream, Tee) else Outlet(stream)
        if interactive is None:
            interactive = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._every = every
        self._clock = clock
        self._started = clock()
        self._t_env = self._begun = 0
        self._said = -float("inf")
        self._shown: dict[str, float] = {}  # the values of the last table
        self._counts = ""  # the number that counts, in words
        self._compilation = Compilation(env, self.message, clock=clock)
        self._pace = Pace(t_max=t_max, test_interval=test_interval, clock=clock, lost=lambda: self._compilation.seconds)
        self._bar: Progress | None = None
        self._rich: RichConsole | None = None
        self._replaced: dict[str, Any] = {}
        if interactive and not quiet:
            terminal: Any = self._stream.terminal if isinstance(self._stream, Tee) else self._stream
            self._rich = RichConsole(file=terminal, force_terminal=True)

    def resume(self, t_env: int) -> None:
        """Count speed and time left from ``t_env``, where an earlier run had come to."""
        self._t_env = self._begun = t_env
        self._pace.restart(t_env)
        self._show(self._where(t_env))

    def header(self, title: str, rows: Mapping[str, object]) -> None:
        """Print the header: e.g. ``header("asae on battle/3m", {"agents": 3, "results": path})``. Starts the bar."""
        self._compilation.start()
        if self._quiet:
            return
        width = max((len(key) for key in rows), default=0)
        lines = [f"  {key:<{width}}  {value}" for key, value in rows.items()]
        self._say("\n".join([title, *lines]), style="bold", styled=1)
        if self._rich is not None and self._bar is None:
            self._start_bar(self._rich)

    def _start_bar(self, rich: RichConsole) -> None:
        self._bar = Progress(
            BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan"),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[text]}", style="none"),
            console=rich,
            expand=True,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar.add_task("", total=self._t_max, completed=self._t_env, text=self._where(self._t_env))
        self._bar.start()
        for name in ("stdout", "stderr"):  # what others print appears above the bar (and in cout.txt)
            stream = getattr(sys, name)
            if stream is None or not stream.isatty():
                continue
            if isinstance(stream, Tee):
                stream.divert(FileProxy(rich, stream.terminal))
            else:
                setattr(sys, name, FileProxy(rich, stream))
            self._replaced[name] = stream

    def _stop_bar(self) -> None:
        if self._bar is None:
            return
        for name, stream in self._replaced.items():
            if isinstance(stream, Tee):
                stream.flush()
                stream.divert(None)
            else:
                setattr(sys, name, stream)
        self._replaced = {}
        self._bar.stop()
        self._bar = None

    def _say(self, text: str, *, style: str = "", styled: int = 0) -> None:
        """Print lines; the first ``styled`` of them in ``style``."""
        if self._rich is None:
            self._stream.write(text + "\n")
            self._stream.flush()
            return
        for i, line in enumerate(text.split("\n")):
            self._rich.print(line, style=style if i < styled else None, markup=False, highlight=False, soft_wrap=True)
        self._record(text)

    def _record(self, text: str) -> None:
        if isinstance(self._stream, Tee):
            self._stream.record(text + "\n")

    def progress(self, t_env: int, metrics: Mapping[str, float]) -> None:
        """Move the bar; ``metrics`` are the latest values (the one that counts is shown beside it)."""
        self._t_env = t_env
        self._pace.step(t_env)
        self._compilation.done()
        self._counts = "".join(f"  {key} {short(metrics[key])}" for key in successes(metrics) or returns(metrics))
        self._show(self._where(t_env))

    @contextmanager
    def testing(self) -> Iterator[None]:
        """Show that a test is played until the block ends; its time is no part of the speed."""
        self._show(f"{self._steps(self._t_env)}  testing")
        with self._pace.testing():
            yield
        self._compilation.done()
        self._show(self._where(self._t_env))

    def _show(self, text: str) -> None:
        """Show a text and the number that counts beside the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._t_env, text=text + self._counts)

    def _steps(self, t_env: int) -> str:
        return f"{t_env:,}/{self._t_max:,}"

    def _where(self, t_env: int, *, last: bool = False) -> str:
        """How far it is, how fast it goes and, unless this is the last that is said, how long it will take."""
        speed, left = self._pace.speed, self._pace.left
        text = self._steps(t_env)
        if speed is not None:
            text += f"  {short(round(speed, 1 if speed < 10 else 0))} steps/s"
        if last or t_env >= self._t_max:
            return text
        return f"{text}  estimating" if left is None else f"{text}  {duration(left)} left"

    def table(self, t_env: int, metrics: Mapping[str, float], *, last: bool = False) -> None:
        """Print the latest values, the most important first (plain: one line, at most one per ``every`` seconds).

        ``last``: print it however recent the line before is.
        """
        if self._quiet:
            return
        names = worth_a_row(metrics)
        now = self._clock()
        if self._rich is None:
            if last or now - self._said >= self._every:
                self._said, self._shown = now, dict(metrics)
                counts = successes(metrics) + returns(metrics)
                groups = [[name for name in names if importance(name)[0] == i] for i in range(len(IN_LINE))]
                rest = [name for group, n in zip(groups, IN_LINE, strict=True) for name in group[:n]]
                values = [f"{name} {short(metrics[name])}" for name in dict.fromkeys(counts + rest)]
                self._say("  ".join([self._where(t_env, last=last), "|", *values]))
            return
        self._shown = dict(metrics)
        columns = max(1, min(4, self._rich.width // 38))
        grid = Table.grid(padding=(0, 2), pad_edge=True)
        for _ in range(columns):
            grid.add_column(style="dim", no_wrap=True)
            grid.add_column(justify="right", no_wrap=True)
        height = -(-len(names) // columns)
        for row in range(height):  # read down the columns
            grid.add_row(*(text for name in names[row::height] for text in (name, _coloured(name, metrics[name]))))
        self._say(
            f"{self._where(t_env, last=last)}  {duration(now - self._started)} so far", style="bold cyan", styled=1
        )
        self._rich.print(grid)
        width = max((len(name) for name in names), default=0)
        self._record("\n".join(f"  {name:<{width}}  {short(metrics[name]):>10}" for name in names))

    def listing(
        self, metrics: Mapping[str, float], *, intervals: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        """Print every value, one a line, the most important first; the end does not repeat them.

        Args:
            metrics: name -> value.
            intervals: name of some of them -> low and high, printed beside the value.
        """
        self._shown = dict(metrics)
        name_width = max((len(name) for name in metrics), default=0)
        values = {name: short(value) for name, value in metrics.items()}
        bounds = {name: f"[{short(low)}, {short(high)}]" for name, (low, high) in (intervals or {}).items()}
        width = max((len(value) for value in values.values()), default=0)
        self.message(
            "\n".join(
                f"  {name:<{name_width}}  {values[name]:<{width}}  {bounds.get(name, '')}".rstrip()
                for name in sorted(metrics, key=importance)
            )
        )

    def message(self, text: str) -> None:
        """Print one line above the bar (``print`` does the same while the bar is shown)."""
        if not self._quiet:
            self._say(text)

    def close(self, *, status: str, results: str, metrics: Mapping[str, float]) -> None:
        """Take the bar away, print the last values, and say how the run ended and where its results lie."""
        self._compilation.stop()
        self._stop_bar()
        if self._quiet:
            return
        if metrics and self._shown != dict(metrics):
            self.table(self._t_env, metrics, last=True)
        final = "".join(f", {key} {short(metrics[key])}" for key in successes(metrics) + returns(metrics))
        tested = status == "COMPLETED" and self._t_env == self._begun  # and nothing trained
        after = "" if tested else f" after {self._t_env:,} steps"
        lines = [f"{status}{after} in {duration(self._clock() - self._started)}{final}"]
        lines += [f"Results: {results}"] if results else []
        style = "bold green" if status == "COMPLETED" else "bold yellow" if status != "FAILED" else "bold red"
        self._say("\n".join(lines), style=style, styled=1)


def _coloured(name: str, value: float) -> str:
    text = short(value)
    if value != value or value in (float("inf"), float("-inf")):
        return f"[bold red]{text}[/]"
    return f"[bold green]{text}[/]" if name.startswith("test_") else text
