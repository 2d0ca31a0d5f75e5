"""Durability, measured: real runs are killed, starved of disk and time, and must come back bit for bit.

    python benchmarks/torture.py                              # every fault at 20 random moments: 12 minutes
    python benchmarks/torture.py --moments 2 --only clock pairs
    python benchmarks/torture.py --seed 7                     # other moments

Ends with a table in Markdown; exit status 1 if any check fails or a fault is impossible here, saying which.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "src"), str(ROOT / "tests")]

import core.packages  # noqa: E402, F401, I001  (first: it tells of missing packages)
from faults import disks, pairs, sweeping  # noqa: E402
from faults.kills import Part, chained, clocks, slow, words  # noqa: E402
from faults.playing import Ground  # noqa: E402
from faults.tally import Tally, table  # noqa: E402

SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
KINDS = ("on-policy", "off-policy", "two teams")
NAMESPACE = "TORTURE_NAMESPACE"


def signals(ground: Ground, name: str) -> list[tuple[str, Part]]:
    """Runs that are hit by a signal: (what is done, in words, and how)."""
    word, _, kind = name.partition(", ")
    return chained(ground, name, kind, SIGNALS[word])


def sweeps(ground: Ground, name: str) -> list[tuple[str, Part]]:
    """Sweeps that are killed and called again."""
    numbers = range(-(-ground.moments // sweeping.LENGTH))
    return [("; ".join(sweeping.words(sweeping.plan(ground, i))), partial(sweeping.play, ground, i)) for i in numbers]


def broken(ground: Ground, name: str) -> list[tuple[str, Part]]:
    """Disks that break while a run goes on."""
    numbers = range(-(-ground.moments // disks.LENGTH))
    return [(words(disks.plan(ground, name, i)), partial(disks.play, ground, name, i)) for i in numbers]


FAULTS: dict[str, Callable[[Ground, str], list[tuple[str, Part]]]] = {
    "sweep": sweeps,  # first: it waits most
    **{f"{word}, {kind}": signals for kind in KINDS for word in SIGNALS},
    **dict.fromkeys(disks.BROKEN, broken),
    "read-only results": lambda ground, name: [("six commands", partial(disks.refused, ground))],
    "clock": clocks,
    "pairs": lambda ground, name: [("two runs at once", partial(pairs.play, ground, i)) for i in range(ground.moments)],
    "slow disk": slow,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    cli.add_argument("--moments", type=int, default=20, help="of each fault (default: %(default)s)")
    told = f"words that a fault's name begins with or has; faults: {'; '.join(FAULTS)}"
    cli.add_argument("--only", nargs="+", metavar="FAULT", default=[], help=told)
    cli.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)) + 1, help="chains of runs at once")
    cli.add_argument("--folder", type=Path, help="where all is played, and stays (default: a temporary one)")
    return cli


def chosen(only: list[str]) -> list[str]:
    """The faults that were asked for."""
    names = [name for name in FAULTS if not only or any(word in name for word in only)]
    if unknown := [word for word in only if not any(word in name for name in FAULTS)]:
        sys.exit(f"error: --only {' '.join(unknown)}: no such fault; there are: {'; '.join(FAULTS)}")
    return names


def play(ground: Ground, names: list[str], jobs: int) -> dict[str, Tally]:
    """Do all of it."""
    found = {name: Tally() for name in names}
    parts: dict = {}
    with ThreadPoolExecutor(jobs) as pool:
        for name in names:
            for told, part in FAULTS[name](ground, name):
                print(f"{name}: {told}", flush=True)
                parts[pool.submit(part)] = name
        for number, future in enumerate(as_completed(parts), 1):
            found[parts[future]].add(_result(future))
            print(f"[{number}/{len(parts)}] {parts[future]}: {len(found[parts[future]].wrong)} wrong", flush=True)
    return found


def _result(future) -> Tally:
    error = future.exception()
    if error is None:
        return future.result()
    return Tally(wrong=["".join(traceback.format_exception(error))])


def alone(argv: list[str]) -> None:
    """Go on in a namespace of mounts, where disks that are mounted are nobody else's and go with this process."""
    words = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    possible = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    if possible and NAMESPACE not in os.environ:
        sys.stdout.flush()
        os.execvpe("unshare", [*words, sys.executable, __file__, *argv], os.environ | {NAMESPACE: "1"})


def main(argv: list[str] | None = None) -> int:
    """Play, show the table; the exit status."""
    given = parser().parse_args(argv)
    names = chosen(given.only)
    alone(sys.argv[1:] if argv is None else argv)
    began = time.monotonic()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="torture-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found = play(Ground(folder, given.seed, given.moments), names, given.jobs)
    print(f"\n{table(found)}\n\n--moments {given.moments} --seed {given.seed}: {time.monotonic() - began:.0f} s")
    faults = [f"{name}: {fault}" for name, tally in found.items() for fault in tally.faults]
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    if not faults and given.folder is None:
        shutil.rmtree(folder)
    elif faults:
        print(f"What is left of the runs: {folder}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
