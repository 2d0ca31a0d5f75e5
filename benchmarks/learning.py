"""Learning curves of docs/results.md: several algorithms and seeds, two runs at a time, then tables and pictures.

    python benchmarks/learning.py matrix spread lbf --seeds 3 --jobs 2

A run that has completed already is not repeated, so an interrupted call can be started again.
Results lie under results/learning/<group>; the pictures beside them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALGORITHMS = ("asae", "coma", "iql", "vdn", "qmix")
# what climbing needs: no future to value, and policies that keep trying while the critic learns the payoffs
CLIMBING = """gamma=0 use_rnn=false parameter_sharing=none lr=0.0005 entropy_coef=0.03 standardise_advantages=false
    critic_updates=8 critic_lr=0.001"""
# (game, algorithm) -> further settings; two_step as in the QMIX paper (arXiv 1803.11485, section 5): always exploring
TUNED = {("climbing", name): tuple(CLIMBING.split()) for name in ("asae", "coma", "coma_tuned")} | {
    ("two_step", name): ("epsilon_finish=1.0",) for name in ("iql", "vdn", "qmix")
}


@dataclass(frozen=True)
class Run:
    """One training run: algorithm, environment, seed and further settings."""

    group: str
    algorithm: str
    environment: str
    seed: int
    words: tuple[str, ...]

    @property
    def results(self) -> Path:
        """Folder of the group's results."""
        return ROOT / "results" / "learning" / self.group

    def command(self) -> list[str]:
        """The command line, as a user would type it."""
        words = [f"seed={self.seed}", f"local_results_path={self.results.relative_to(ROOT)}", *self.words]
        return ["src/main.py", f"--config={self.algorithm}", f"--env-config={self.environment}", "with", *words]

    def completed(self) -> bool:
        """Whether a run with this very command is on file."""
        for info in self.results.glob(f"sacred/{self.algorithm}/*/*/run.json"):
            command = info.with_name("command.json")
            same = command.is_file() and json.loads(command.read_text()) == self.command()
            if same and json.loads(info.read_text())["status"] == "COMPLETED":
                return True
        return False


def runs(group: str, seeds: int, algorithms: Sequence[str]) -> Iterator[Run]:
    """The runs of one group."""
    lbf = "env_args.key=lbforaging:Foraging-8x8-2p-3f"
    tasks: dict[str, list[tuple[str, tuple[str, ...]]]] = {
        "matrix": [
            ("matrix_game", ("env_args.game=penalty", "env_args.k=0", "t_max=50000", "test_interval=5000")),
            ("matrix_game", ("env_args.game=climbing", "t_max=500000", "test_interval=10000")),
            ("matrix_game", ("env_args.game=two_step", "t_max=20000", "test_interval=1000")),
        ],
        "spread": [("spread", ("env_args.n_agents=3", "t_max=1000000"))],
        "lbf": [("gymma", (f"{lbf}-v3", "env_args.time_limit=50", "t_max=2000000", "test_interval=100000"))],
        "lbf-coop": [("gymma", (f"{lbf}-coop-v3", "env_args.time_limit=50", "t_max=2000000", "test_interval=100000"))],
    }
    for seed in range(1, seeds + 1):
        for environment, words in tasks[group]:
            for algorithm in algorithms:
                game = words[0].removeprefix("env_args.game=")
                tuned = TUNED.get((game, algorithm), ())
                yield Run(group, algorithm, environment, seed, ("save_model=false", *words, *tuned))


def play(run: Run) -> str:
    """Run one command, unless it has completed before; returns a line about it."""
    about = f"{run.group}: {run.algorithm} seed {run.seed} {' '.join(run.words)}"
    if run.completed():
        return f"done before  {about}"
    ended = subprocess.run([sys.executable, *run.command()], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode != 0:
        return f"FAILED       {about}\n{ended.stdout[-500:]}{ended.stderr[-2000:]}"
    lines = ended.stdout.strip().splitlines()
    folder = Path(lines[-1].partition("Results: ")[2])
    (folder / "command.json").write_text(json.dumps(run.command()))
    return f"{lines[-2]}  {about}"


def main() -> None:
    """Run the groups, then draw them."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("groups", nargs="+", choices=["matrix", "spread", "lbf", "lbf-coop"])
    cli.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--jobs", type=int, default=2)
    args = cli.parse_args()
    todo = [run for group in args.groups for run in runs(group, args.seeds, args.algorithms)]
    with ThreadPoolExecutor(args.jobs) as pool:
        for line in pool.map(play, todo):
            print(line, flush=True)
    for group in args.groups:
        folder = ROOT / "results" / "learning" / group
        drawn = ["--center", "median", "--metric", "test_return_mean", "--table", "--out", f"{folder}.png"]
        subprocess.run([sys.executable, "src/plot.py", str(folder), *drawn], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
