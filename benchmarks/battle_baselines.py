"""Win rates of scripted players on the maps of the battle environment, as docs/battle.md prints them.

python benchmarks/battle_baselines.py [--maps 3m MMM2 ...] [--players random attack_nearest] [--episodes 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)
from envs.baselines import play
from envs.battle.maps import map_names

PLAYERS = ("random", "attack_nearest", "focus_fire")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", default=map_names())
    parser.add_argument("--players", nargs="+", default=PLAYERS)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.episodes} episodes, seed {options.seed}: won %, mean return")
    print(f"{'map':18s}" + "".join(f"{player:>16s}" for player in options.players))
    for name in options.maps:
        cells = []
        for player in options.players:
            returns, info = play("battle", {"agents": player}, options.episodes, seed=options.seed, map_name=name)
            cells.append(f"{100 * info['battle_won'].mean():9.1f} {returns['agents'].mean():6.1f}")
        print(f"{name:18s}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
