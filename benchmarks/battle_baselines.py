"""Win rates of the scripted policies on the maps of the battle environment.

python benchmarks/battle_baselines.py [--maps 3m MMM2 ...] [--policies random nearest focus] [--episodes 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from envs.battle.battle import Battle, BattleArgs
from envs.battle.maps import map_names
from envs.battle.scripted import POLICIES, play

BATTLES = 50


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", default=map_names())
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seeds = np.random.SeedSequence(options.seed).generate_state(options.episodes, np.uint64)
    print(f"{options.episodes} episodes, seed {options.seed}: won %, mean return, mean length")
    print(f"{'map':18s}" + "".join(f"{policy:>22s}" for policy in options.policies))
    for name in options.maps:
        cells = []
        for policy in options.policies:
            found = play(Battle(BATTLES, BattleArgs(map_name=name)), policy, seeds)
            won, total, length = (found[key].mean() for key in ("battle_won", "return", "length"))
            cells.append(f"{100 * won:8.1f} {total:6.1f} {length:6.1f}")
        print(f"{name:18s}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
