"""The processes of a Ray cluster that play episodes: one set for a run, whose runners share it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import ModuleType
from typing import Any, ClassVar

from core.errors import UserError, warn
from core.packages import SOURCE
from core.ray_cluster import check_reachable, connected

TRIES = 4  # to play a share whose process or node dies, to find a process that starts
ROOM = 300.0  # seconds for the cluster to have room for one
CLOSED = 10.0  # ... for environments to be given back
OPTION = "ray_address"


class Workers:
    """Processes that come when there is work for them; one that dies is replaced, and another plays what it had.

    Args:
        address: of the cluster; None: RAY_ADDRESS, else a Ray of this machine alone.
        n: at most so many; None: as many as there are cores.
        torch_threads: of every process.

    Raises:
        UserError: no Ray, or no cluster there.
    """

    _joined: ClassVar[dict[tuple[str | None, int | None, int], Workers]] = {}

    @classmethod
    def join(cls, address: str | None, n: int | None, torch_threads: int) -> Workers:
        """Return those of this process, which are made for the first who joins; who does leaves in the end."""
        key = (address or os.environ.get("RAY_ADDRESS") or None, n, torch_threads)
        if key not in cls._joined:
            cls._joined[key] = cls(*key)
        workers = cls._joined[key]
        workers._users += 1
        return workers

    def leave(self) -> None:
        """Let the last who leaves end the processes, and the Ray that was started for them."""
        self._users -= 1
        if not self._users:
            del self._joined[self._key]
            self._opened.close()

    def __init__(self, address: str | None, n: int | None, torch_threads: int) -> None:
        self._key, self._users = (address, n, torch_threads), 0
        self._opened = ExitStack()
        self._ray = self._connect(address, n)
        cores = sum(node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"])
        self.n = n or max(1, int(cores))
        self._kind = self._ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(_worker())
        self._given = str(SOURCE), [path for path in sys.path if path], os.getcwd(), torch_threads
        self._hired, self._idle = list[Any](), list[Any]()
        self._coming: dict[Any, Any] = {}  # who says so when it is there
        self._failed = 0  # processes that did not start, since one did
        self._opened.callback(self._dismiss)

    def _connect(self, address: str | None, n: int | None) -> ModuleType:
        check_reachable(address, option=OPTION)
        cores = n or len(os.sched_getaffinity(0))
        return self._opened.enter_context(connected(address, cores=cores, option=OPTION))

    def _dismiss(self) -> None:
        for worker in list(self._hired):
            self._drop(worker)

    def _drop(self, worker: Any) -> None:
        self._hired.remove(worker)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(worker)

    def kept(self, value: Any) -> Any:
        """What goes to each node once, however many shares name it."""
        return self._ray.put(value)

    def everywhere(self, what: str, *given: Any) -> None:
        """Let all processes that are there do something, for a few seconds."""
        asked = [worker.do.remote(what, *given) for worker in self._idle]
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=CLOSED)

    def each(self, what: str, jobs: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Do something with every job, some at a time; yield what comes of it, in any order.

        Args:
            what: method of :class:`runners.ray_share.Host`.
            jobs: its arguments.

        Raises:
            UserError: processes die again and again, do not start or find no room; or the environments' own.
        """
        waiting = deque((job, 1) for job in jobs)
        doing: dict[Any, tuple[Any, tuple[Any, ...], int]] = {}
        try:
            while waiting or doing:
                while len(self._hired) < min(self.n, len(waiting) + len(doing)):
                    self._hire()
                while waiting and self._idle:
                    worker, (job, tries) = self._idle.pop(0), waiting.popleft()
                    doing[worker.do.remote(what, *job)] = worker, job, tries
                reference = self._next(doing)
                if reference in self._coming:
                    self._arrived(reference)
                    continue
                worker, job, tries = doing.pop(reference)
                done, result = self._result(reference, worker, tries)
                if done:
                    yield result
                else:
                    waiting.append((job, tries + 1))
        finally:
            for worker, _, _ in doing.values():  # what they do is wanted no more
                self._drop(worker)

    def _hire(self) -> None:
        worker = self._kind.remote(*self._given)
        self._hired.append(worker)
        self._coming[worker.do.remote("here")] = worker

    def _next(self, doing: Any) -> Any:
        """What is ready first."""
        ready, _ = self._ray.wait([*doing, *self._coming], num_returns=1, timeout=None if doing else ROOM)
        if not ready:
            raise UserError(
                f"The Ray cluster has had no free core in {ROOM:.0f} s for a process that plays episodes (runner=ray): "
                "lower ray_workers, or wait until others are done."
            )
        return ready[0]

    def _arrived(self, reference: Any) -> None:
        worker = self._coming.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._drop(worker)
            self._failed += 1
            if self._failed == TRIES:
                raise UserError(
                    f"Processes for runner=ray do not start on the Ray cluster ({_last_line(error)}): all nodes need "
                    "this checkout and its Python under the same paths."
                ) from error
        else:
            self._failed = 0
            self._idle.append(worker)

    def _result(self, reference: Any, worker: Any, tries: int) -> tuple[bool, Any]:
        """Whether it was done, and what came of it."""
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except errors.RayTaskError as error:
            self._idle.append(worker)
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise  # a bug
        except errors.RayError as error:
            self._drop(worker)
            if tries == TRIES:
                raise UserError(
                    f"The same episodes have ended {TRIES} processes of the Ray cluster ({_last_line(error)}): there "
                    "may be too little memory (lower n_envs, raise ray_workers), or their nodes are gone."
                ) from error
            warn(f"a process of the Ray cluster is gone; its episodes are played again (try {tries + 1} of {TRIES})")
            return False, None
        self._idle.append(worker)
        return True, result


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip(".")


def _worker() -> Any:
    """Make the class of the processes; a nested one travels as it is: nodes need no module of ours to read it."""

    class EpisodeWorker:
        def __init__(self, source: str, path: list[str], folder: str, torch_threads: int) -> None:
            import contextlib
            import os
            import sys

            sys.path[:0] = [source]
            sys.path += [one for one in path if one not in sys.path]
            with contextlib.suppress(OSError):
                os.chdir(folder)
            from runners.ray_share import Host

            self.host = Host(torch_threads)

        def do(self, what: str, *given: Any) -> Any:
            return None if what == "here" else getattr(self.host, what)(*given)

    return EpisodeWorker
