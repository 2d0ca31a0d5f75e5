"""One worker process as its parent sees it: launch, signal, wait, end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from core.errors import UserError
from envs.workers.shared_block import SingleSpec
from envs.workers.worker_process import (
    DONE,
    QUIT,
    ROUND,
    Assignment,
    Reply,
    Report,
    Started,
    receive_message,
    send_message,
)

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from envs.workers.worker_process import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_QUIET = {  # one core per worker, no window, no greeting on the console
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    "PYTHONHASHSEED": "0",  # sets of names are walked in the same order in every process
}
_CLOSE_S = 2.0


class WorkerDied(Exception):
    """A worker ended or gave no answer in time; the text completes "its worker process ..."."""


class Worker:
    """A process with the slots ``assignment.first .. first + count - 1``; it may be launched again after its death."""

    def __init__(self, assignment: Assignment, memory: int, n_envs: int) -> None:
        self.slots = slice(assignment.first, assignment.first + assignment.count)
        self._assignment = assignment
        self._memory = memory
        self._n_envs = n_envs
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def running(self) -> bool:
        """Whether it was launched and has not been seen dead."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id; only while running."""
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start the process and tell it its assignment, without waiting for an answer."""
        ours, theirs = socket.socketpair()
        paths = [os.path.abspath(path) for path in sys.path]
        # A session of its own: Ctrl-C does not reach it, and whatever it starts can be ended with it.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(paths), str(theirs.fileno()), str(self._memory)],
            pass_fds=(theirs.fileno(), self._memory),
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output belongs to the run
            start_new_session=True,
            env={**_QUIET, **os.environ},
        )
        theirs.close()
        self._socket = ours
        with contextlib.suppress(ConnectionError):  # its death shows in receive_spec
            send_message(ours, self._assignment)

    def receive_spec(self, timeout: float) -> SingleSpec:
        """Wait for the environments to be ready.

        Raises:
            WorkerDied: the process ended or took too long.
            UserError: the environment could not be built; says why.
        """
        assert self._socket is not None
        self._socket.settimeout(timeout)
        try:
            started: Started = receive_message(self._socket)
        except TimeoutError:
            raise self._died(f"gave no answer for {timeout:g} s") from None
        except (EOFError, ConnectionError):
            raise self._died() from None
        if started.spec is None:
            self.end(time.monotonic() + _CLOSE_S)
            raise UserError(started.error)
        return started.spec

    def hand_spec(self, spec: SingleSpec) -> None:
        """Tell it the sizes of the shared block."""
        assert self._socket is not None
        with contextlib.suppress(ConnectionError):
            send_message(self._socket, (spec, self._n_envs))

    def signal(self) -> None:
        """Let it do the commands in the shared block."""
        assert self._socket is not None
        with contextlib.suppress(ConnectionError):  # its death shows in the answer
            self._socket.sendall(ROUND)

    def answer(self, deadline: float, timeout: float) -> Report:
        """Wait until it is through; return what it tells.

        Raises:
            WorkerDied: the process ended, or ``deadline`` (of ``time.monotonic``) has passed; ``timeout`` is only told.
        """
        assert self._socket is not None
        self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
        try:
            byte = self._socket.recv(1)
            if byte == DONE:
                return Report()
            if byte:
                return receive_message(self._socket)
        except TimeoutError:
            raise self._died(f"gave no answer for {timeout:g} s") from None
        except (EOFError, ConnectionError):
            pass
        raise self._died()

    def ask(self, request: bytes, slot: int, *arguments: str, timeout: float) -> Reply:
        """Let it do a request (RENDER, REPLAY) with one environment. Raises WorkerDied."""
        if self._socket is None:
            raise WorkerDied("has ended")
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(request)
            send_message(self._socket, (slot, *arguments))
            return receive_message(self._socket)
        except TimeoutError:
            raise self._died(f"gave no answer for {timeout:g} s") from None
        except (EOFError, ConnectionError):
            raise self._died() from None

    def _died(self, hang: str = "") -> WorkerDied:
        assert self._process is not None
        process = self._process
        if hang:
            self.end(time.monotonic())
            return WorkerDied(f"{hang} and was ended (env_args.worker_timeout allows more)")
        self.end(time.monotonic() + _CLOSE_S)
        code = process.returncode
        return WorkerDied(f"ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")

    def ask_to_quit(self) -> None:
        """Ask it to close its environments and end."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.settimeout(0.1)
                self._socket.sendall(QUIT)

    def end(self, deadline: float) -> None:
        """Wait for its end until ``deadline`` (of ``time.monotonic``), then kill it and what it has started."""
        process, self._process = self._process, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.0))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def shut_down(workers: Sequence[Worker], memory: int, owner: int) -> None:
    """End workers and give back the shared file; only in the process ``owner`` that started them."""
    if os.getpid() != owner:
        return
    for worker in workers:
        worker.ask_to_quit()
    deadline = time.monotonic() + _CLOSE_S
    for worker in workers:
        worker.end(deadline)
    os.close(memory)
