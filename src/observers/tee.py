"""Standard output and standard error, recorded line by line while they are shown."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from logging import Logger, StreamHandler, root
from pathlib import Path
from typing import Any, TextIO

from observers.atomic import append

CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles, links
    r"|\x1b[ -/]*[0-~]"  # other escapes
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)

GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)  # of a pipe, of a terminal
CHUNK = 2**22  # bytes that are read at once, about
LONG = 4096  # characters of an unfinished line that are kept whole


def clean(line: str) -> str:
    """Return a line as a terminal leaves it: no control characters, of text overwritten after ``\\r`` the last."""
    parts = [part for part in CONTROL.sub("", line).split("\r") if part]
    return parts[-1] if parts else ""


class Outlet:
    """A text stream that may break without breaking the program.

    Where the terminal or the reader of a pipe has gone away, this process gets SIGHUP, once for each such stream, and
    later text goes nowhere. What cannot be written for another reason (a full disk) is not shown. Any thread may write.

    Args:
        stream: the stream itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write ``text`` if that is possible."""
        try:
            self.stream.write(text)
        except OSError as error:
            self._broken(error)
        return len(text)

    def flush(self) -> None:
        """Flush if that is possible."""
        try:
            self.stream.flush()
        except OSError as error:
            self._broken(error)

    def _broken(self, error: OSError) -> None:
        if error.errno not in GONE:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)
        os.kill(os.getpid(), signal.SIGHUP)  # which says the same of terminals; the main thread takes it


class Tee:
    """A text stream that shows what is written and hands on every complete line.

    Args:
        terminal: the stream that was there before.
        keep: called with each complete, clean line including its newline.
    """

    def __init__(self, terminal: TextIO, keep: Callable[[str], None]) -> None:
        self.terminal: Any = Outlet(terminal)
        self._keep = keep
        self._shown: Any = self.terminal
        self._partial = ""
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)

    def divert(self, stream: Any = None) -> None:
        """Show text through ``stream`` instead (a progress bar's proxy); None goes back to the terminal."""
        self._shown = self.terminal if stream is None else stream

    def write(self, text: str) -> int:
        """Show ``text`` and record the lines that it completes."""
        if os.getpid() != self._pid:  # a forked worker: the locks may be held by threads that do not exist here
            return self.terminal.write(text)
        self.record(text)  # first: the terminal may be gone
        self._shown.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write every line."""
        for line in lines:
            self.write(line)

    def record(self, text: str) -> None:
        """Record ``text`` without showing it."""
        with self._lock:
            *lines, rest = (self._partial + text).split("\n")
            if len(rest) > LONG:  # progress bars without newlines must not pile up
                head, bar, tail = rest.rpartition("\r")
                rest = clean(head) + bar + tail
            self._partial = rest
            for line in lines:
                kept = clean(line)
                if kept or not line.strip("\r"):  # a line of control characters alone is no line
                    self._keep(kept + "\n")

    def flush(self) -> None:
        """Flush the stream that is shown."""
        if os.getpid() != self._pid:
            self.terminal.flush()
            return
        self._shown.flush()

    def finish(self) -> None:
        """Record an unfinished last line and stop recording; the stream goes on showing."""
        with self._lock:
            if self._partial:
                self.record("\n")
            self._keep = lambda line: None


class Capture:
    """Records stdout, stderr and log messages of this process in a file until :meth:`stop`.

    What child processes print goes to the terminal alone.

    Args:
        path: the file, appended to at every line.
        failed: called when a line could not be written.
    """

    def __init__(self, path: Path, failed: Callable[[OSError], None]) -> None:
        self.path = path
        self._failed = failed
        self._tees: dict[str, Tee] = {}

    def _keep(self, line: str) -> None:
        try:
            append(self.path, line.encode(errors="backslashreplace"))
        except OSError as error:
            self._failed(error)

    def start(self) -> None:
        """Take the place of sys.stdout and sys.stderr, and of log handlers that hold them."""
        append(self.path, b"")
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                continue
            self._tees[name] = tee = Tee(stream, self._keep)
            setattr(sys, name, tee)
            _move_handlers(stream, tee)

    def stop(self) -> None:
        """Give the streams back."""
        for name, tee in self._tees.items():
            tee.finish()
            if getattr(sys, name) is tee:
                setattr(sys, name, tee.terminal.stream)
            _move_handlers(tee, tee.terminal.stream)
        self._tees = {}


def _move_handlers(old: Any, new: Any) -> None:
    named = [one for one in root.manager.loggerDict.values() if isinstance(one, Logger)]
    for handler in (handler for logger in (root, *named) for handler in logger.handlers):
        if isinstance(handler, StreamHandler) and handler.stream is old:
            handler.setStream(new)


def tail(path: Path, limit: int) -> str:
    """Return the last ``limit`` bytes of a text file; nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(-min(limit, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class NewLines:
    """The whole lines of a file that grows, each once.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def read(self) -> list[bytes]:
        """Some of the lines that were not read before, with their ends; none where there are no more yet.

        Raises:
            OSError: the file cannot be read.
        """
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            found = file.read(CHUNK)  # in one piece: of a line that comes meanwhile readlines would make two
            if len(found) == CHUNK:
                found += file.readline()
        whole = found[: found.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [line + b"\n" for line in whole.split(b"\n")[:-1]]
