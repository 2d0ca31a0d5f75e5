"""Returns and capture rates of scripted players in the particle worlds, as docs/particle_worlds.md prints them.

python benchmarks/particle_baselines.py [--episodes 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np

from envs.baselines import play

SPREAD = ("random", "noop", "nearest", "assigned")
CHASES = (("random", "random"), ("greedy", "random"), ("random", "fleeing"), ("greedy", "fleeing"))


def row(*cells: str) -> None:
    """Print one line of a table."""
    print("| " + " | ".join(cells) + " |")


def head(*names: str) -> None:
    """Print a table's head."""
    row(*names)
    row(*["---"] * len(names))


def mean(values: np.ndarray, digits: int = 1) -> str:
    """Return the mean with its standard error."""
    return f"{values.mean():.{digits}f} +- {values.std() / np.sqrt(len(values)):.{digits}f}"


def spread(episodes: int, seed: int) -> None:
    """Returns in spread; in spread_paper: the distances alone with full sight, then with the defaults."""
    print("\nspread, defaults: return of the team\n")
    head("N", *SPREAD)
    for n in (3, 4, 5):
        found = [play("spread", {"agents": who}, episodes, seed=seed, n_agents=n)[0] for who in SPREAD]
        row(str(n), *[mean(returns["agents"]) for returns in found])
    bare = {"sight_radius": None, "collision_penalty": 0.0, "n_obstacles": 0}
    print("\nspread_paper, sight_radius=null collision_penalty=0 n_obstacles=0: return of the team\n")
    head("N", "reward_form", *SPREAD)
    for n in (3, 4, 5):
        for form in ("landmarks", "agents"):
            kwargs = {"n_agents": n, "reward_form": form, **bare}
            found = [play("spread_paper", {"agents": who}, episodes, seed=seed, **kwargs)[0] for who in SPREAD]
            row(str(n), form, *[mean(returns["agents"]) for returns in found])
    print("\nspread_paper, defaults: return of the team, collisions, landmarks occupied at the end\n")
    head("N", *SPREAD)
    for n in (3, 4, 5):
        cells = []
        for who in SPREAD:
            returns, info = play("spread_paper", {"agents": who}, episodes, seed=seed, n_agents=n)
            collisions, occupied = info["collisions"].mean(), info["occupied_landmarks"].mean()
            cells.append(f"{mean(returns['agents'])}, {collisions:.1f}, {occupied:.2f}")
        row(str(n), *cells)


def chase(episodes: int, seed: int) -> None:
    """Capture rates and returns in predator_prey, contacts in simple_tag."""
    print("\npredator_prey, defaults\n")
    head("predators v preys", "players", "capture rate", "predators' return", "preys' return")
    for n in (2, 3, 4):
        for predator, prey in CHASES:
            players = {"predator": predator, "prey": prey}
            returns, info = play("predator_prey", players, episodes, seed=seed, n_predators=n, n_preys=n)
            numbers = mean(info["capture_rate"], 3), mean(returns["predator"]), mean(returns["prey"])
            row(f"{n} v {n}", f"{predator} v {prey}", *numbers)
    print("\nsimple_tag, defaults\n")
    head("players", "contacts", "prey's return")
    for predator, prey in CHASES:
        returns, info = play("simple_tag", {"predator": predator, "prey": prey}, episodes, seed=seed)
        row(f"{predator} v {prey}", mean(info["contacts"], 2), mean(returns["prey"]))


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.episodes} episodes each, mean +- standard error")
    spread(options.episodes, options.seed)
    chase(options.episodes, options.seed)


if __name__ == "__main__":
    main()
