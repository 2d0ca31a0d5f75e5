"""What a live copy in MongoDB costs training: python benchmarks/bench_mongo.py.

Trains with mongo_url against a real server on this machine (requirements-mongo-test.txt), and prints the processor time
that the copy's thread has used as a share of the process's: Python runs one thread at a time, so the training waits for
it no longer than that. (Two whole runs, one with and one without, differ by more for other reasons.)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import main as command_line  # noqa: E402
from mirrors.follower import Follower  # noqa: E402
from mongod import Mongod  # noqa: E402


def main() -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=200_000)
    given = cli.parse_args()
    used: list[float] = []
    real = Follower._try

    def measured(follower: Follower, step: Any) -> bool:
        began = time.thread_time()
        try:
            return real(follower, step)
        finally:
            used.append(time.thread_time() - began)

    Follower._try = measured  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as name:
        server = Mongod(Path(name) / "mongod").start()
        try:
            cpu, clock = time.process_time(), time.perf_counter()
            words = ["--config=asae", "--env-config=spread", "with", "seed=1", "quiet=True", f"t_max={given.steps}"]
            command_line.main([*words, f"local_results_path={name}", f"mongo_url={server.url}"])
            cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        finally:
            server.kill()
    print(
        f"{len(used)} times brought up to date: {sum(used):.3f} s of {cpu:.1f} s of processor time, "
        f"{100 * sum(used) / cpu:.2f}% ({clock:.0f} s on the clock)"
    )


if __name__ == "__main__":
    main()
