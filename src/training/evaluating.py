"""Trained runs, tested one after another: what ``evaluate.py`` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from components import checkpoint
from core.errors import Faults, UserError
from observers.console import short
from training import session
from training.evaluation import Evaluation, Report
from training.options import Options, resolve

BESIDE = ("_sources", "_resources")  # Sacred's folders beside a task's runs, which a shell's * names too
HEADING = ("run", "algorithm", "task", "episodes", "metric", "mean", "95% interval")


def evaluate(
    runs: Sequence[str],
    words: Sequence[str],
    *,
    command: str,
    config: str | None = None,
    env_config: str | None = None,
    teams: Sequence[str] = (),
    out: str | None = None,
    episodes: str | None = None,
) -> int:
    """Play test episodes of runs (``evaluate=True``); returns the exit status.

    Nothing is played before all of them are found to have a checkpoint and settings that fit.

    Args:
        runs: results folders, models folders, checkpoints, or folders above results folders.
        words: key=value pairs, which win over the runs' settings.
        command: the command line, for the records.
        config, env_config: name of the algorithm and of the environment, for checkpoints without settings.
        teams: who plays a team, as ``--team`` gives it.
        out, episodes: files (:class:`training.evaluation.Report`).

    Raises:
        UserError: a run cannot be evaluated; the others have been.
    """
    paths = [path for path in map(Path, runs) if path.name not in BESIDE] or [Path(path) for path in runs]
    found = list(dict.fromkeys(one for path in paths for one in _runs_of(path)))
    faults, chosen = Faults(), list[tuple[Path, Options]]()
    for path in found:
        with faults.collect():
            own = [*words, f"checkpoint_path={path}", "evaluate=true"]
            chosen.append((path, resolve(config, env_config, own, teams)))
    faults.end()
    report = Report(out, episodes=episodes, several=len(chosen) > 1)
    for _, options in chosen[:1]:
        report.check(options.experiment)
    for path, options in chosen:
        with faults.collect():
            try:
                status = session.run(options, command=command, report=report)
            except UserError as error:
                raise UserError(f"{path}: {error}" if report.several else str(error)) from error
            if status:
                return status
    if report.several and not all(options.experiment.quiet for _, options in chosen):
        print("\n" + table(report.found), flush=True)
    faults.end()
    return 0


def _runs_of(path: Path) -> Iterator[Path]:
    """The path itself, or the results folders below it where it is neither a run nor has checkpoints."""
    own = (path / "run.json").is_file() or checkpoint.is_checkpoint(path)
    below = [] if own else sorted(path.glob("**/run.json"))
    yield from [run.parent for run in below] or [path]


def table(found: Sequence[Evaluation]) -> str:
    """Return the returns of several evaluations as a table."""
    rows: list[Sequence[str]] = [HEADING]
    for one in found:
        for name in sorted(one.intervals.keys() & one.metrics.keys()):
            if name.endswith("return_mean") and "_agent_" not in name:
                low, high = one.intervals[name]
                where = f"{one.row['name']}", f"{one.about['task']}", f"{one.row['episodes']:,}"
                rows.append((_shown(one), *where, name, short(one.metrics[name]), f"[{short(low)}, {short(high)}]"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(one: Evaluation) -> str:
    """Models folder and step."""
    return "/".join(Path(str(one.about["checkpoint"])).parts[-2:])
