"""Steps per second of the spread environment through VecEnv.step, against MPE2's own, on one thread.

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

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from envs.particle.spread import Spread, SpreadArgs

TIME_LIMIT = 25
REPEATS = 5


def best_rate(episode: Callable[[], int], seconds: float) -> float:
    """Return steps per second: the best of several stretches that last ``seconds`` together."""
    episode()  # compiles, or warms up
    rates = []
    for _ in range(REPEATS):
        steps, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / REPEATS:
            steps += episode()
        rates.append(steps / (time.perf_counter() - start))
    return max(rates)


def ours(worlds: int, n_agents: int) -> Callable[[], int]:
    """Return a function that plays one episode with random actions in all worlds, resets included."""
    env = Spread(worlds, SpreadArgs(n_agents=n_agents, time_limit=TIME_LIMIT))
    actions = np.random.default_rng(0).integers(0, 5, (TIME_LIMIT, worlds, n_agents))
    slots, active = np.arange(worlds), np.ones(worlds, bool)
    seeds = np.arange(worlds, dtype=np.uint64)

    def episode() -> int:
        env.reset(slots, seeds)
        for action in actions:
            env.step((action,), active)
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
    print(f"spread, {options.agents} agents, {TIME_LIMIT} steps an episode, observations and resets included")
    print(f"{'':10s}{'worlds':>8s}{'steps/s':>14s}{'us/call':>10s}{'ratio':>9s}")
    yardstick = best_rate(mpe2(options.agents), options.seconds)
    print(f"{'mpe2':10s}{1:8d}{yardstick:14,.0f}{1e6 / yardstick:10.1f}{1:9.1f}")
    for worlds in options.worlds:
        rate = best_rate(ours(worlds, options.agents), options.seconds)
        print(f"{'ours':10s}{worlds:8d}{rate:14,.0f}{1e6 * worlds / rate:10.1f}{rate / yardstick:9.1f}")


if __name__ == "__main__":
    main()
