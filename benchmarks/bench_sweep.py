"""What the engine of sweeps costs: 8 short runs by src/sweep.py beside the same runs by plain shell jobs.

    python benchmarks/bench_sweep.py                 # two at once, three times each, turn and turn about
    python benchmarks/bench_sweep.py --jobs 4 --t-max 20000 --placer ray

Wall time and processor time; the best of each counts. The jobs are those of --export-commands, through xargs.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = [sys.executable, str(Path(__file__).resolve().parent.parent / "src" / "sweep.py")]


def timed(command: str | list[str], folder: Path) -> tuple[float, float]:
    """Seconds of wall and processor time of a command and all its children."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before, began = used(), time.perf_counter()
    shell = isinstance(command, str)
    subprocess.run(command, cwd=folder, shell=shell, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, used() - before


def main() -> None:
    """Time both ways."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--jobs", type=int, default=2)
    cli.add_argument("--t-max", type=int, default=100_000)
    cli.add_argument("--repeat", type=int, default=3)
    cli.add_argument("--placer", choices=("local", "ray"), default="local")
    given = cli.parse_args()
    plan = ["--config", "coma", "vdn", "--env-config", "spread", "--seeds", "4", "--results", "results"]
    words = ["with", f"t_max={given.t_max}", f"test_interval={given.t_max}"]
    times: dict[str, list[tuple[float, float]]] = {"shell": [], "sweep": []}
    for _ in range(given.repeat):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            subprocess.run([*SWEEP, *plan, "--export-commands", "jobs", *words], cwd=folder, check=True)
            times["shell"].append(timed(f"xargs -P {given.jobs} -d '\\n' -I LINE sh -c LINE < jobs", folder))
        with tempfile.TemporaryDirectory() as name:
            placed = ["--jobs", str(given.jobs), "--placer", given.placer]
            times["sweep"].append(timed([*SWEEP, *plan, *placed, *words], Path(name)))
    best = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (wall, cpu) in best.items():
        print(f"{name}  {wall:6.1f} s  {cpu:6.1f} s of processor time")
    ratios = [sweep / shell for sweep, shell in zip(best["sweep"], best["shell"], strict=True)]
    print(f"sweep / shell: {ratios[0]:.3f} of the time, {ratios[1]:.3f} of the processor time")


if __name__ == "__main__":
    main()
