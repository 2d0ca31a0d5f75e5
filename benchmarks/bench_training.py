"""Training throughput: rollout and learning together, evaluation and compilation excluded.

    python benchmarks/bench_training.py                      # every row
    python benchmarks/bench_training.py --only qmix --seconds 10 -- env_args.n_agents=5

Steps are environment steps (not agent steps). Every row builds a fresh run, fills the replay until it may be
sampled, warms up, then counts for the given time. The yardstick is mpe2's own stepping on the same machine. The
columns "CPU" (steps a second), "of mpe2" and "us/agent" (for one agent's step) count by this process's processor time,
which other work on the machine disturbs less; rows whose environments step in processes of their own have none.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np

from core.settings import config_names
from observers.sink import Sink
from studies.figures import STEPS, WORLDS
from training.experiment import Experiment
from training.options import resolve

SPREAD = ["test_nepisode=0", "save_model=false", "t_max=1000000000", "seed=1", "recommended=false"]
ROBUST = ["advantage=doubly_robust"]
FEED_FORWARD = ["use_rnn=false", "critic_use_rnn=false"]
FOUR_TIMES = ["epochs=4", "critic_updates=4", "num_mini_batch=4"]
ROWS = {name: (name, "spread", []) for name in config_names("algs")} | {
    "asae-critic": ("asae", "spread", ["advantage=critic"]),
    "asae-robust": ("asae", "spread", [*ROBUST, "resync=false"]),
    "asae-resync": ("asae", "spread", [*ROBUST, "resync=true"]),
    "asae-paper": ("asae", "spread", ["batch_size_run=4", "env_args.time_limit=150", "gamma=0.98"]),
    "vdn-gru-8": ("vdn", "spread", ["use_rnn=true", "episodes_per_update=8"]),
    "qmix-gru-8": ("qmix", "spread", ["use_rnn=true", "episodes_per_update=8"]),
    "ippo-ff-16": ("ippo", "spread", [*FEED_FORWARD, "batch_size_run=16", *FOUR_TIMES]),  # as JaxMARL has it
}
SIZES = ("asae", "coma", "qmix")
ROWS |= {f"{name}-n{n}": (name, "spread", [f"env_args.n_agents={n}"]) for n in (10, 30, 100) for name in SIZES}
# two cores: the environments step in worker processes, which wait while the learner learns
LBF = ["env_args.key=lbforaging:Foraging-8x8-2p-3f-v3", "env_args.time_limit=50"]
ROWS_LBF = {
    "qmix-lbf": ("qmix", "gymma", [*LBF, "torch_threads=2"]),
    "coma-lbf": ("coma", "gymma", LBF),
}
ROWS_BATTLE = {f"coma-{name}": ("coma", "battle", [f"env_args.map_name={name}"]) for name in ("3m", "2s3z", "MMM2")}
MAPS = ("3m", "8m", "27m_vs_30m", "MMM2", "2c_vs_64zg")
ROWS_BATTLE |= {
    f"{name}-{where}": (name, "battle", [f"env_args.map_name={where}", "batch_size_run=10"])
    for name, maps in (("asae", MAPS), ("qmix", MAPS), ("mappo", ["8m"]), ("mat", ["8m"]))
    for where in maps
}
PAPER = ["recommended=true", f"batch_size_run={WORLDS}", f"env_args.time_limit={STEPS}"]
ROWS_PAPER = {f"{name}-fig5": (name, "spread_paper", PAPER) for name in ("asae", "coma", "iql", "vdn", "qmix")}
EVERY = {**ROWS, **ROWS_LBF, **ROWS_BATTLE, **ROWS_PAPER}
# choosing actions alone, beside observations that stay as they are
ACTING = {"mat-acting": ("mat", "battle", ["env_args.map_name=3s5z", "batch_size_run=10"])}


def counted(do: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Steps a second, and a second of this process's processor time, of something that returns its steps."""
    steps, begin, worked = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        steps += do()
    return steps / (time.perf_counter() - begin), steps / (time.process_time() - worked)


class Speed(NamedTuple):
    """Environment steps per second, the same of processor time, rollout's alone; of what."""

    rate: float
    worked: float
    rollout: float
    episodes: int
    agents: int


