"""Runs that were stopped and resumed: several folders, one run.

A run that continues another names it in info.json: ``resumed_from_run``, the results folder, and ``resumed_at``, the
step of the checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.records import RunRecord, Series


def join_chains(
    runs: Sequence[RunRecord], read: Callable[[Path], RunRecord | None], *, prefer_completed: bool = False
) -> list[RunRecord]:
    """Make one run of each chain: the older points up to the step of the checkpoint, then the newer ones.

    The joined run has the newest folder, settings and status. Where a run was resumed more than once, the continuation
    that came furthest counts, since all of them repeat the same run. An older folder that is not among ``runs`` is read
    from disk; one that is gone gives a warning, and the curve begins where the run was resumed.

    Args:
        runs: any runs.
        read: reads another folder, None where that is impossible.
        prefer_completed: a chain whose newest run has completed counts before a longer one.
    """

    def rank(chain: Sequence[RunRecord]) -> tuple[bool, float, int]:
        return prefer_completed and chain[-1].status == "COMPLETED", *_length(chain)

    known = {run.path.resolve(): run for run in runs}
    chains: dict[Path, list[RunRecord]] = {}  # oldest folder -> the best chain that begins there
    for run in runs:
        chain = _chain(run, known, read)
        first = chain[0].path.resolve()
        if first not in chains or rank(chain) >= rank(chains[first]):
            chains[first] = chain
    return [_joined(chain) for chain in chains.values()]


def _length(chain: Sequence[RunRecord]) -> tuple[float, int]:
    last = max((steps[-1] for steps, _ in chain[-1].metrics.values() if len(steps)), default=0.0)
    return float(last), len(chain)


def _chain(run: RunRecord, known: dict[Path, RunRecord], read: Callable[[Path], RunRecord | None]) -> list[RunRecord]:
    """From the oldest run to ``run``."""
    chain, seen = [run], {run.path.resolve()}
    while chain[0].info.get("resumed_from_run"):
        named = Path(str(chain[0].info["resumed_from_run"]))
        here = chain[0].path.resolve().parent  # the results may have been moved as a whole
        places = (named, here.parent / named.parent.name / named.name, here / named.name)
        folder = next((path.resolve() for path in places if (path / "config.json").is_file()), None)
        older = None
        if folder is not None and folder not in seen:
            older = known[folder] if folder in known else read(folder)
        if older is None:
            message = f"{chain[0].path} continues {named}, which is not there: the first part of its curve is missing"
            warnings.warn(message, stacklevel=4)
            break
        seen.add(older.path.resolve())
        chain.insert(0, older)
    return chain


def _joined(chain: Sequence[RunRecord]) -> RunRecord:
    metrics = dict(chain[0].metrics)
    for run in chain[1:]:
        at = run.info.get("resumed_at")
        end = float(at) if isinstance(at, int | float) else float("inf")
        nothing: Series = (np.zeros(0), np.zeros(0))
        names = dict.fromkeys([*metrics, *run.metrics])
        metrics = {name: _continued(metrics.get(name, nothing), run.metrics.get(name, nothing), end) for name in names}
    return replace(chain[-1], metrics=metrics)


def _continued(older: Series, newer: Series, end: float) -> Series:
    keep = older[0] <= end
    if len(newer[0]):
        keep &= older[0] < newer[0][0]
    return np.concatenate([older[0][keep], newer[0]]), np.concatenate([older[1][keep], newer[1]])
