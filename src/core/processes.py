"""Whether a process that wrote something down about itself has ended for certain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PROC = Path("/proc")
OVER = ("Z", "X")  # states of tasks that run no more: nobody has asked how they ended


def identity(pid: int | None = None) -> dict[str, Any]:
    """Return what tells a process (this one) from every other one there was or will be, plain JSON.

    Keys: "place", the boot of its machine with its spaces of process numbers and of time, and the machine's name
    (copies of a virtual machine share a boot); "pid"; "started", in clock ticks since that boot. Empty where the
    system does not say: it is no Linux, or its /proc is another container's.
    """
    pid = os.getpid() if pid is None else pid
    try:
        return {"place": _place(), "pid": pid, "started": _fields(PROC / str(pid))[19]}
    except OSError:
        return {}


def has_ended(one: Mapping[str, Any]) -> bool:
    """Whether an :func:`identity` is that of a process that certainly runs no more; False where nobody can know.

    Processes of other machines, and of other containers of this one, are such that nobody here can know of.
    """
    try:
        return one["place"] == _place() and _is_over(one["pid"], one["started"])
    except (OSError, KeyError, TypeError, OverflowError):  # another user's, or no such record
        return False


def _is_over(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
        now = _fields(PROC / str(pid))[19]
    except ProcessLookupError:
        return True
    return now != started or all(state in OVER for state in _states(pid))  # another has its number, or nobody asks


def _place() -> list[str]:
    if os.readlink(PROC / "self") != str(os.getpid()):
        raise FileNotFoundError(f"{PROC} has not the process numbers that there are here")
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return [boot, *(os.readlink(PROC / "self/ns" / space) for space in ("pid", "time")), os.uname().nodename]


def _fields(folder: Path) -> list[str]:
    """What stands in a file ``stat`` behind the command's name, which may hold anything: the state is the first."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _states(pid: int) -> Iterator[str]:
    """Of all threads; the first one may have ended before the others."""
    for folder in (PROC / str(pid) / "task").iterdir():
        yield _fields(folder)[0]
