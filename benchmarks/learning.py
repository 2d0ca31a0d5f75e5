"""Learning curves of docs/results.md: several algorithms and seeds, two runs at a time, then tables and pictures.

    python benchmarks/learning.py matrix spread lbf --seeds 3 --jobs 2
    python benchmarks/learning.py spread --algorithms qmix vdn with t_max=2000000    # words for all runs
    python benchmarks/learning.py battle --tasks 2s3z --algorithms dop maddpg        # some of its tasks
    python benchmarks/learning.py ablation --tasks spread_paper --lines synchronous

A run that has completed already with the same settings is not repeated, an interrupted one is continued.
Results lie under results/learning/<group>; the pictures beside them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError
from core.registry import did_you_mean
from core.words import parted
from studies.commanding import status_of
from studies.figures import Choice
from studies.run_set import RunSet
from studies.runs import Run

ROOT = Path(__file__).resolve().parent.parent
ALGORITHMS = ("asae", "coma", "iql", "vdn", "qmix")
# a game's steps where an algorithm needs others
LONGER = {("climbing", name): ("t_max=500000",) for name in ("asae", "coma", "coma_tuned")}
SAMPLED = "test_sampled_return_mean"
METRICS = {
    "chase": ("test_predator_return_mean", "test_prey_return_mean"),
    "battle": ("test_battle_won_mean",),
    "battle-hard": ("test_battle_won_mean",),
    "lbf": ("test_return_mean", SAMPLED),
    "lbf-coop": ("test_return_mean", SAMPLED),
}
LBF = "env_args.key=lbforaging:Foraging-8x8-2p-3f"
# maps of the battle world -> environment steps
BATTLES = {
    "3m": 500_000,
    "8m": 500_000,
    "2s3z": 1_000_000,
    "3s5z": 1_000_000,
    "3s_vs_3z": 1_000_000,
    "2m_vs_1z": 500_000,
}
HARD_BATTLES = dict.fromkeys(("MMM2", "1c3s5z", "2c_vs_64zg"), 3_000_000)
# what makes ASAE's advantage: line -> settings
ABLATION = {
    "critic alone": "advantage=critic",
    "GAE alone": "advantage=gae",
    "doubly robust": "",
    "synchronous": "resync=true",
    "m = 1": "n_samples=1",
    "exact": "marginal=exact",
    "value head": "critic_value_head=true",
}
SPREAD = ("env_args.n_agents=3", "t_max=1000000")
# one network, which must learn who is nearest: config/recommended/spread.yaml
LONG = """env_args.n_agents=3 t_max=5000000 test_interval=250000
    parameter_sharing=full batch_size_run=128 lr=0.0007 epochs=10 critic_updates=10
    entropy_coef=0.01 entropy_coef_finish=0.01"""
PAPER = ("env_args.n_agents=5", *Choice().settings(1600, 0)[1:])
ABLATED = {"spread": SPREAD, "spread_paper": PAPER}


def _battles(maps: Mapping[str, int]) -> list[tuple[str, tuple[str, ...]]]:
    tests = "test_interval=25000"
    return [("battle", (f"env_args.map_name={name}", f"t_max={steps}", tests)) for name, steps in maps.items()]


FORAGING = ("env_args.time_limit=50", "t_max=2500000", "test_interval=100000", "test_sampled=true")
TASKS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "matrix": [
        ("matrix_game", ("env_args.game=penalty", "env_args.k=0", "t_max=50000", "test_interval=5000")),
        ("matrix_game", ("env_args.game=climbing", "t_max=100000", "test_interval=10000")),
        ("matrix_game", ("env_args.game=two_step", "t_max=20000", "test_interval=1000")),
        ("matrix_game", ("env_args.game=qtran", "t_max=50000", "test_interval=5000")),
    ],
    "spread": [("spread", SPREAD)],
    "spread-long": [("spread", tuple(LONG.split()))],
    "battle": _battles(BATTLES),
    "battle-hard": _battles(HARD_BATTLES),
    "lbf": [("gymma", (f"{LBF}-v3", *FORAGING))],
    "lbf-coop": [("gymma", (f"{LBF}-coop-v3", *FORAGING))],
}


def runs(group: str, seeds: int, algorithms: Sequence[str], tasks: Sequence[str]) -> Iterator[Run]:
    """The runs of one group; of the tasks that are named by a word's value, where any is."""
    for environment, words in TASKS[group]:
        if tasks and not {word.partition("=")[2] for word in words} & set(tasks):
            continue
        for seed in range(1, seeds + 1):
            for algorithm in algorithms:
                settings = (f"seed={seed}", *words, *LONGER.get((words[0].partition("=")[2], algorithm), ()))
                panel = f"{group}: {' '.join(words)}"
                yield Run(panel=panel, line=algorithm, config=algorithm, env=environment, words=settings)


