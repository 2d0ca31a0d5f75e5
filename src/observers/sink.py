"""The one place that writes metrics: to Sacred, to TensorBoard and to the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from core.data import EpisodeStats
from observers.console import Console


class Sink:
    """Owns every log interval; runners and learners only hand over what happened.

    Args:
        run: the Sacred run (``_run``), or None (tests, evaluation without records).
        console: where people look, or None.
        tensorboard: folder of TensorBoard's event files (results/tb_logs/<token>), or None for none.
        teams: names of the teams; keys get no prefix where there is one, ``<team>_`` where there are several.
        log_interval: environment steps between two tables on the console.
        runner_log_interval: ... between two writes of training episodes.
        learner_log_interval: ... between two writes of learner metrics (each is the mean since the last).
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
        raise NotImplementedError

    @property
    def latest(self) -> dict[str, float]:
        """The last value written of every metric."""
        raise NotImplementedError

    def write(self, metrics: Mapping[str, float | Tensor], t_env: int) -> None:
        """Write at once, whatever the intervals (epsilon, evaluation results, timings)."""
        raise NotImplementedError

    def learner(self, metrics: Mapping[str, float | Tensor], t_env: int, *, team: str | None = None) -> None:
        """Take what one ``Learner.train`` returned; means are written at each ``learner_log_interval``.

        Costs no synchronisation between writes: tensors are kept as they are, so they must not be changed in place.
        """
        raise NotImplementedError

    def episodes(self, stats: EpisodeStats, t_env: int, *, prefix: str = "") -> None:
        """Take finished episodes. Without a prefix they gather until ``runner_log_interval``; with one
        ("test_", "test_sampled_") they are written at once.
        """
        raise NotImplementedError

    def progress(self, t_env: int) -> None:
        """Call once per iteration: moves the bar and prints the table when ``log_interval`` has passed."""
        raise NotImplementedError

    def close(self, *, status: str = "COMPLETED", results: str | Path = "") -> None:
        """Write what is still pending at the last t_env, flush, and end the console. Calling it twice is harmless.

        Save checkpoints before: ``state_dict`` holds the pending sums, which this empties.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Pending sums, pending episodes and last write times (plain Python and NumPy), for exact resume."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        raise NotImplementedError
