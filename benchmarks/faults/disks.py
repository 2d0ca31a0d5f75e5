"""Disks that are full or become read-only while a run goes on; results that can only be read."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from components import checkpoint
from faults import checking
from faults.kills import judged, newest
from faults.playing import BEAT, KINDS, SOURCE, Ground, Moment, Playing, draw, main, resume
from faults.tally import Tally

LENGTH = 5  # times that the disk of one run is full
SIZE = "8m"
KIND = "off-policy"
WARNING = "Cannot write all records of this run"
UNSAVED = "the last checkpoint could not be written"
BLOCK = bytes(4096)
LEAST = 0.2  # seconds that a disk stays broken
HELD = 0.15  # so long a disk stays broken: a share of the time that the run has trained


class NotPossible(Exception):
    """Why a fault cannot be made here."""


@contextlib.contextmanager
def mounted(folder: Path, size: str = SIZE) -> Iterator[Path]:
    """A small disk of its own at a folder.

    Raises:
        NotPossible: nothing can be mounted here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "torture", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: str) -> None:
    try:
        subprocess.run(["mount", *words], check=True, capture_output=True, text=True)
    except OSError as error:
        raise NotPossible(f"mount: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise NotPossible(error.stderr.strip()) from error


def can_mount() -> str:
    """Empty where a disk can be mounted, else why not."""
    folder = Path("/tmp") / f"torture-mount-{os.getpid()}"
    try:
        with mounted(folder):
            return ""
    except NotPossible as error:
        return str(error)
    finally:
        folder.rmdir()


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """No room for the block, from its beginning on, whatever others free meanwhile."""
    ballast, stop = disk / "ballast", threading.Event()

    def fill() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
                while not stop.is_set():
                    file.write(BLOCK)
            time.sleep(0.001)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        while shutil.disk_usage(disk).free:
            time.sleep(0.001)
        yield
    finally:
        stop.set()
        thread.join()
        ballast.unlink()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nothing can be written for the block, as where a file system finds errors of its disk."""
    end = time.monotonic() + 60
    while True:
        try:
            _mount("-o", "remount,ro", str(disk))
            break
        except NotPossible:  # busy: a file is open for writing just now
            if time.monotonic() > end:
                raise
            time.sleep(0.001)
    try:
        yield
    finally:
        _mount("-o", "remount,rw", str(disk))


Broken = Callable[[Path], contextlib.AbstractContextManager[None]]
BROKEN: dict[str, Broken] = {"full disk": full, "disk turns read-only": read_only}


def plan(ground: Ground, name: str, number: int) -> list[Moment]:
    """When the disk breaks."""
    wanted = max(0, min(LENGTH, ground.moments - number * LENGTH))
    return draw(ground.rng(name, number), wanted, starts=False)


def play(ground: Ground, name: str, number: int) -> Tally:
    """Runs whose disk breaks at moments and is mended again; moments that came too late are another run's."""
    moments, tally = plan(ground, name, number), Tally(in_save=0)
    tally.wanted, reference = len(moments), ground.reference(KIND)
    for again in range(3):
        disk = ground.place(f"{name} {number + 1}{'+' * again}").parent / "disk"
        try:
            with mounted(disk):
                (disk / "results").mkdir()
                moments = _suffer(disk / "results", moments, BROKEN[name], tally)
                wrong = [*_continue(disk / "results"), *judged(disk / "results", reference)]
                if wrong:
                    shutil.copytree(disk, disk.with_name("what_was_there"))
        except NotPossible as error:
            tally.not_tried = str(error)
            return tally
        tally.finished += 1
        tally.same += not wrong
        tally.wrong += wrong
        if not moments:
            break
    return tally


def _suffer(results: Path, moments: list[Moment], broken: Broken, tally: Tally) -> list[Moment]:
    """Play one run; the disk stays broken after the last moment until the run has ended. Returns the moments left."""
    left, t_max = list(moments), KINDS[KIND].t_max
    said = results.parents[1] / "said"  # on another disk: an open file would keep this one from being remounted
    with Playing(KINDS[KIND].command(results), results, BEAT, said=said) as run:
        while left and run.until(left[0], t_max):
            moment = left.pop(0)
            saving = run.saving()
            with broken(results.parent):
                if run.process.poll() is not None:  # it took too long to break the disk
                    left.insert(0, moment)
                    break
                tally.tried += 1
                tally.in_save += saving
                _wait(run, to_the_end=not left)
                tally.wrong += checking.unreadable(results)
        status = run.wait()
    if status != 0 or "Traceback" in run.errors:
        tally.wrong.append(f"{results}: exit status {status}: {run.errors[-500:]}")
    if not any(map(_has_last, checking.folders(results))) and UNSAVED not in run.errors:
        tally.wrong.append(f"{results}: nothing says that there is no last checkpoint: {run.errors[-500:]}")
    told = run.errors.count(WARNING)
    if len(left) < len(moments) and told != 1:
        tally.wrong.append(f"{results}: the run warned {told} times, not once: {run.errors[-500:]}")
    return left


def _wait(run: Playing, *, to_the_end: bool) -> None:
    """Some of the run: its steps cannot be seen while nothing can be written, so it is time that counts."""
    if to_the_end:
        run.wait()
    end = time.monotonic() + max(LEAST, HELD * (time.monotonic() - (run.moved or run.began)))
    while run.process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)


