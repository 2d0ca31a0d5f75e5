"""How often a trained team's episodes end at the time limit because it stands still or goes in circles.

    python benchmarks/standstill.py asae gymma results/models/RUN -- env_args.key=lbforaging:Foraging-8x8-2p-3f-v3

The networks of a checkpoint play greedy and drawn episodes. Of those that reach the time limit it counts the ones whose
observations, of all agents together, repeat over the last steps: with period 1 (nothing changes any more) or up to 4.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np

from training.experiment import Experiment
from training.options import resolve

LAST, PERIODS = 20, (1, 2, 3, 4)


def period(rows: np.ndarray) -> int:
    """Return the least period in :data:`PERIODS` with which rows [T, K] repeat, or 0."""
    return next((k for k in PERIODS if (rows[k:] == rows[:-k]).all()), 0)


def main() -> None:
    """Print a line for greedy and one for drawn episodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm")
    parser.add_argument("environment")
    parser.add_argument("run", help="folder of the run, of its models or of one checkpoint")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("words", nargs="*", help="settings, after --")
    args = parser.parse_args()
    words = ["seed=1", *args.words, "evaluate=true", f"test_nepisode={args.episodes}"]
    experiment = Experiment(resolve(args.algorithm, args.environment, words, [f"agents=checkpoint:{args.run}"]))
    try:
        ((name, team),) = experiment.teams.items()
        for kind in ("greedy", "drawn"):
            batches, stats = experiment.runner.collect(
                {name: team.controller}, args.episodes, t_env=None, greedy=kind == "greedy"
            )
            rows = batches[name].obs.flatten(2).numpy()
            limit = experiment.spec.episode_limit
            cut = np.flatnonzero(stats.lengths == limit)
            periods = [period(rows[k, limit - LAST : limit]) for k in cut]
            print(
                f"{kind:7s} return {stats.returns[name].mean():.3f}; {len(cut)} of {args.episodes} episodes reach the "
                f"time limit; {periods.count(1)} stand still, {sum(p > 1 for p in periods)} go in circles at their end"
            )
    finally:
        experiment.close()


if __name__ == "__main__":
    main()
