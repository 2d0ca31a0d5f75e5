"""What a live copy in MongoDB costs training: python benchmarks/bench_mongo.py.

Plays the same run with and without mongo_url against a real server on this machine (requirements-mongo-test.txt), in
turns, and prints processor time and clock time of each run's process; the server's own is not counted. The copy is its own
thread of that process, so its processor time is in the numbers.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from mongod import Mongod  # noqa: E402


def play(folder: Path, words: list[str]) -> tuple[float, float]:
    """One run; (processor seconds, clock seconds)."""
    command = [
        sys.executable,
        str(ROOT / "src" / "main.py"),
        "--config=asae",
        "--env-config=spread",
        "with",
        "quiet=True",
    ]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, f"local_results_path={folder}", *words], check=True)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock


def main() -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=200_000)
    cli.add_argument("--repeats", type=int, default=3)
    given = cli.parse_args()
    words = ["seed=1", f"t_max={given.steps}"]
    with tempfile.TemporaryDirectory() as name:
        server = Mongod(Path(name) / "mongod").start()
        try:
            spent: dict[str, list[tuple[float, float]]] = {"alone": [], "with mongo_url": []}
            for _ in range(given.repeats):
                spent["alone"].append(play(Path(name), words))
                spent["with mongo_url"].append(play(Path(name), [*words, f"mongo_url={server.url}"]))
        finally:
            server.kill()
    for label, runs in spent.items():
        cpu, clock = zip(*runs, strict=True)
        print(f"{label:<15} processor {statistics.median(cpu):.2f} s, clock {statistics.median(clock):.2f} s "
              f"(median of {given.repeats} runs; processor {min(cpu):.2f} to {max(cpu):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
