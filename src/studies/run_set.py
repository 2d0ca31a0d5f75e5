"""Sets of runs: several at once, none twice, interrupted ones continued, those that died tried again.

This is the one place that knows what is finished, what continues and what is not repeated; which runs are on file is
read by :mod:`studies.filed`, where a run is played is a placer's (:mod:`studies.placing`).
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from components import checkpoint
from core.comparing import FREE, PLACES
from core.errors import UserError
from studies.filed import Filed, Files, Heartbeats, Wanted
from studies.placing import Ended, Local, Placed, Placer
from studies.runs import News, Run
from training.resuming import models_folder

MAIN = Path(__file__).resolve().parent.parent / "main.py"
MISTAKE = 2  # exit status: what the user has to mend is not tried again


class RunSet:
    """The runs of one results folder.

    Args:
        results: folder (``local_results_path`` of its runs).
        also: further folders whose completed runs count (``src/publish.py`` makes such).
        say: where lines about progress go.
        placer: where runs are played; processes of this machine unless :meth:`place` says otherwise.
        retries: how often a run that dies is begun again from its checkpoint.

    Raises:
        UserError: one of ``also`` does not exist.
    """

    def __init__(
        self,
        results: Path,
        *,
        also: Sequence[Path] = (),
        say: Callable[[str], None] = print,
        placer: Placer | None = None,
        retries: int = 2,
    ) -> None:
        self.results = results.resolve()
        for folder in also:
            if not folder.is_dir():
                raise UserError(f"There is no folder '{folder}' whose runs could count.")
        self._own, self._every = Files([self.results]), Files([self.results, *also])
        self._beats = Heartbeats(self.results / ".lock")
        self.report(say)
        self._placer: Placer = placer or Local()
        self._retries = retries
        self._live: dict[Run, Placed] = {}
        self._stopped = threading.Event()
        self._halted: set[Run] = set()

    def place(self, placer: Placer) -> None:
        """Play runs there from now on."""
        self._placer = placer

    def report(self, say: Callable[[str], None], tell: Callable[[News], None] = lambda news: None) -> None:
        """Give lines about progress to ``say`` from now on, and what happens to each run to ``tell``."""
        self._say, self._tell = say, tell

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the folder alone: two at once would continue each other's runs.

        Raises:
            UserError: another process works in it, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.results.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((self.results / ".lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"Another process runs a set of runs in {self.results}: wait for its end.") from error
            except OSError as error:  # a file there, no permission, a disk that is full or can only be read
                raise UserError(f"Results cannot be written to {self.results}: {error.strerror}.") from error
            yield

    def filed(self) -> list[Filed]:
        """All runs on file, of other folders that count too."""
        return list(self._every.every())

    def completed(self, run: Run) -> Path | None:
        """Return the folder of a completed run with these settings, None where there is none."""
        return self._completed(run.wanted(), self._every.every())

    def _completed(self, wanted: Wanted, filed: Iterable[Filed]) -> Path | None:
        return next((one.folder for one in filed if one.status == "COMPLETED" and wanted.is_in(one)), None)

    def resumable(self, run: Run) -> Path | None:
        """Return the checkpoint of an interrupted run that came furthest."""
        found = []
        for one in self._own.same(run.wanted()):
            with contextlib.suppress(UserError):
                found.append(checkpoint.find(models_folder(one.folder)))
        return max(found, key=lambda folder: int(folder.name), default=None)

    def todo(self, runs: Sequence[Run]) -> list[Run]:
        """Those that have not completed; of runs with the same settings the first.

        Raises:
            UserError: the settings of a run are wrong.
        """
        wanted = {run: run.wanted() for run in runs}
        filed = self.filed()
        first = {wanted[run].key: run for run in reversed(runs)}
        return [run for run in reversed(list(first.values())) if self._completed(wanted[run], filed) is None]

    def command(self, run: Run) -> list[str]:
        """The command line that plays a run, from its checkpoint where there is one."""
        saved = self.resumable(run)
        words = run.arguments(self.results)
        if saved is not None:
            kept = [word for word in run.words if word.partition("=")[0] in FREE | PLACES]
            words = ["with", f"resume={saved}", f"local_results_path={self.results}", *kept]
        return [sys.executable, str(MAIN), *words]

    def play(self, runs: Sequence[Run], *, jobs: int) -> list[str]:
        """Run what has not completed yet, ``jobs`` at once.

        Ctrl-C stops the runs that are going on, which save themselves; the next call continues them.

        Returns:
            one message for every run that failed.

        Raises:
            UserError: the settings of a run are wrong (nothing was started then).
        """
        todo = self.todo(runs)
        self._say(f"{len(runs)} runs, {len(runs) - len(todo)} of them completed before")
        failures = []
        pool = ThreadPoolExecutor(jobs)
        try:
            waiting = {pool.submit(self.one, run): run for run in todo}
            for number, future in enumerate(as_completed(waiting), 1):
                ended, error = future.result()
                self._say(f"[{number}/{len(todo)}] {waiting[future].about}: {ended}")
                failures += [f"{waiting[future].about}: {error}"] if error else []
        except BaseException:
            self.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return failures

    @property
    def stopped(self) -> bool:
        """Whether all were asked to end."""
        return self._stopped.is_set()

    def stop(self, run: Run | None = None) -> None:
        """Ask a run to save and end, or all that are going on (and no other begins)."""
        if run is None:
            self._stopped.set()
        else:
            self._halted.add(run)
        for placed in [placed for one, placed in list(self._live.items()) if run in (None, one)]:
            placed.stop()

    def one(self, run: Run) -> tuple[str, str]:
        """Run one to its end, again from its checkpoint where it dies: what to say, what went wrong (empty if nothing).

        A run that another process plays (left over from a set of runs that was killed, or on a node that cannot be
        reached) is waited for. A run whose node is gone is moved, which is no try.
        """
        tries, known_dead = 0, False
        while True:
            if not known_dead and self._done_elsewhere(run):
                return self._told(run, "completed", "COMPLETED elsewhere")
            resumed = self.resumable(run) is not None
            ended = self._placed(run, self.command(run))
            known_dead = ended.status is not None
            if ended.status == 0:
                told = next((line for line in ended.out.splitlines() if line.startswith("COMPLETED")), "COMPLETED")
                return self._told(run, "completed", ("continued, " if resumed else "") + told)
            if self._stopped.is_set() or run in self._halted:
                return self._told(run, "stopped", "STOPPED")
            if not ended.node_gone and (ended.status == MISTAKE or tries == self._retries):
                error = ended.err.strip()[-2000:] or ended.out.strip()[-500:]
                return self._told(run, "failed", f"FAILED (exit status {ended.status})", error)
            tries += not ended.node_gone
            self._again(run, ended, tries)

    def _told(self, run: Run, state: str, text: str, error: str = "") -> tuple[str, str]:
        self._tell(News(run, state, text=error.splitlines()[-1] if error else text))
        return text, error

    def _again(self, run: Run, ended: Ended, tries: int) -> None:
        """Say that a run is begun again."""
        lines = ended.err.strip().splitlines()
        status = "unknown" if ended.status is None else ended.status
        text = f"died (exit status {status}){f': {lines[-1]}' if lines else ''}; again, {tries} of {self._retries}"
        text = "its node is gone; moved" if ended.node_gone else text
        self._say(f"{run.about}: {text}")
        self._tell(News(run, "waiting", text=text))

    def _done_elsewhere(self, run: Run) -> bool:
        """Wait until nobody else plays a run; whether it has completed then."""
        told, wanted = False, run.wanted()
        while not self._stopped.is_set():
            going_on = [one for one in self._own.same(wanted) if one.status == "RUNNING" and self._beats.of(one.folder)]
            if not going_on:
                break
            if not told:
                self._tell(News(run, "elsewhere", text=str(going_on[0].folder)))
            told = True
            self._stopped.wait(1.0)
        return self.completed(run) is not None

    def _placed(self, run: Run, command: list[str]) -> Ended:
        """Play a run until it ends in whatever way."""
        if self._stopped.is_set():
            return Ended(128 + 15)
        placed = self._placer.place(command)
        self._live[run] = placed
        self._tell(News(run, "placed", command=tuple(command)))
        if self._stopped.is_set():
            placed.stop()
        try:
            return placed.wait()
        finally:
            del self._live[run]
