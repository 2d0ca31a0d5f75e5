"""Steps per second of the battle environment, random available actions, on one thread.

python benchmarks/bench_battle.py [--maps 3m 8m 3s5z MMM2 27m_vs_30m] [--battles 64] [--seconds 3]

A step is a step of one battle with its observations, state and available actions; resets of ended battles are
included, the drawing of random actions is not. Rates are per second of the thread's own processor time, which other
programs on the machine do not take from. "seconds to compile" is what the first reset and step took: once per
version of the source, afterwards the machine code is read from the cache beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np
from numba import njit

from envs.battle.battle import Battle, BattleArgs

MAPS = ("3m", "8m", "2s3z", "3s5z", "MMM2", "27m_vs_30m")
TARGETS = {"3m": 100_000, "8m": 40_000, "3s5z": 40_000, "MMM2": 25_000, "27m_vs_30m": 8_000}
REPEATS = 5


@njit
def random_actions(available: np.ndarray, actions: np.ndarray) -> None:
    """Draw an available action for every agent: ``available`` bool [N, A, U], ``actions`` int64 [N, A]."""
    for k in range(actions.shape[0]):
        for i in range(actions.shape[1]):
            left = np.random.randint(available[k, i].sum())  # noqa: NPY002 (Numba's stream)
            for action in range(available.shape[2]):
                if available[k, i, action]:
                    if left == 0:
                        actions[k, i] = action
                        break
                    left -= 1


def measure(map_name: str, battles: int, seconds: float) -> tuple[float, float]:
    """Return the best steps per second of several stretches, and the seconds of the first reset and step."""
    env = Battle(battles, BattleArgs(map_name=map_name))
    start = time.perf_counter()
    active, slots = np.ones(battles, bool), np.arange(battles)
    actions = np.zeros((battles, env.spec.teams[0].n_agents), np.int64)
    step = env.reset(slots, slots.astype(np.uint64))
    random_actions(step.teams[0].available, actions)
    env.step((actions,), active)
    compiled = time.perf_counter() - start
    rates, seed = [], battles
    for _ in range(REPEATS):
        steps, spent = 0, 0.0
        while spent < seconds / REPEATS:
            random_actions(step.teams[0].available, actions)
            start = time.thread_time()
            env.step((actions,), active)
            ended = np.flatnonzero(step.terminated | step.truncated)
            if ended.size:
                env.reset(ended, np.arange(seed, seed + ended.size, dtype=np.uint64))
            spent += time.thread_time() - start
            seed += ended.size
            steps += battles
        rates.append(steps / spent)
    return max(rates), compiled


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", default=list(MAPS))
    parser.add_argument("--battles", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time per map")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread")
    print(f"{'map':18s}{'battles':>8s}{'steps/s':>12s}{'us/step':>10s}{'target':>10s}{'seconds to compile':>20s}")
    for name in options.maps:
        rate, compiled = measure(name, options.battles, options.seconds)
        target = f"{TARGETS[name]:,}" if name in TARGETS else "-"
        print(f"{name:18s}{options.battles:8d}{rate:12,.0f}{1e6 / rate:10.1f}{target:>10s}{compiled:20.1f}")


if __name__ == "__main__":
    main()
