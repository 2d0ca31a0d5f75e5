"""Real runs as processes: what is played, how it is watched, and when it is hit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from faults import checking
from observers.tee import NewLines

SOURCE = Path(__file__).resolve().parents[2] / "src"
INJECTED = Path(__file__).resolve().parent / "injected"
POLL = 0.001  # seconds between two looks at a run that is to be hit
PATIENCE = 600.0  # seconds after which a run that does not end is a fault
BEAT = {"TORTURE_BEAT": "0.1"}
SMALL = ("seed=1", "hidden_dim=8", "batch_size_run=2", "test_nepisode=2", "test_interval=310", "quiet=true",
         "save_model_interval=100", "runner_log_interval=1", "learner_log_interval=130")  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Runs of one kind; tiny, and with a checkpoint every few iterations.

    Attributes:
        options: of main.py.
        words: settings.
        t_max: environment steps.
        reach: steps that two checkpoints may lie apart, with the iteration that is going on.
    """

    options: tuple[str, ...]
    words: tuple[str, ...]
    t_max: int
    reach: int = 100 + 2 * 2 * 25

    def command(self, results: Path) -> list[str]:
        """Begins such a run."""
        return main(*self.options, "with", *SMALL, *self.words, f"t_max={self.t_max}", f"local_results_path={results}")


KINDS = {
    "on-policy": Kind(("--config=asae", "--env-config=spread"), ("critic_hidden_dim=8", "epochs=2"), 3000),
    "off-policy": Kind(
        ("--config=qmix", "--env-config=spread"),
        ("batch_size=4", "buffer_size=40", "mixing_embed_dim=4", "hypernet_embed=8"), 4000,
    ),
    "two teams": Kind(
        ("--config=asae", "--env-config=predator_prey", "--team", "prey=coma"),
        ("critic_hidden_dim=8", "epochs=2", "env_args.time_limit=25"), 2500,
    ),
    "game": Kind(("--config=iql", "--env-config=matrix_game"), ("batch_size=4", "buffer_size=40"), 1000),
}  # fmt: skip


def main(*words: str) -> list[str]:
    """A command line of main.py."""
    return [sys.executable, str(SOURCE / "main.py"), *words]


def resume(folder: Path) -> list[str]:
    """The command that continues a run."""
    return main("with", f"resume={folder}")


@dataclass(frozen=True)
class Moment:
    """When a run is hit.

    Attributes:
        where: "start" (at seconds after its start), "step" (at a share of its steps), or "save" (in the first writing
            of a checkpoint after that share).
        at: seconds or share.
        delay: seconds more.
    """

    where: str
    at: float
    delay: float

    def sooner(self) -> Moment:
        """Half the seconds after the start: this machine's runs had ended by then."""
        return replace(self, at=self.at / 2) if self.where == "start" else self

    def __str__(self) -> str:
        at = f"{self.at:.2f} s after its start" if self.where == "start" else f"{self.at:.0%} of its steps"
        return f"{'in the save after ' if self.where == 'save' else ''}{at} + {1000 * self.delay:.1f} ms"


def draw(rng: random.Random, number: int, *, starts: bool = True) -> list[Moment]:
    """Random moments of one run: half in the writing of checkpoints, ascending."""
    shares = sorted(rng.uniform(0.02, 0.9) for _ in range(number))
    found = []
    for share in shares:
        kind = rng.choice(("save", "save", "step", "start" if starts else "step"))
        delay = rng.uniform(0.0, {"save": 0.008, "step": 0.05, "start": 0.0}[kind])
        found.append(Moment(kind, rng.uniform(0.0, 6.0) if kind == "start" else share, delay))
    return found


