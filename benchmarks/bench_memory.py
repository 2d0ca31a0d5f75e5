"""Memory of a qmix run on spread with the default replay buffer, before and after the buffer is full.

    python benchmarks/bench_memory.py            # 300k steps: the buffer of 5000 episodes is full at 125k

Prints the resident memory every 50k steps and the peak.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)
from experiment import Experiment
from observers.sink import Sink
from options import resolve


def resident_mib() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Train and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=300_000)
    cli.add_argument("--every", type=int, default=50_000)
    args = cli.parse_args()
    words = ["seed=1", "save_model=false", "test_interval=50000", f"t_max={args.steps}"]
    experiment = Experiment(resolve("qmix", "spread", words))
    sink = Sink(teams=tuple(experiment.teams))
    replay = experiment.teams["agents"].replay
    assert replay is not None
    print(f"replay: {replay.capacity} episodes, {replay.n_bytes / 2**20:.0f} MiB when full")
    due = 0
    while experiment.t_env < args.steps:
        experiment.iterate(sink)
        if experiment.t_env >= due:
            experiment.test(sink)
            print(f"{experiment.t_env:>9,} steps  {replay.size:>5} episodes  {resident_mib():>7.1f} MiB", flush=True)
            due += args.every
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{experiment.t_env:>9,} steps  {replay.size:>5} episodes  {resident_mib():>7.1f} MiB; peak {peak:.1f} MiB")
    experiment.close()


if __name__ == "__main__":
    main()
