"""What runs inside a worker process: a few environments, stepped one after another on a signal.

One byte over a socket starts a round and one byte answers it; observations, actions and the rest are in the
:class:`~envs.workers.shared_block.SharedBlock`. This module must not import torch.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import select
import signal
import socket
import threading
import traceback
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import UserError
from envs.workers.failure import Failure, NotFinite, missing
from envs.workers.finite import FiniteCheck
from envs.workers.global_streams import GlobalStreams
from envs.workers.shared_block import IDLE, RESET, SharedBlock, SingleEnv, SingleSpec, Slot

ROUND, RENDER, REPLAY, QUIT = b"s", b"r", b"p", b"q"
DONE, REPORT = b".", b"!"
_GRACE_S = 3.0  # for an environment to close itself after the parent has gone
_BUILD_SEED = 0  # of the global streams while an environment is built: all copies are the same


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a worker is told first.

    Attributes:
        factory: "module:Class" of the :class:`~envs.workers.shared_block.SingleEnv`.
        kwargs: its keyword arguments.
        first: its first slot.
        count: how many slots it has.
    """

    factory: str
    kwargs: dict[str, Any]
    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Started:
    """A worker's first answer: the sizes, or why it could not start."""

    spec: SingleSpec | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to tell of a round beside the block.

    Attributes:
        errors: slot -> why its episode is lost.
        numbers: slot -> name -> value, of episodes that ended and reported numbers beside ``SingleSpec.info_keys``.
    """

    errors: dict[int, Failure] = field(default_factory=dict)
    numbers: dict[int, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Answer to a request beside the rounds: an image or a file's name, or why there is none."""

    value: Any = None
    error: str = ""


def send_message(connection: socket.socket, message: Any) -> None:
    """Send a pickled object with its length in front."""
    body = pickle.dumps(message)
    connection.sendall(len(body).to_bytes(8, "little") + body)


def receive_message(connection: socket.socket) -> Any:
    """Receive what :func:`send_message` sent. Raises EOFError where the other side has gone."""
    return pickle.loads(receive_exactly(connection, int.from_bytes(receive_exactly(connection, 8), "little")))


def receive_exactly(connection: socket.socket, size: int) -> bytearray:
    """Receive ``size`` bytes. Raises EOFError where the other side has gone."""
    body = bytearray()
    while len(body) < size:
        part = connection.recv(size - len(body))
        if not part:
            raise EOFError
        body += part
    return body


def _outlive_nobody(connection: socket.socket) -> None:
    """End this process, and whatever it has started, soon after the parent has gone, even in the middle of a step."""

    def watch() -> None:
        poll = select.poll()
        poll.register(connection, 0)  # reports the hang-up alone
        poll.poll()
        threading.Event().wait(_GRACE_S)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


