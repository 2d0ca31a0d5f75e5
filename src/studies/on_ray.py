"""Runs as tasks of a Ray cluster: a placer, nothing more. Ray is an extra: requirements-ray.txt.

A task plays a run in a process of its own on its node. All nodes must see this checkout, its Python and the results
under the same paths (a shared file system), which is checked first. Ray is asked to repeat nothing: that is for
:mod:`studies.run_set`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from core.errors import UserError
from core.packages import SOURCE
from studies.placing import Ended

REACHED = 5.0  # seconds for a port to answer
HEALTHY = 20.0  # ... for what listens there to be a Ray cluster
SEEN = 120.0  # ... for all nodes to look for the files
STOPPED = 143  # exit status of a run that was asked to end


def _check_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "Ray is not installed: python -m pip install -r requirements-ray.txt, or leave out --address and --placer "
            "ray (runs are then processes of this machine)."
        )


@contextlib.contextmanager
def on_ray(results: Path, *, address: str | None, cpus: float, gpus: float, cores: int) -> Iterator[OnRay]:
    """Use a Ray cluster, or one of this machine alone, which ends with the block.

    Args:
        results: folder that all nodes must see.
        address: host:port of the cluster, "auto" for the one of this machine; None starts one.
        cpus, gpus: of each run.
        cores: of the one that is started.

    Raises:
        UserError: no Ray, no cluster, or nodes that do not see the files.
    """
    _check_installed()
    known = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if address is None and not known:  # else Ray files a token of its own
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # of a node that dies it prints hundreds of lines
    import ray  # reads these at once

    with _own_signals():
        _connect(ray, address, cores)
    try:
        placer = OnRay(ray, cpus=cpus, gpus=gpus)
        placer.check(results)
        yield placer
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what signals do in this process: Ray's handlers would abort it, and the runs would not be told."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in before.items():
                signal.signal(signum, handler)


def _connect(ray: ModuleType, address: str | None, cores: int) -> None:
    """Join a cluster, or start one."""
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    errors = (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError, SystemExit)
    try:
        if address is None:
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except errors as error:
        if address is not None:
            raise _unreachable(address, str(error)) from error
        raise UserError(f"Ray could not be started: {_first(str(error))}. --placer local does without.") from error


def _first(text: str) -> str:
    """The first sentence of what Ray says."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no answer")
    return line.partition(". ")[0].removeprefix("ray.exceptions.").rstrip(".")


def _unreachable(address: str, why: str) -> UserError:
    return UserError(
        f"The Ray cluster {address} (--address, RAY_ADDRESS) cannot be used: {_first(why)}. Is it up (ray "
        "status), is this machine one of its nodes, and have all RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN?"
    )


def check_reachable(address: str | None) -> None:
    """Ask within seconds what Ray itself would wait minutes for.

    Raises:
        UserError: no Ray; nothing answers, or no Ray cluster.
    """
    _check_installed()
    if address is None or address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--address {address}: give host:port, or auto for a cluster that runs on this machine.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error
    if address.startswith("ray://"):
        return
    limits = {"RAY_gcs_rpc_server_connect_timeout_s": "2", "RAY_gcs_server_request_timeout_seconds": "5"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        asked = subprocess.run(
            command, env=os.environ | limits, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HEALTHY
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer within {HEALTHY:.0f} s") from error
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["it does not answer as Ray does"]
        raise _unreachable(address, lines[-1])


class OnRay:
    """The cluster's nodes.

    Args:
        ray: the package, connected.
        cpus, gpus: of each run.

    Raises:
        UserError: no node has as much.
    """

    def __init__(self, ray: ModuleType, *, cpus: float, gpus: float) -> None:
        self.ray = ray
        self._needs = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0}
        self._play = ray.remote(_task())
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = [int(min(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else 1e9)) for node in nodes]
        self.slots = sum(room)
        """How many runs there is room for now; others wait, and have the room of nodes that come."""
        if not self.slots:
            most = max((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
            raise UserError(
                f"No node of the Ray cluster has {cpus:g} cores and {gpus:g} GPUs (--cpus, --gpus) for a run: the "
                f"largest has {most[0]:g} and {most[1]:g}."
            )

    def check(self, results: Path) -> None:
        """Check that all nodes see what runs need.

        Raises:
            UserError: one does not.
        """
        paths = [str(path) for path in (results.resolve(), SOURCE / "main.py", sys.executable, Path.cwd())]
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        look = self.ray.remote(_look())
        nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in self.ray.nodes() if node["Alive"]}
        asked = {
            look.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy(node, soft=False)).remote(paths): name
            for node, name in nodes.items()
        }
        _, silent = self.ray.wait(list(asked), num_returns=len(asked), timeout=SEEN)
        if silent:
            raise UserError(f"The Ray node {asked[silent[0]]} does not answer.")
        for reference, name in asked.items():
            missing = self.ray.get(reference)
            if missing:
                raise UserError(
                    f"The Ray node {name} does not see {', '.join(missing)}: all nodes need this checkout, its Python, "
                    "the current folder and the results under the same paths (a shared file system)."
                )

    def place(self, command: Sequence[str]) -> RayRun:
        """Queue a command."""
        return RayRun(self.ray, self._play.options(**self._needs).remote(str(SOURCE), list(command), os.getcwd()))


class RayRun:
    """One of its tasks."""

    def __init__(self, ray: ModuleType, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def wait(self) -> Ended:
        """Wait for its end.

        Raises:
            UserError: this machine is no part of the cluster any more.
        """
        errors = self._ray.exceptions
        try:
            return Ended(*self._ray.get(self._reference))
        except errors.TaskCancelledError:
            return Ended(STOPPED)
        except errors.NodeDiedError:
            return Ended(None, node_gone=True)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            return Ended(None, err=str(error).splitlines()[0])
        except errors.RayTaskError:
            raise  # a bug of ours
        except errors.RayError as error:
            raise UserError(f"The Ray cluster is lost ({error}): the same command goes on when it is back.") from error

    def stop(self) -> None:
        """Ask it to save and end."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._reference)


# -- what runs on the nodes; nested functions travel as they are: a node needs no module of ours to read them --------


def _task() -> Any:
    def play(source: str, command: list[str], cwd: str) -> tuple[int | None, str, str]:
        import signal
        import sys
        from pathlib import Path

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a cluster that a script started may ignore it
        if source not in sys.path:
            sys.path.insert(0, source)
        from studies.placing import LocalRun

        placed = LocalRun(command, Path(cwd))
        try:
            ended = placed.wait()
        except KeyboardInterrupt:  # ray.cancel
            placed.stop()
            ended = placed.wait()
        return ended.status, ended.out[-20_000:], ended.err[-20_000:]

    return play


def _look() -> Any:
    def missing(paths: list[str]) -> list[str]:
        import os

        return [path for path in paths if not os.path.exists(path)]

    return missing
