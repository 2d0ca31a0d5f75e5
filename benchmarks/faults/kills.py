"""Runs that are killed, or asked to end, again and again, and resumed each time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from components import checkpoint
from faults import checking
from faults.playing import BEAT, KINDS, Ground, Moment, Playing, draw, resume
from faults.tally import Tally

Part = Callable[[], Tally]
LENGTH = 10  # moments of one chain of runs
LONG = 10.0  # seconds: no more than the last ones may be missing


def chains(ground: Ground, name: str) -> list[tuple[str, list[Moment]]]:
    """The moments of a fault, by chains of runs."""
    left, found = ground.moments, []
    while left > 0:
        number = min(LENGTH, left)
        title = f"{name} {len(found) + 1}"
        found.append((title, draw(ground.rng(title), number)))
        left -= number
    return found


class Chain:
    """One run that is hit at moments, and continued after each.

    Args:
        ground: where.
        title: of its folder.
        kind: of the run.
        signum: what it is hit with.
        env: variables of its environment.
        timed: whether its clock can be believed.
    """

    def __init__(
        self, ground: Ground, title: str, kind: str, signum: int, *, env: Mapping[str, str] = BEAT, timed: bool = True
    ) -> None:
        self._kind, self._name, self._signum, self._timed = KINDS[kind], kind, signum, timed
        self._env = env
        self._ground, self._title = ground, title
        self.tally = Tally(in_save=0)

    def play(self, moments: list[Moment]) -> Tally:
        """Play to the end; moments that came too late are moments of another run, half the seconds after its start."""
        self.tally.wanted = len(moments)
        reference = self._ground.reference(self._name)
        for number in range(3):
            if moments:
                results = self._ground.place(f"{self._title}{'+' * number}")
                moments = self._one(results, list(moments))
                moments = [moment.sooner() for moment in moments[:1]] + moments[1:]
                self._judge(results, reference)
        return self.tally

    def _one(self, results: Path, moments: list[Moment]) -> list[Moment]:
        command = self._kind.command(results)
        while True:
            with Playing(command, results, self._env) as run:
                if not moments or not run.until(moments[0], self._kind.t_max):
                    if (status := run.wait()) != 0:
                        self._fault(run, f"ended with {status}: {run.errors[-500:]}")
                    return moments
                saving = run.saving()
                status, when = run.hit(self._signum)
                if status == 0 or over(run, status, self._signum):
                    return moments
                moments.pop(0)
                self.tally.tried += 1
                self.tally.in_save += saving or run.saving()  # what was begun is there after a kill
                self._check(run, status, when)
            last = newest(results)
            command = self._kind.command(results) if last is None else resume(last)

    def _fault(self, run: Playing, text: str) -> None:
        self.tally.wrong.append(f"{self._title}: {run.folder or run.results}: {text}")

    def _check(self, run: Playing, status: int, when: float) -> None:
        """After the hit: status, files, what was lost."""
        killed = self._signum == signal.SIGKILL
        begun = run.folder is not None and (run.folder / "run.json").exists()
        allowed = {-signal.SIGKILL} if killed else {128 + self._signum} | (set() if begun else {-self._signum})
        if status not in allowed:
            self._fault(run, f"exit status {status}, not {allowed}: {run.errors[-500:]}")
        self.tally.wrong += checking.unreadable(run.results)
        if begun and (run.folder / "info.json").exists():
            self._check_lost(run, when, killed)

    def _check_lost(self, run: Playing, when: float, killed: bool) -> None:
        folder = run.folder
        if (said := checking.status(folder)) != ("RUNNING" if killed else "INTERRUPTED"):
            self._fault(run, f"run.json says {said}")
        if checking.lines(folder)[: len(run.seen)] != run.seen:
            self._fault(run, "points that were on file are gone")
        saved = checkpoint.steps(checking.models(folder))
        begun = checking.strict((folder / "info.json").read_bytes()).get("resumed_at", 0)
        steps = max(0, checking.last_step(folder) - max([begun, *saved]))
        if steps > (self._kind.reach if killed else 0):
            self._fault(run, f"{steps} steps came after the newest checkpoint")
        if self._timed and killed:
            ages = checking.record_age(folder, when), checking.training_age(folder, when)
            self.tally.lost(records=ages[0], training=ages[1], steps=steps)
            if ages[0] > LONG:
                self._fault(run, f"the last point was {ages[0]:.1f} s old")
        elif self._timed:
            self.tally.lost(records=0.0, training=0.0, steps=steps)

    def _judge(self, results: Path, reference: Path) -> None:
        self.tally.finished += 1
        wrong = judged(results, reference)
        self.tally.wrong += wrong
        self.tally.same += not wrong


def over(run: Playing, status: int, signum: int) -> bool:
    """Whether a process that a signal has ended had nothing left to do but to end: its run had completed."""
    return status == -signum and run.folder is not None and checking.status(run.folder) == "COMPLETED"


def newest(results: Path) -> Path | None:
    """The run that is to be continued: the last one that has a checkpoint."""
    having = [one for one in checking.folders(results) if checkpoint.steps(checking.models(one))]
    return having[-1] if having else None


def judged(results: Path, reference: Path) -> list[str]:
    """What is wrong with a finished chain: files, points twice, anything unlike the undisturbed run."""
    done = [folder for own in checking.completed(results).values() for folder in own]
    continued = {part.resolve() for folder in done for part in checking.parts(folder)[:-1]}
    ended = [folder for folder in done if folder.resolve() not in continued]
    if len(ended) != 1:
        return [f"{results}: {len(ended)} runs have completed, not 1"]
    return checking.unreadable(results) + checking.unlike(ended[0], reference)


def chained(ground: Ground, name: str, kind: str, signum: int, **more: Any) -> list[tuple[str, Part]]:
    """The chains of a fault: (their moments in words, what plays one)."""
    return [
        (words(moments), partial(Chain(ground, title, kind, signum, **more).play, moments))
        for title, moments in chains(ground, name)
    ]


def words(moments: list[Moment]) -> str:
    """Moments for people."""
    return "; ".join(map(str, moments))


def clocks(ground: Ground, name: str) -> list[tuple[str, Part]]:
    """Runs whose clock jumps all the time, killed and continued."""
    return [
        (words(moments), partial(_clock, ground, title, moments, ground.folder / f"{title}.jumps".replace(" ", "_")))
        for title, moments in chains(ground, name)
    ]


def _clock(ground: Ground, title: str, moments: list[Moment], log: Path) -> Tally:
    env = {**BEAT, "TORTURE_CLOCK": f"{ground.seed},{log}"}
    tally = Chain(ground, title, "off-policy", signal.SIGKILL, env=env, timed=False).play(moments)
    tally.jumps = len(log.read_text().splitlines()) if log.exists() else 0
    tally.wrong += [] if tally.jumps else [f"{title}: the clock never jumped"]
    return tally


def slow(ground: Ground, name: str) -> list[tuple[str, Part]]:
    """Runs on a disk that takes its time, killed and continued."""
    env = {**BEAT, "TORTURE_SLOW": str(ground.folder)}
    return chained(ground, name, "off-policy", signal.SIGKILL, env=env)
