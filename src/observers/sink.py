"""The one place that writes metrics: to Sacred, to TensorBoard and to the console."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from core.data import EpisodeStats
from core.metrics import Later
from observers.console import Console
from observers.gather import Episodes, numbers, summarise
from observers.interrupts import shield
from observers.sacred_files import AtomicFileObserver

QUEUED = 10_000  # points that wait for TensorBoard's thread before a run waits for them
CAPTURED = 2**20  # bytes of output that other Sacred observers get (a MongoDB document holds 16 MB)


class Sink:
    """Owns every log interval; runners and learners only hand over what happened.

    An interval has passed when ``t_env`` is at least that far from the last write; what comes first is written at
    once. Points are on file as soon as a method that writes them returns.

    Args:
        run: the Sacred run (``_run``), or None (tests, evaluation without records).
        console: where people look, or None.
        tensorboard: folder of TensorBoard's event files (results/tb_logs/<token>), or None for none.
        teams: names of the teams; keys get no prefix where there is one, ``<team>_`` where there are several.
        log_interval: environment steps between two tables on the console.
        runner_log_interval: ... between two writes of training episodes.
        learner_log_interval: ... between two writes of learner metrics, each of the update at which it is due.
    """

    def __init__(
        self,
        *,
        run: Any = None,
        console: Console | None = None,
        tensorboard: str | Path | None = None,
        teams: Sequence[str] = ("agents",),
        log_interval: int = 50_000,
        runner_log_interval: int = 10_000,
        learner_log_interval: int = 10_000,
    ) -> None:
        self._run = run
        self._console = console
        self._tensorboard = _Board(tensorboard) if tensorboard is not None else None
        self._teams = tuple(teams)
        self._episodes = Episodes()
        self._intervals = {"table": log_interval, "runner": runner_log_interval}
        self._intervals |= {f"learner/{team}": learner_log_interval for team in teams}
        self._last: dict[str, int] = {}  # of an interval -> t_env of its last write
        self._latest: dict[str, float] = {}
        self._t_env = 0
        self._closed = False
        observers = [] if run is None else run.observers
        self._files = next((one for one in observers if isinstance(one, AtomicFileObserver)), None)
        self._others = len(observers) > (self._files is not None)

    @property
    def latest(self) -> dict[str, float]:
        """The last value written of every metric."""
        return dict(self._latest)

    def write(self, metrics: Mapping[str, float | Tensor | Later], t_env: int) -> None:
        """Write at once, whatever the intervals (epsilon, evaluation results, timings).

        Raises:
            ValueError: a tensor has more than one element.
        """
        values = numbers(metrics)
        if not values:
            return
        with shield():
            self._t_env = t_env = int(t_env)
            self._latest.update(values)
            if self._files is not None:
                now = datetime.now(UTC).replace(tzinfo=None)  # naive, as Sacred's
                self._files.record(values, t_env, now, again=self._others)
            if self._others or (self._run is not None and self._files is None):
                for name, value in values.items():
                    self._run.log_scalar(name, value, t_env)
            if self._tensorboard is not None:
                self._tensorboard.write(values, t_env)

    def _due(self, interval: str, t_env: int) -> bool:
        if interval in self._last and t_env - self._last[interval] < self._intervals[interval]:
            return False
        self._last[interval] = int(t_env)
        return True

    def learner(self, metrics: Mapping[str, float | Tensor | Later], t_env: int, *, team: str | None = None) -> None:
        """Take what one ``Learner.train`` returned; written at each ``learner_log_interval``, else not computed.

        Args:
            metrics: name -> one number; nothing where nothing was learned.
            t_env: environment steps so far.
            team: whose learner; needed where there are several teams.
        """
        team = self._teams[0] if team is None and len(self._teams) == 1 else team
        assert team is not None, "several teams: say whose learner this is"
        with shield():
            self._t_env = int(t_env)
            if metrics and self._due(f"learner/{team}", t_env):
                front = f"{team}_" if len(self._teams) > 1 else ""
                self.write({front + key: value for key, value in metrics.items()}, t_env)

    def episodes(self, stats: EpisodeStats, t_env: int, *, prefix: str = "") -> None:
        """Take finished episodes; :func:`observers.gather.summarise` says under which names they are written.

        Without a prefix they gather until ``runner_log_interval``; with one ("test_", "test_sampled_") they are
        written at once.
        """
        self._t_env = int(t_env)
        if prefix:
            self.write({prefix + key: value for key, value in summarise(stats).items()}, t_env)
            return
        with shield():
            self._episodes.add(stats)
            if self._due("runner", t_env):
                self.write(self._episodes.take(), t_env)

    def testing(self) -> AbstractContextManager[None]:
        """Tell the console that a test is played until the block ends."""
        return nullcontext() if self._console is None else self._console.testing()

    def progress(self, t_env: int) -> None:
        """Call once per iteration: moves the bar and prints the table when ``log_interval`` has passed."""
        self._t_env = int(t_env)
        if self._console is not None:
            self._console.progress(t_env, self._latest)
        if self._latest and self._due("table", t_env):
            self.table(t_env)

    def table(self, t_env: int) -> None:
        """Print the latest values now."""
        with shield():
            if self._console is not None:
                self._console.table(t_env, self._latest)
            self._flush()

    def _flush(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.flush()
        if self._others and self._files is not None:
            self._run.captured_out = self._files.captured(CAPTURED)  # Sacred's own capture is off

    def close(self, *, status: str = "COMPLETED", results: str | Path = "") -> None:
        """Write pending episodes at the last t_env, flush, and end the console. Calling it twice is harmless.

        Save checkpoints before: ``state_dict`` holds these episodes.

        Args:
            status: how the run ended, as Sacred names it.
            results: where they lie, for the console.
        """
        if self._closed:
            return
        self._closed = True
        self.write(self._episodes.take(), self._t_env)
        if self._console is not None:
            self._console.close(status=status, results=str(results), metrics=self._latest)
        self._flush()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def state_dict(self) -> dict[str, Any]:
        """Pending episodes and last write times (plain Python and NumPy), for exact resume."""
        return {
            "episodes": self._episodes.state_dict(),
            "last": dict(self._last),
            "latest": dict(self._latest),
            "t_env": self._t_env,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; the learners' sums that former versions kept are left out."""
        self._episodes.load_state_dict(state["episodes"])
        self._last = dict(state["last"])
        self._latest = dict(state["latest"])
        self._t_env = state["t_env"]
        if self._console is not None:
            self._console.resume(self._t_env)


class _Board:
    """TensorBoard's event files; a disk that is full turns them off, not the run."""

    def __init__(self, folder: str | Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, so only when asked for

        self._writer: Any = None
        try:
            self._writer = SummaryWriter(str(folder), max_queue=QUEUED)
        except OSError as error:
            self._give_up(error)

    def write(self, values: Mapping[str, float], t_env: int) -> None:
        for name, value in values.items():
            self._try("add_scalar", name, value, t_env)

    def flush(self) -> None:
        self._try("flush")

    def close(self) -> None:
        self._try("close")

    def _try(self, method: str, *values: Any) -> None:
        if self._writer is None:
            return
        try:
            getattr(self._writer, method)(*values)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        logging.getLogger(__name__).warning("TensorBoard's files cannot be written (%s): no more of them", error)
