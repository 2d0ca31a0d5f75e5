"""A Sacred observer that writes files which stay readable whatever happens to the run."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sacred.dependencies import get_digest
from sacred.observers import RunObserver

from observers.atomic import copy_file, no_results_here, write_json
from observers.interrupts import closed, closing, shield
from observers.metric_files import MetricFiles
from observers.tee import Capture, tail

RESERVED = frozenset({"config.json", "run.json", "cout.txt", "metrics.json", "metrics.jsonl", "info.json"})


class AtomicFileObserver(RunObserver):
    """Writes ``<basedir>/<id>/{config.json, run.json, cout.txt, metrics.jsonl, metrics.json, info.json}``.

    Use with ``SETTINGS.CAPTURE_MODE = "no"`` (the observer records stdout and stderr itself, line by line).

    ``metrics.jsonl`` has one object {name, step, value, timestamp} per line, written as the points come; a kill in
    the middle of a write may tear the last line, which readers skip.
    ``metrics.json`` has Sacred's layout {name: {steps, values, timestamps}}; it is complete at the end of a run and
    may lack the newest fifth while the run goes on. Both have null for NaN and infinities; the other files have the
    texts "NaN", "Infinity" and "-Infinity". Times are UTC.

    A full disk does not stop a run: what was on disk stays, one warning is given, points wait in memory for
    the next try. Every method may be called from any thread.

    Args:
        basedir: results/sacred/<algorithm>/<environment>-<task>.
        priority: Sacred calls observers with a higher priority first; the first one gives the run its id.
        capture: record stdout and stderr into cout.txt while the run lasts.
    """

    def __init__(self, basedir: str | Path, *, priority: int = 100, capture: bool = True) -> None:
        self.basedir = Path(basedir)
        self.priority = priority
        self.dir: Path | None = None  # the run's folder, known after started_event
        self._capture = capture
        self._captured: Capture | None = None
        self._entry: dict[str, Any] = {}
        self._info: Any = {}
        self.metrics = MetricFiles(self._trouble)
        self._warned = False
        self._json_lock = threading.RLock()  # its own: the sink must not wait for a slow fsync of run.json

    def prepare(self) -> None:
        """Make ``basedir``; call it before the run for a clean error (``started_event`` calls it too).

        Raises:
            UserError: the folder cannot be made or written.
        """
        try:
            self.basedir.mkdir(parents=True, exist_ok=True)
            if not os.access(self.basedir, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise no_results_here(self.basedir, error) from error

    def _make_dir(self, wanted: Any) -> Path:
        self.prepare()
        numbers = [int(entry.name) for entry in os.scandir(self.basedir) if entry.name.isdigit()]
        candidate = max(numbers, default=0) + 1 if wanted is None else wanted
        while True:
            folder = self.basedir / str(candidate)
            try:
                folder.mkdir()  # exclusive: of two runs that start together one gets the number
                return folder
            except FileExistsError:
                # An id given by another observer (a database) may exist here; take the next free number then.
                candidate = candidate + 1 if isinstance(candidate, int) else max(numbers, default=0) + 1
            except OSError as error:
                raise no_results_here(folder, error) from error

    def _begin(self, status: str, ex_info: Any, command: Any, host_info: Any, meta: Any, config: Any, _id: Any) -> Any:
        self.dir = self.metrics.dir = self._make_dir(_id)
        self._entry = {
            "experiment": dict(ex_info),
            "command": command,
            "host": dict(host_info),
            "meta": meta,
            "status": status,
            "resources": [],
            "artifacts": [],
            "heartbeat": None,
            "result": None,
        }
        sources = [(name, self._store(Path(ex_info["base_dir"], name), "_sources")) for name, _ in ex_info["sources"]]
        self._entry["experiment"]["sources"] = [[name, kept] for name, kept in sources if kept is not None]
        self._write("config.json", config)
        return self.dir.name if _id is None else _id

    def queued_event(self, ex_info, command, host_info, queue_time, config, meta_info, _id):  # type: ignore[no-untyped-def]
        """Make the folder of a run that only waits."""
        given = self._begin("QUEUED", ex_info, command, host_info, meta_info, config, _id)
        self._write("run.json", self._entry)
        return given

    @shield()
    def started_event(self, ex_info, command, host_info, start_time, config, meta_info, _id):  # type: ignore[no-untyped-def]
        """Make the run's folder and return its number.

        Raises:
            UserError: results cannot be written there.
        """
        given = self._begin("RUNNING", ex_info, command, host_info, meta_info, config, _id)
        self._entry["start_time"] = start_time.isoformat()
        self._write("run.json", self._entry)
        if self._capture and self.dir is not None:
            self._captured = Capture(self.dir / "cout.txt", self._trouble)
            self._captured.start()
        return given

    def record(self, values: Mapping[str, float], step: int, when: datetime, *, again: bool = False) -> None:
        """Append one point per name to metrics.jsonl; the operating system has them when this returns.

        ``again``: the same points will come by ``log_metrics`` too, because other observers need them.
        """
        self.metrics.record(values, step, when.isoformat(), again=again)

    def log_metrics(self, metrics_by_name: Mapping[str, Any], info: Any) -> None:
        """Take points that came through ``_run.log_scalar``, except those that :meth:`record` has written."""
        self.metrics.log(metrics_by_name)

    def heartbeat_event(self, info, captured_out, beat_time, result):  # type: ignore[no-untyped-def]
        """Say in run.json that the run is alive; write info.json, and metrics.json if it has grown enough."""
        if self.dir is None:
            return
        with self._json_lock:
            self._info = info
            self._entry.update(heartbeat=beat_time.isoformat(), result=result)
            self._write("run.json", self._entry)
            if info:
                self._write("info.json", info)
        self.metrics.beat()

    def captured(self, limit: int) -> str:
        """Return the last ``limit`` bytes of cout.txt (for observers that keep the output themselves)."""
        return "" if self.dir is None else tail(self.dir / "cout.txt", limit)

    def settle(self, status: str) -> None:
        """Close the run with ``status`` if nobody has closed it: whatever happens, none is left as RUNNING."""
        if self._entry.get("status") == "RUNNING":
            self._finish(status=status, stop_time=datetime.now(UTC).replace(tzinfo=None).isoformat())

    def _finish(self, **changes: Any) -> None:
        if self.dir is None:  # failed before it started
            return
        closing()
        if lost := self.metrics.finish():
            logging.getLogger(__name__).error("%d points of metrics could not be written to %s", lost, self.dir)
            if changes.get("status") == "COMPLETED":  # else nobody would resume it, which writes them
                changes["status"] = "INTERRUPTED"
        with self._json_lock:
            self._entry.update(changes)
            self._write("info.json", self._info)
            self._write("run.json", self._entry)
        if self._captured is not None:
            self._captured.stop()
        closed()

    def completed_event(self, stop_time, result):  # type: ignore[no-untyped-def]
        """Close the run as COMPLETED."""
        self._finish(status="COMPLETED", stop_time=stop_time.isoformat(), result=result)

    def interrupted_event(self, interrupt_time, status):  # type: ignore[no-untyped-def]
        """Close the run as INTERRUPTED (or the interrupt's own status)."""
        self._finish(status=status, stop_time=interrupt_time.isoformat())

    def failed_event(self, fail_time, fail_trace):  # type: ignore[no-untyped-def]
        """Close the run as FAILED, with the traceback."""
        self._finish(status="FAILED", stop_time=fail_time.isoformat(), fail_trace=fail_trace)

    def resource_event(self, filename):  # type: ignore[no-untyped-def]
        """Keep a copy of a file that the run reads, under its content's hash."""
        kept = self._store(Path(filename), "_resources")
        with self._json_lock:
            self._entry["resources"].append([str(filename), kept])
            self._write("run.json", self._entry)

    def artifact_event(self, name, filename, metadata=None, content_type=None):  # type: ignore[no-untyped-def]
        """Copy a file into the run's folder as ``name``.

        Raises:
            ValueError: ``name`` is one of the observer's own files, or lies outside the folder.
        """
        assert self.dir is not None
        target = self.dir / name
        if name in RESERVED or not target.resolve().is_relative_to(self.dir.resolve()):
            raise ValueError(f"an artifact cannot be called '{name}': choose another name inside the run's folder")
        self._copy(Path(filename), target)
        with self._json_lock:
            self._entry["artifacts"].append(name)
            self._write("run.json", self._entry)

    def _store(self, source: Path, folder: str) -> str | None:
        """Copy into ``basedir/folder`` unless that content is there; return the path below basedir."""
        try:
            target = self.basedir / folder / f"{source.stem}_{get_digest(str(source))}{source.suffix}"
        except OSError as error:
            self._trouble(error)
            return None
        if not target.exists():
            self._copy(source, target)
        return str(target.relative_to(self.basedir))

    def _copy(self, source: Path, target: Path) -> None:
        try:
            copy_file(source, target)
        except OSError as error:
            self._trouble(error)

    def _write(self, name: str, content: Any) -> None:
        assert self.dir is not None
        try:
            write_json(self.dir / name, content)
        except OSError as error:
            self._trouble(error)

    def _trouble(self, error: OSError) -> None:
        """Warn once; the next write tries again."""
        if not self._warned:
            self._warned = True
            logging.getLogger(__name__).warning(
                "Cannot write all records of this run to %s (%s). The run goes on, files written before stay as they "
                "are, metrics wait in memory. Make room or mend the permissions. This is said once.", self.dir, error
            )  # fmt: skip
