"""Training throughput: rollout and learning together, evaluation and compilation excluded.

    python benchmarks/bench_training.py                      # EPyMARL's settings on spread, one core
    python benchmarks/bench_training.py --only qmix --seconds 10 -- env_args.n_agents=5

Steps are environment steps (not agent steps). Every row builds a fresh run, fills the replay until it may be
sampled, warms up, then counts for the given time. The yardstick is mpe2's own stepping on the same machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
from observers.sink import Sink
from studies.figures import REPLAYED, STEPS, WORLDS
from training.experiment import Experiment
from training.options import resolve

SPREAD = ["test_nepisode=0", "save_model=false", "t_max=1000000000", "seed=1"]
ROWS = {
    "coma": ("coma", "spread", []),
    "qmix": ("qmix", "spread", []),
    "vdn": ("vdn", "spread", []),
    "iql": ("iql", "spread", []),
    "asae": ("asae", "spread", []),
    "coma_pymarl": ("coma_pymarl", "spread", []),
    "mat": ("mat", "spread", []),
    "mat_dec": ("mat_dec", "spread", []),
    "vdn-gru-8": ("vdn", "spread", ["use_rnn=true", "episodes_per_update=8"]),
    "qmix-gru-8": ("qmix", "spread", ["use_rnn=true", "episodes_per_update=8"]),
    "asae-paper": ("asae", "spread", ["batch_size_run=4", "env_args.time_limit=150", "gamma=0.98"]),
}
# two cores: the environments step in worker processes, which wait while the learner learns
LBF = ["env_args.key=lbforaging:Foraging-8x8-2p-3f-v3", "env_args.time_limit=50"]
ROWS_LBF = {
    "qmix-lbf": ("qmix", "gymma", [*LBF, "torch_threads=2"]),
    "coma-lbf": ("coma", "gymma", LBF),
}
ROWS_BATTLE = {f"coma-{name}": ("coma", "battle", [f"env_args.map_name={name}"]) for name in ("3m", "2s3z", "MMM2")}
ROWS_BATTLE["mat-8m"] = ("mat", "battle", ["env_args.map_name=8m", "batch_size_run=10"])
PAPER = [f"batch_size_run={WORLDS}", f"env_args.time_limit={STEPS}"]
ROWS_PAPER = {
    f"{name}-fig5": (name, "spread_paper", [*PAPER, *REPLAYED.get(name, ())])
    for name in ("asae", "coma", "iql", "vdn", "qmix")
}
EVERY = {**ROWS, **ROWS_LBF, **ROWS_BATTLE, **ROWS_PAPER}


def throughput(algorithm: str, environment: str, words: list[str], seconds: float) -> tuple[float, float, float]:
    """Environment steps per second: together, and shares of time in rollout and learning."""
    experiment = Experiment(resolve(algorithm, environment, [*SPREAD, *words]))
    sink = Sink(teams=tuple(experiment.teams))
    try:
        replay = next(iter(experiment.teams.values())).replay
        while replay is not None and not replay.can_sample(experiment.options.learner.batch_size):
            experiment.iterate(sink)
        begin = time.perf_counter()
        while time.perf_counter() - begin < min(2.0, seconds):
            experiment.iterate(sink)
        first, begin = experiment.t_env, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            experiment.iterate(sink)
        rate = (experiment.t_env - first) / (time.perf_counter() - begin)
        s = experiment.settings
        first, begin = experiment.t_env, time.perf_counter()
        steps = 0
        while time.perf_counter() - begin < min(1.0, seconds):
            _, stats = experiment.runner.collect(experiment.controllers, s.batch_size_run, t_env=first)
            steps += int(stats.lengths.sum())
        rollout = steps / (time.perf_counter() - begin)
        return rate, rollout, experiment.settings.batch_size_run
    finally:
        experiment.close()


def mpe2_raw(seconds: float) -> float:
    """mpe2 simple_spread_v3 stepped by itself with random actions, steps per second."""
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env()
    env.reset(seed=0)
    spaces = {agent: env.action_space(agent) for agent in env.possible_agents}
    steps, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        if not env.agents:
            env.reset()
        env.step({agent: spaces[agent].sample() for agent in env.agents})
        steps += 1
    return steps / (time.perf_counter() - begin)


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="*", choices=[*EVERY], help="these rows")
    cli.add_argument("--seconds", type=float, default=5.0, help="measured time per row")
    cli.add_argument("words", nargs="*", help="settings for all rows: key=value")
    args = cli.parse_args()
    print(f"{os.cpu_count()} cores, torch_threads=1 unless given; {args.seconds:g} s per row")
    print(f"{'mpe2 raw':<14}{mpe2_raw(min(3.0, args.seconds)):>12,.0f} steps/s   (random actions, one world)")
    for name, (algorithm, environment, words) in EVERY.items():
        if args.only and name not in args.only:
            continue
        rate, rollout, episodes = throughput(algorithm, environment, [*words, *args.words], args.seconds)
        print(
            f"{name:<14}{rate:>12,.0f} steps/s   rollout alone {rollout:>10,.0f}   {episodes} episodes a batch",
            flush=True,
        )


if __name__ == "__main__":
    main()