def ablation(seeds: int, lines: Sequence[str], tasks: Sequence[str]) -> Iterator[Run]:
    """Variants of asae on spread with three agents, and on the paper's with five; on those that are named, if any."""
    for environment, words in ABLATED.items():
        if tasks and environment not in tasks:
            continue
        for seed in range(1, seeds + 1):
            for line in lines:
                settings = (f"seed={seed}", *words, *ABLATION[line].split())
                yield Run(panel=f"ablation: {environment}", line=line, config="asae", env=environment, words=settings)


def chase(seeds: int) -> Iterator[Run]:
    """Both teams by maddpg, three a side, who know each other's policies or infer them."""
    words = ("env_args.n_predators=3", "env_args.n_preys=3", "t_max=1000000", "test_interval=100000")
    inferring = ("policy_inference=true", "team.prey.policy_inference=true")
    for seed in range(1, seeds + 1):
        for line, more in (("known policies", ()), ("inferred policies", inferring)):
            yield Run(
                panel="chase", line=line, config="maddpg", env="predator_prey", teams=("prey=maddpg",),
                words=(f"seed={seed}", *words, "team.prey.gamma=0.98", *more),
            )  # fmt: skip


def tasks_of(group: str) -> list[str]:
    """By what --tasks names a group's tasks."""
    if group == "ablation":
        return list(ABLATED)
    words = [word for _, words in TASKS.get(group, ()) for word in words if word.startswith("env_args.")]
    return list(dict.fromkeys(word.partition("=")[2] for word in words))


def check_tasks(groups: Sequence[str], tasks: Sequence[str]) -> None:
    """Refuse tasks that none of the groups has: nothing would be run for them.

    Raises:
        UserError: there is one.
    """
    known = [name for group in groups for name in tasks_of(group)]
    for task in tasks:
        if task not in known:
            listed = f"Known: {', '.join(known)}." if known else "They have none to choose from."
            near, asked = did_you_mean(task, known), " and ".join(groups)
            raise UserError(f"--tasks {task}: there is no such task in {asked}.{near} {listed}")


def made(group: str, args: argparse.Namespace) -> Iterator[Run]:
    """The runs of a group that are asked for."""
    if group == "ablation":
        return ablation(args.seeds, args.lines, args.tasks)
    return chase(args.seeds) if group == "chase" else runs(group, args.seeds, args.algorithms, args.tasks)


def learn(group: str, args: argparse.Namespace, words: Sequence[str]) -> list[str]:
    """Run one group, then draw it; messages of runs that failed."""
    folder = ROOT / "results" / "learning" / group
    todo = [replace(run, words=(*run.words, *words)) for run in made(group, args)]
    found = RunSet(folder, also=args.also)
    with found.locked():
        failures = found.play(todo, jobs=args.jobs)
    done = [str(path) for path in map(found.completed, todo) if path is not None]
    first, *others = METRICS.get(group, ("test_return_mean",))
    for metric in (first, *others) if done else ():
        out = f"{folder}.png" if metric == first else f"{folder}_{metric.split('_')[1]}.png"
        drawn = ["--center", "median", "--metric", metric, "--table", "--out", out]
        subprocess.run([sys.executable, "src/plot.py", *done, *drawn], cwd=ROOT, check=True)
    return failures


def played(args: argparse.Namespace, words: Sequence[str]) -> list[str]:
    """Run and draw all groups; messages of runs that failed."""
    check_tasks(args.groups, args.tasks)
    return [failure for group in args.groups for failure in learn(group, args, words)]


def main() -> int:
    """Run the groups, then draw them."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("groups", nargs="+", choices=[*TASKS, "ablation", "chase"])
    told = "maps or games of the groups, environments of the group ablation: 2s3z climbing spread_paper"
    cli.add_argument("--tasks", nargs="+", default=[], help=told)
    cli.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    cli.add_argument("--lines", nargs="+", choices=ABLATION, default=list(ABLATION), help="of the group ablation")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--jobs", type=int, default=2)
    cli.add_argument("--also", nargs="+", type=Path, default=[], metavar="DIR", help="runs that completed there count")
    arguments, words = parted(sys.argv[1:])
    args = cli.parse_args(arguments)
    return status_of(lambda: played(args, words))


if __name__ == "__main__":
    sys.exit(main())
