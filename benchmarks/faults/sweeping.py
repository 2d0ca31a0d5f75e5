"""A sweep that is killed as a whole, or alone, or asked to end, and called again each time."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from faults import checking
from faults.playing import BEAT, SMALL, SOURCE, Ground, Playing
from faults.tally import Tally

LENGTH = 5  # hits of one folder of results
T_MAX = 1500
ALGORITHMS = ("asae", "iql")
SEEDS = 2
POLL = 0.05
ENDED = {"", "Z", "X"}
WAYS = ("kill -9 of all", "kill -9 of the sweep", "SIGTERM")


def sweep(results: Path) -> list[str]:
    """Its command."""
    small = [word for word in SMALL if not word.startswith("seed=")]
    return [
        sys.executable, str(SOURCE / "sweep.py"), "--config", *ALGORITHMS, "--env-config", "matrix_game",
        "--seeds", str(SEEDS), "--jobs", "2", "--results", str(results), "with", *small, f"t_max={T_MAX}",
    ]  # fmt: skip


def plan(ground: Ground, number: int) -> list[tuple[float, str]]:
    """Random moments: the share of all steps, and what happens then."""
    rng = ground.rng("sweep", number)
    wanted = max(0, min(LENGTH, ground.moments - number * LENGTH))
    shares = sorted(rng.uniform(0.0, 0.9) for _ in range(wanted))
    return [(share, WAYS[(number + i) % len(WAYS)]) for i, share in enumerate(shares)]


def words(moments: list[tuple[float, str]]) -> list[str]:
    """The same for people."""
    return [f"{way} at {share:.0%} of all steps" for share, way in moments]


def done(results: Path) -> float:
    """The share of all steps that are on file."""
    reached: dict[str, int] = {}
    for folder in checking.folders(results):
        path = folder / "config.json"
        if path.exists():
            config = checking.strict(path.read_bytes())
            key = f"{config['name']} {config['seed']}"
            reached[key] = max(reached.get(key, 0), checking.last_step(folder))
    return sum(reached.values()) / (T_MAX * len(ALGORITHMS) * SEEDS)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in path.read_text().split()]
    return found


def hit(run: Playing, way: str, rng: random.Random) -> tuple[int, set[int]]:
    """Do it, and wait until the sweep and its runs are gone; its exit status, and which are allowed."""
    time.sleep(rng.uniform(0.0, 0.5))
    if way == WAYS[2]:
        own = children(run.process.pid)
        status, allowed = run.hit(signal.SIGTERM)[0], {128 + signal.SIGTERM, 0 if own else -signal.SIGTERM}
    else:
        run.process.send_signal(signal.SIGSTOP)  # it starts no more, and does not see its runs die
        while _state(run.process.pid) not in ENDED | {"T"}:
            time.sleep(POLL)
        own = children(run.process.pid)
        for pid in own if way == WAYS[0] else ():
            os.kill(pid, signal.SIGKILL)
        status, allowed = run.hit(signal.SIGKILL)[0], {-signal.SIGKILL}
    while any(_state(pid) not in ENDED for pid in own):
        time.sleep(POLL)
    return status, allowed


def _state(pid: int) -> str:
    """Of a process, in the kernel's letter; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def play(ground: Ground, number: int) -> Tally:
    """One folder of results, until its sweep has completed."""
    moments, tally, rng = plan(ground, number), Tally(), ground.rng("sweep delays", number)
    tally.wanted = len(moments)
    results = ground.place(f"sweep {number + 1}")
    while True:
        with Playing(sweep(results), results, BEAT) as run:
            while run.process.poll() is None and not (moments and done(results) >= moments[0][0]):
                time.sleep(POLL)
            if run.process.poll() is not None:
                break
            share, way = moments.pop(0)
            status, allowed = hit(run, way, rng)
            tally.tried += 1
            if status not in allowed:
                tally.wrong.append(f"{results}: {way} at {share:.0%}: exit status {status}: {run.errors[-500:]}")
            tally.wrong += checking.unreadable(results)
    if run.process.returncode != 0:
        tally.wrong.append(f"{results}: the sweep ended with {run.process.returncode}: {run.errors[-500:]}")
    _judge(results, ground.once("sweep", sweep), tally)
    return tally


def _judge(results: Path, reference: Path, tally: Tally) -> None:
    """Every run is there once, and as it would have been."""
    tally.wrong += checking.unreadable(results)
    ours, theirs = checking.completed(results), checking.completed(reference)
    for key, (whole,) in theirs.items():
        own = ours.get(key, [])
        wrong = checking.unlike(own[0], whole) if len(own) == 1 else [f"{results}: {key} is there {len(own)} times"]
        tally.finished += 1
        tally.same += not wrong
        tally.wrong += wrong