def _has_last(folder: Path) -> bool:
    """Whether a run has its last checkpoint."""
    return max(checkpoint.steps(checking.models(folder)), default=0) >= KINDS[KIND].t_max


def _whole(results: Path) -> bool:
    """Whether a run has completed, its last checkpoint included."""
    return any(_has_last(folder) for own in checking.completed(results).values() for folder in own)


def _continue(results: Path) -> list[str]:
    """Play a run to its end whose records, or last checkpoints, were cut off; what went wrong."""
    if _whole(results):
        return []
    last = newest(results)
    command = KINDS[KIND].command(results) if last is None else resume(last)
    with Playing(command, results, BEAT) as run:
        status = run.wait()
    return [f"{results}: resumed, it ended with {status}: {run.errors[-500:]}"] * (status != 0)


# -- results that can only be read -------------------------------------------------------------------------------------


def refused(ground: Ground) -> Tally:
    """Commands whose results folder cannot be written: one message, exit status 2, nothing is touched."""
    tally, reference = Tally(), ground.reference(KIND)
    place = ground.place("read-only").parent / "disk"
    try:
        with mounted(place) as disk:
            results = disk / "results"
            shutil.copytree(reference.parents[3], results)
            before = _files(disk)
            with read_only(disk):
                for command in _commands(results, disk / "new"):
                    tally.wanted += 1
                    _refuse(command, results, tally)
            if _files(disk) != before:
                tally.wrong.append(f"{disk}: something was touched")
    except NotPossible as error:
        tally.not_tried = str(error)
    return tally


def _commands(results: Path, new: Path) -> list[list[str]]:
    kind, (run,) = KINDS[KIND], checking.folders(results)
    sweep = [*main()[:1], str(SOURCE / "sweep.py"), "--config", "iql", "--env-config", "matrix_game", "--results"]
    report = [*main()[:1], str(SOURCE / "report.py"), str(results), "--out", str(results / "report")]
    return [
        kind.command(results), kind.command(new), [*sweep, str(results)], [*sweep, str(new)], report,
        main("with", f"checkpoint_path={run}", "evaluate=true", f"local_results_path={results}"),
    ]  # fmt: skip


def _refuse(command: list[str], results: Path, tally: Tally) -> None:
    said = results.parents[1] / "said"
    said.mkdir(exist_ok=True)
    done = subprocess.run(command, cwd=said, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    tally.tried += 1
    lines = done.stderr.splitlines()
    good = done.returncode == 2 and done.stdout == "" and len(lines) == 1 and "cannot be written" in lines[0]
    if not good:
        words = " ".join(command[1:])
        tally.wrong.append(
            f"{words}: exit status {done.returncode}, not one message: {done.stdout}{done.stderr[-700:]}"
        )


def _files(disk: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.lstat() for path in disk.rglob("*")}
    return {str(path): (of.st_mtime_ns, of.st_size) for path, of in found.items()}