class _Host:
    """The environments of one worker."""

    def __init__(self, assignment: Assignment) -> None:
        module, _, name = assignment.factory.partition(":")
        self._factory = getattr(importlib.import_module(module), name)
        self._assignment = assignment
        self._streams = GlobalStreams(assignment.count)
        self._envs: list[SingleEnv | None] = []
        for i in range(assignment.count):
            with self._streams.turn(i):
                self._envs.append(self._build(i))
        self._steps = [0] * assignment.count
        first = self._envs[0]
        assert first is not None
        self.spec = first.spec

    def _build(self, i: int) -> SingleEnv:
        self._streams.start(i, _BUILD_SEED)
        env = self._factory(**self._assignment.kwargs)
        self._streams.started(i)
        return env

    def attach(self, block: SharedBlock) -> None:
        self._block = block
        first, count = self._assignment.first, self._assignment.count
        self._slots: list[Slot] = [block.slot(first + i) for i in range(count)]
        self._check = FiniteCheck(block, range(first, first + count), self.spec)

    def round(self) -> Report:
        """Do what the block's commands say; return what there is to tell."""
        block, first, report, ends = self._block, self._assignment.first, Report(), dict[int, bool]()
        commands = block.command[first : first + self._assignment.count].tolist()
        for i, command in enumerate(commands):
            if command == IDLE:
                continue
            index = first + i
            self._streams.enter(i)
            try:
                terminated, truncated = self._reset(i) if command == RESET else self._step(i)
                block.terminated[index], block.truncated[index] = terminated, truncated
                ends[i] = terminated or truncated
            except Exception as error:
                report.errors[index] = Failure.of(error)
                self._discard(i)
            finally:
                self._streams.leave(i)
        self._look(ends, report)
        return report

    def _look(self, ends: dict[int, bool], report: Report) -> None:
        """Drop the episodes whose last step gave what is no number; ``ends`` are slots and whether they are through."""
        clean = self._check.clean()
        for i, ended in ends.items():
            index, slot = self._assignment.first + i, self._slots[i]
            try:
                if not clean or (ended and self.spec.info_keys):
                    self._check.look(i, self._steps[i], ended=ended)
            except NotFinite as error:
                report.errors[index] = Failure.of(error)
                self._discard(i)
            else:
                if slot.numbers:
                    report.numbers[index] = dict(slot.numbers)

    def _step(self, i: int) -> tuple[bool, bool]:
        env = self._envs[i]
        assert env is not None, "a slot whose environment raised was stepped before a reset"
        self._slots[i].numbers.clear()
        self._steps[i] += 1
        return env.step(self._block.actions[self._assignment.first + i].tolist(), self._slots[i])

    def _reset(self, i: int) -> tuple[bool, bool]:
        env = self._envs[i]
        if env is None:
            env = self._envs[i] = self._build(i)
        seed = int(self._block.seeds[self._assignment.first + i])
        self._steps[i] = 0
        self._slots[i].numbers.clear()
        self._streams.start(i, seed)
        env.reset(seed, self._slots[i])
        self._streams.started(i)
        self._slots[i].rewards[:] = 0.0
        return False, False

    def _discard(self, i: int) -> None:
        env, self._envs[i] = self._envs[i], None
        if env is not None:
            with contextlib.suppress(Exception):
                env.close()

    def do(self, request: bytes, slot: int, *arguments: str) -> Reply:
        """Do a request beside the rounds."""
        i = slot - self._assignment.first
        env: Any = self._envs[i]
        if env is None:
            return Reply(error="the environment has failed and was not reset since")
        try:
            with self._streams.turn(i):
                if request == REPLAY:
                    return Reply(value=env.save_replay(*arguments))
                return Reply(value=np.ascontiguousarray(env.render(), np.uint8))
        except Exception as error:
            return Reply(error=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        for i in range(len(self._envs)):
            self._discard(i)


def _start(assignment: Assignment) -> tuple[_Host | None, Started]:
    try:
        host = _Host(assignment)
    except UserError as error:
        return None, Started(error=str(error))
    except ModuleNotFoundError as error:
        return None, Started(error=missing(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}\n\nIn the worker process:\n{traceback.format_exc()}"
        return None, Started(error=f"the environment could not be started. {reason}")
    return host, Started(spec=host.spec)


def serve(connection: socket.socket, descriptor: int) -> None:
    """Start the environments, say how it went, then answer signals until told to quit or left alone."""
    host, started = _start(receive_message(connection))
    try:
        send_message(connection, started)
        if host is None:
            return
        spec, n_envs = receive_message(connection)
        host.attach(SharedBlock(descriptor, spec, n_envs))
        while True:
            signal_byte = connection.recv(1)
            if signal_byte == ROUND:
                report = host.round()
                if report.errors or report.numbers:
                    connection.sendall(REPORT)
                    send_message(connection, report)
                else:
                    connection.sendall(DONE)
            elif signal_byte in (RENDER, REPLAY):
                send_message(connection, host.do(signal_byte, *receive_message(connection)))
            else:
                return
    except (EOFError, ConnectionError):
        return
    finally:
        if host is not None:
            host.close()


def main(connection_descriptor: int, memory_descriptor: int) -> None:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    warnings.filterwarnings("ignore", "overflow", RuntimeWarning, r"envs\.")  # what is too large, FiniteCheck tells
    connection = socket.socket(fileno=connection_descriptor)
    _outlive_nobody(connection)
    serve(connection, memory_descriptor)