class Playing:
    """A command that is going on, for a block of ``with``, after which it has ended.

    Args:
        command: its words.
        results: where its run is filed.
        env: variables of its environment.
        said: where what it says is kept; None for beside ``results``.
    """

    def __init__(
        self, command: Sequence[str], results: Path, env: Mapping[str, str] = BEAT, *, said: Path | None = None
    ) -> None:
        self.command, self.results = command, results
        self._before = set(checking.folders(results))
        said = said or results.parent / "said"
        self._errors, self._out = said.with_suffix(".err"), said.with_suffix(".out")
        places = {"PYTHONPATH": str(INJECTED), "PYTHONWARNINGS": "ignore", **env}
        with self._errors.open("wb") as errors, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=results.parent, env={**os.environ, **places}, stdin=subprocess.DEVNULL, stdout=out,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.began = time.monotonic()
        self.moved: float | None = None  # when the first point was seen
        self._folder: Path | None = None
        self._lines: NewLines | None = None
        self.seen: list[bytes] = []

    def __enter__(self) -> Playing:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def errors(self) -> str:
        """What it said on standard error."""
        return self._errors.read_text(errors="replace")

    @property
    def out(self) -> str:
        """What it printed."""
        return self._out.read_text(errors="replace")

    @property
    def folder(self) -> Path | None:
        """Of its run, None until it is there."""
        if self._folder is None:
            self._folder = next((one for one in checking.folders(self.results) if one not in self._before), None)
        return self._folder

    def step(self) -> int:
        """Of the newest point on file; what is read is kept in ``seen``."""
        if self._lines is None and self.folder is not None and (self.folder / "metrics.jsonl").exists():
            self._lines = NewLines(self.folder / "metrics.jsonl")
        while self._lines is not None and (more := self._lines.read()):
            self.moved = self.moved or time.monotonic()
            self.seen += more
        return int(checking.strict(self.seen[-1])["step"]) if self.seen else 0

    def saving(self) -> bool:
        """Whether a checkpoint is being written now."""
        return any(self.results.glob(f"models/*/.*.{self.process.pid}.tmp"))

    def until(self, moment: Moment, t_max: int) -> bool:
        """Wait for a moment; False where the run ended before."""
        due = False
        while self.process.poll() is None and not due:
            if moment.where == "start":
                due = time.monotonic() - self.began >= moment.at
            else:
                due = self.step() >= moment.at * t_max and (moment.where == "step" or self.saving())
            if not due:
                time.sleep(POLL if self.seen else 20 * POLL)  # the cores are the run's while it is imported
        time.sleep(moment.delay)
        return self.process.poll() is None

    def hit(self, signum: int) -> tuple[int, float]:
        """Send a signal and wait for the end; its exit status, and when it was sent (seconds since 1970)."""
        when = time.time()
        self.process.send_signal(signum)
        return self.wait(), when

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            raise


@dataclass
class Ground:
    """Where all of it happens.

    Attributes:
        folder: scratch.
        seed: of the moments.
        moments: of each fault.
    """

    folder: Path
    seed: int
    moments: int
    _played: dict[str, Path] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rng(self, *words: object) -> random.Random:
        """Random numbers of one purpose."""
        return random.Random(":".join(map(str, (self.seed, *words))))

    def place(self, name: str) -> Path:
        """A new results folder."""
        results = self.folder / name.replace(" ", "_") / "results"
        results.mkdir(parents=True)
        return results

    def once(self, name: str, command: Callable[[Path], list[str]]) -> Path:
        """The results of a command that nobody disturbs; it is played when it is first asked for."""
        with self._lock:
            if name not in self._played:
                results = self.place(f"undisturbed {name}")
                with Playing(command(results), results, {}) as run:
                    if (status := run.wait()) != 0:
                        raise RuntimeError(f"the undisturbed {name} ended with {status}: {run.errors}")
                self._played[name] = results
            return self._played[name]

    def reference(self, kind: str) -> Path:
        """The folder of the undisturbed run of a kind."""
        (folder,) = checking.folders(self.once(kind, KINDS[kind].command))
        return folder