def throughput(algorithm: str, environment: str, words: list[str], seconds: float) -> Speed:
    """Measure one row."""
    experiment = Experiment(resolve(algorithm, environment, [*SPREAD, *words]))
    sink = Sink(teams=tuple(experiment.teams))
    episodes = experiment.settings.batch_size_run

    def iterate() -> int:
        before = experiment.t_env
        experiment.iterate(sink)
        return experiment.t_env - before

    def collect() -> int:
        _, stats = experiment.runner.collect(experiment.controllers, episodes, t_env=experiment.t_env)
        return int(stats.lengths.sum())

    try:
        replay = next(iter(experiment.teams.values())).replay
        while replay is not None and not replay.can_sample(experiment.options.learner.batch_size):
            iterate()
        counted(iterate, min(2.0, seconds))
        rate, worked = counted(iterate, seconds)
        agents = sum(team.n_agents for team in experiment.spec.teams)
        return Speed(rate, worked, counted(collect, min(1.0, seconds))[0], episodes, agents)
    finally:
        experiment.close()


def acting(algorithm: str, environment: str, words: list[str], seconds: float) -> tuple[float, float, int]:
    """Environment steps per second, were choosing actions all that takes time; of processor time; the worlds."""
    experiment = Experiment(resolve(algorithm, environment, [*SPREAD, *words]))
    try:
        ((name, controller),) = experiment.controllers.items()
        n_envs = experiment.runner.env.n_envs
        step = experiment.runner.env.reset(np.arange(n_envs), np.arange(n_envs, dtype=np.uint64))
        view = dict(zip(experiment.teams, step.teams, strict=True))[name]
        controller.begin(n_envs)

        def act() -> int:
            return len(controller.act(view, t_env=0))

        counted(act, min(1.0, seconds))
        return *counted(act, seconds), n_envs
    finally:
        experiment.close()


def mpe2_raw(seconds: float) -> tuple[float, float]:
    """mpe2 simple_spread_v3 stepped by itself with random actions, steps per second, and of processor time."""
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env()
    env.reset(seed=0)
    spaces = {agent: env.action_space(agent) for agent in env.possible_agents}

    def step() -> int:
        if not env.agents:
            env.reset()
        env.step({agent: spaces[agent].sample() for agent in env.agents})
        return 1

    return counted(step, seconds)


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="*", choices=[*EVERY, *ACTING], help="these rows")
    cli.add_argument("--seconds", type=float, default=5.0, help="measured time per row")
    cli.add_argument("words", nargs="*", help="settings for all rows: key=value")
    args = cli.parse_args()
    print(f"{os.cpu_count()} cores, torch_threads=1 unless given; {args.seconds:g} s per row")
    print(f"{'':<16}{'steps/s':>9}{'CPU':>9}{'of mpe2':>9}{'us/agent':>9}{'rollout':>9}  episodes a batch")
    rate, raw = mpe2_raw(min(3.0, args.seconds))
    print(f"{'mpe2 raw':<16}{rate:>9,.0f}{raw:>9,.0f}{'':>27}  random actions, one world", flush=True)
    for name, (algorithm, environment, words) in EVERY.items():
        if args.only and name not in args.only:
            continue
        row = throughput(algorithm, environment, [*words, *args.words], args.seconds)
        compared = f"{'-':>9}" * 3
        if environment != "gymma":
            compared = f"{row.worked:>9,.0f}{row.worked / raw:>9.3f}{1e6 / row.worked / row.agents:>9,.0f}"
        print(f"{name:<16}{row.rate:>9,.0f}{compared}{row.rollout:>9,.0f}  {row.episodes}", flush=True)
    for name, (algorithm, environment, words) in ACTING.items():
        if args.only and name not in args.only:
            continue
        rate, worked, worlds = acting(algorithm, environment, [*words, *args.words], args.seconds)
        print(f"{name:<16}{rate:>9,.0f}{worked:>9,.0f}{worked / raw:>9.3f}{'':>18}  {worlds} worlds", flush=True)


if __name__ == "__main__":
    main()
