"""Runs as tasks of a Ray cluster: a placer, nothing more. Ray is an extra: requirements-ray.txt.

A task plays a run in a process of its own on its node. All nodes must see this checkout, its Python and the results
under the same paths (a shared file system), which is checked first. Ray is asked to repeat nothing: that is for
:mod:`studies.run_set`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from core.errors import UserError
from core.packages import SOURCE
from core.ray_cluster import connected
from studies.placing import Ended

SEEN = 120.0  # seconds for all nodes to look for the files
STOPPED = 143  # exit status of a run that was asked to end


def asked(address: str | None) -> str:
    """What has asked for Ray, in messages."""
    return "--address" if address else "--placer ray"


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
    with connected(address, cores=cores, option=asked(address)) as ray:
        placer = OnRay(ray, cpus=cpus, gpus=gpus)
        placer.check(results)
        yield placer


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
