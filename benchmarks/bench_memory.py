"""Memory of a run: while it trains, and once its replay buffer is full.

    python benchmarks/bench_memory.py                      # qmix on spread: the buffer of 5000 episodes is full at 125k
    python benchmarks/bench_memory.py --config qmix --env-config battle --fill -- env_args.map_name=27m_vs_30m

Prints the resident memory on the way and the peak. ``--fill`` trains for ``--steps``, fills the buffer with episodes of
full length in place of waiting for it, and trains once more: the most that such a run can come to.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import torch

from core.data import EpisodeBatch, TeamSpec
from core.memory import amount
from observers.sink import Sink
from training.experiment import Experiment
from training.options import resolve


def resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most that it ever was."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10


def longest(spec: TeamSpec, limit: int, reward_dim: int) -> EpisodeBatch:
    """An episode of full length in which every entry is 1."""
    rows = (1, limit + 1)
    kinds = {"floats": torch.float32}
    obs = torch.ones(*rows, spec.n_agents, spec.obs_dim, dtype=kinds.get(spec.obs_kind, torch.uint8))
    state = torch.ones(*rows, spec.state_dim, dtype=kinds.get(spec.state_kind, torch.uint8))
    return EpisodeBatch(
        obs=obs,
        state=obs.flatten(2) if spec.state_is_joint_obs else state,
        available=torch.ones(*rows, spec.n_agents, spec.n_actions, dtype=torch.bool),
        actions=torch.ones(1, limit, spec.n_agents, dtype=torch.int64),
        rewards=torch.ones(1, limit, reward_dim),
        terminated=torch.zeros(1, limit, dtype=torch.bool),
        mask=torch.ones(1, limit, dtype=torch.bool),
    )


def fill(experiment: Experiment) -> None:
    """Fill every buffer."""
    for team in experiment.teams.values():
        if team.replay is not None:
            episode = longest(team.spec, experiment.spec.episode_limit, experiment.rewards.dim(team.spec))
            for _ in range(team.replay.capacity):
                team.replay.add(episode)


def main() -> None:
    """Train and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--config", default="qmix")
    cli.add_argument("--env-config", default="spread")
    cli.add_argument("--steps", type=int, help="300000, or 10000 with --fill")
    cli.add_argument("--every", type=int, default=50_000)
    cli.add_argument("--fill", action="store_true", help="fill the buffer with full episodes after --steps")
    cli.add_argument("words", nargs="*", metavar="key=value", help="settings, after --")
    args = cli.parse_args()
    steps = args.steps or (10_000 if args.fill else 300_000)
    words = ["seed=1", "save_model=false", "test_interval=50000", f"t_max={steps}", *args.words]
    experiment = Experiment(resolve(args.config, args.env_config, words))
    sink = Sink(teams=tuple(experiment.teams))
    replays = [team.replay for team in experiment.teams.values() if team.replay is not None]
    for replay in replays:
        print(f"replay: {replay.capacity:,} episodes, {amount(replay.n_bytes)} when full")

    def tell(more: str = "") -> None:
        held = f"{sum(replay.size for replay in replays):>6,} episodes  " if replays else ""
        print(f"{experiment.t_env:>9,} steps  {held}{amount(resident()):>9}{more}", flush=True)

    due = 0
    while experiment.t_env < steps:
        experiment.iterate(sink)
        if experiment.t_env >= due:
            experiment.test(sink)
            tell()
            due += args.every
    if args.fill:
        fill(experiment)
        experiment.iterate(sink)
    tell(f"; peak {amount(peak())}")
    experiment.close()


if __name__ == "__main__":
    main()
