"""Sets of runs: several at once, none twice, interrupted ones continued.

A run is on file already if one with the same settings has completed: what is compared are the settings that it
resolves to now with those on record, so that a changed default or YAML file makes another run of it, and so does a new
version of the environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import checkpoint
from core.comparing import FREE, PLACES, TOLD, different, flattened
from core.errors import UserError
from training.options import Options, resolve
from training.provenance import environment, same_environment
from training.resuming import models_folder

MAIN = Path(__file__).resolve().parent.parent / "main.py"
NOT_COMPARED = (FREE - {"t_max"}) | PLACES | TOLD | {"resume", "load_step"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run.

    Attributes:
        panel, line: where it belongs in a picture.
        config, env: names of the settings files.
        words: further settings, seed included.
        teams: who plays a team ("prey=random").
    """

    panel: str
    line: str
    config: str
    env: str
    words: tuple[str, ...]
    teams: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """Short, for people."""
        seed = next((word for word in self.words if word.startswith("seed=")), "")
        return f"{self.panel}: {self.line} {seed}".strip()

    def arguments(self, results: Path) -> list[str]:
        """Its command line."""
        teams = [word for team in self.teams for word in ("--team", team)]
        options = [f"--config={self.config}", f"--env-config={self.env}", *teams]
        return [*options, "with", *self.words, f"local_results_path={results}"]

    def options(self) -> Options:
        """What it would run with now.

        Raises:
            UserError: the settings are wrong.
        """
        return resolve(self.config, self.env, self.words, self.teams)

    def settings(self) -> dict[str, Any]:
        """The same, as it is recorded."""
        return self.options().flat()


@dataclass(frozen=True)
class _Filed:
    """A run on file; ``environment`` is None where none was recorded."""

    folder: Path
    status: str
    config: dict[str, Any]
    environment: dict[str, Any] | None


def _filed(results: Path) -> Iterator[_Filed]:
    for path in sorted(results.glob("sacred/*/*/*/run.json"), key=lambda path: path.stat().st_mtime_ns):
        with contextlib.suppress(OSError, ValueError, KeyError):  # being written, or torn by a kill
            status = json.loads(path.read_text())["status"]
            config, info = path.with_name("config.json"), path.with_name("info.json")
            made = json.loads(info.read_text()).get("provenance", {}) if info.exists() else {}
            yield _Filed(path.parent, status, json.loads(config.read_text()), made.get("environment"))


def _changed(config: dict[str, Any], wanted: dict[str, Any], asked: set[str]) -> set[str]:
    """Settings that differ; one that came after that run counts only where it is asked for, or is not as built in."""
    later = flattened(wanted).keys() - flattened(config).keys() - asked
    return different(config, wanted).keys() - NOT_COMPARED - {key for key in later if not key.endswith(".plays")}


class RunSet:
    """The runs of one results folder.

    Args:
        results: folder (``local_results_path`` of its runs).
        also: further folders whose completed runs count (``src/publish.py`` makes such).
        say: where lines about progress go.

    Raises:
        UserError: one of ``also`` does not exist.
    """

    def __init__(self, results: Path, *, also: Sequence[Path] = (), say: Callable[[str], None] = print) -> None:
        self.results = results.resolve()
        self._also = also
        for folder in also:
            if not folder.is_dir():
                raise UserError(f"There is no folder '{folder}' whose runs could count.")
        self._say = say
        self._live: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the folder alone: two at once would continue each other's runs.

        Raises:
            UserError: another process works in it, or it cannot be written.
        """
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            with (self.results / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError as error:
            raise UserError(f"Another process runs a set of runs in {self.results}: wait for its end.") from error
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise UserError(f"Results cannot be written to {self.results}: {error.strerror}.") from error

    def completed(self, run: Run) -> Path | None:
        """Return the folder of a completed run with these settings, None where there is none."""
        places = (self.results, *self._also)
        return next((one.folder for one in self._same(run, places) if one.status == "COMPLETED"), None)

    def _same(self, run: Run, places: Sequence[Path]) -> list[_Filed]:
        """Runs on file with its settings and its environment, in each place the newest last."""
        options = run.options()
        asked = {word.partition("=")[0] for word in run.words} | options.given()
        wanted, played = options.flat(), environment(options)
        filed = (one for place in places for one in _filed(place) if same_environment(one.environment, played))
        return [one for one in filed if not _changed(one.config, wanted, asked)]

    def _resumable(self, run: Run) -> Path | None:
        """Return the checkpoint of an interrupted run that came furthest."""
        found = []
        for one in self._same(run, [self.results]):
            with contextlib.suppress(UserError):
                found.append(checkpoint.find(models_folder(one.folder)))
        return max(found, key=lambda folder: int(folder.name), default=None)

    def play(self, runs: Sequence[Run], *, jobs: int) -> list[str]:
        """Run what has not completed yet, ``jobs`` at once.

        Ctrl-C stops the runs that are going on, which save themselves; the next call continues them.

        Returns:
            one message for every run that failed.

        Raises:
            UserError: the settings of a run are wrong (nothing was started then).
        """
        todo = [run for run in runs if self.completed(run) is None]
        self._say(f"{len(runs)} runs, {len(runs) - len(todo)} of them completed before")
        failures = []
        pool = ThreadPoolExecutor(jobs)
        try:
            waiting = {pool.submit(self._one, run): run for run in todo}
            for number, future in enumerate(as_completed(waiting), 1):
                ended, error = future.result()
                self._say(f"[{number}/{len(todo)}] {waiting[future].about}: {ended}")
                failures += [f"{waiting[future].about}: {error}"] if error else []
        except BaseException:
            self._stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return failures

    def _stop(self) -> None:
        """Ask what runs to save and end."""
        self._stopped.set()
        for process in list(self._live):
            process.terminate()

    def _one(self, run: Run) -> tuple[str, str]:
        """Run one to its end: what to say, and what went wrong (empty if nothing)."""
        saved = self._resumable(run)
        words = run.arguments(self.results)
        if saved is not None:
            kept = [word for word in run.words if word.partition("=")[0] in FREE | PLACES]
            words = ["with", f"resume={saved}", f"local_results_path={self.results}", *kept]
        command = [sys.executable, str(MAIN), *words]
        # a session of its own: Ctrl-C reaches this process alone, which passes it on
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            self._live.add(process)
            if self._stopped.is_set():
                process.terminate()
            out, err = process.communicate()
            self._live.discard(process)
        if process.returncode:
            return f"FAILED (exit status {process.returncode})", err.strip()[-2000:] or out.strip()[-500:]
        ended = next((line for line in out.splitlines() if line.startswith("COMPLETED")), "COMPLETED")
        return ("continued, " if saved else "") + ended, ""
