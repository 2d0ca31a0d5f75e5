"""Connecting to a Ray cluster. Ray is an extra: requirements-ray.txt."""

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
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from core.errors import UserError

REACHED = 5.0  # seconds for a port to answer
HEALTHY = 20.0  # ... for what listens there to be a Ray cluster


def check_installed(option: str) -> None:
    """Check that there is Ray; ``option`` asks for it.

    Raises:
        UserError: there is none.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            f"{option} needs Ray, which is not installed: python -m pip install -r requirements-ray.txt, or leave it "
            "out to stay on this machine."
        )


@contextlib.contextmanager
def connected(address: str | None, *, cores: int, option: str) -> Iterator[ModuleType]:
    """Use a Ray cluster, or one of this machine alone, which ends with the block; gives the package.

    Args:
        address: host:port of the cluster, "auto" for the one of this machine; None starts one.
        cores: of the one that is started.
        option: that named the cluster.

    Raises:
        UserError: no Ray, or no cluster there.
    """
    check_installed(option)
    known = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if address is None and not known:  # else Ray files a token of its own
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # it prints pages about a node that died: callers say it
    import ray  # reads these at once

    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    with _same_handlers():
        here: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if address is None else {}
        try:
            ray.init(address=address or "local", **here, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError, SystemExit) as error:
            if address is None:
                raise UserError(f"Ray could not be started here: {_first(str(error))}.") from error
            raise _unreachable(address, str(error), option) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _same_handlers() -> Iterator[None]:
    """Keep what signals do in this process: Ray's own handlers would end it as they see fit."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _first(text: str) -> str:
    """The first sentence of what Ray says."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no answer")
    return line.partition(". ")[0].removeprefix("ray.exceptions.").rstrip(".")


def _unreachable(address: str, why: str, option: str) -> UserError:
    return UserError(
        f"The Ray cluster {address} ({option}, RAY_ADDRESS) cannot be used: {_first(why)}. Is it up (ray "
        "status), is this machine one of its nodes, and have all RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN?"
    )


def check_reachable(address: str | None, *, option: str) -> None:
    """Ask within seconds what Ray itself would wait minutes for.

    Args:
        address: as :func:`connected` has it.
        option: that named it.

    Raises:
        UserError: no Ray; nothing answers, or no Ray cluster.
    """
    check_installed(option)
    if address is None or address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"{option} {address}: give host:port, or auto for a cluster that runs on this machine.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error), option) from error
    if address.startswith("ray://"):
        return
    limits = {"RAY_gcs_rpc_server_connect_timeout_s": "2", "RAY_gcs_server_request_timeout_seconds": "5"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        asked = subprocess.run(
            command, env=os.environ | limits, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HEALTHY
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer within {HEALTHY:.0f} s", option) from error
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["it does not answer as Ray does"]
        raise _unreachable(address, lines[-1], option)
