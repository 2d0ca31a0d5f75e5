"""Steps per CPU second of the particle environments through VecEnv.step, against MPE2's own, on one thread.

python benchmarks/bench_particle.py [--agents 3] [--worlds 1 4 8 64] [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np

from core.registry import load
from envs import REGISTRY

TIME_LIMIT = 25
REPEATS = 5


def best_rate(episode: Callable[[], int], seconds: float) -> float:
    """Return steps per CPU second: the best of several stretches that last ``seconds`` together."""
    episode()  # compiles, or warms up
    rates = []
    for _ in range(REPEATS):
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds / REPEATS:
            steps += episode()
        rates.append(steps / (time.process_time() - start))
    return max(rates)


def ours(name: str, worlds: int, **env_args: int) -> Callable[[], int]:
    """Return a function that plays one episode with random actions in all worlds, resets included."""
    cls = load(REGISTRY, name, "environment")
    env = cls(worlds, cls.Args(time_limit=TIME_LIMIT, **env_args))
    generator = np.random.default_rng(0)
    actions = [
        [generator.integers(0, 5, (worlds, team.n_agents)) for team in env.spec.teams] for _ in range(TIME_LIMIT)
    ]
    slots, active = np.arange(worlds), np.ones(worlds, bool)
    seeds = np.arange(worlds, dtype=np.uint64)

    def episode() -> int:
        env.reset(slots, seeds)
        for action in actions:
            env.step(action, active)  # a world whose preys are all captured goes on, at the same cost
        return worlds * TIME_LIMIT

    return episode


def mpe2(n_agents: int) -> Callable[[], int]:
    """Return the same for MPE2's raw environment, all observations asked for once a step."""
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.raw_env(N=n_agents, max_cycles=TIME_LIMIT)
    actions = np.random.default_rng(0).integers(0, 5, (TIME_LIMIT, n_agents)).tolist()

    def episode() -> int:
        env.reset(seed=0)
        for action in actions:
            for move in action:
                env.step(move)
            for agent in env.possible_agents:
                env.observe(agent)
        return TIME_LIMIT

    return episode


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 4, 8, 64])
    parser.add_argument("--seconds", type=float, default=1.0, help="measured time per row")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread")
    print(f"{options.agents} agents a team, {TIME_LIMIT} steps an episode, observations and resets included")
    print(f"{'':22s}{'worlds':>8s}{'steps/s':>14s}{'us/call':>10s}{'ratio':>9s}")
    yardstick = best_rate(mpe2(options.agents), options.seconds)
    print(f"{'mpe2 simple_spread':22s}{1:8d}{yardstick:14,.0f}{1e6 / yardstick:10.1f}{1:9.1f}")
    chase = {"n_predators": options.agents, "n_preys": options.agents}
    spread = {"n_agents": options.agents}
    for name, env_args in (
        ("spread", spread), ("spread_paper", spread), ("predator_prey", chase), ("simple_tag", chase)
    ):  # fmt: skip
        for worlds in options.worlds:
            rate = best_rate(ours(name, worlds, **env_args), options.seconds)
            print(f"{name:22s}{worlds:8d}{rate:14,.0f}{1e6 * worlds / rate:10.1f}{rate / yardstick:9.1f}")


if __name__ == "__main__":
    main()
