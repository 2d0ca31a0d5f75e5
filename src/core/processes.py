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

    Keys: "place", the boot of its machine with its spaces of process numbers and of time; "pid"; "started", in clock
    ticks since that boot. Empty where the system does not say (it is no Linux).
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
        if one["place"] != _place():
            return False
        os.kill(one["pid"], 0)
        another = _fields(PROC / str(one["pid"]))[19] != one["started"]  # has its number now
        return another or all(state in OVER for state in _states(one["pid"]))
    except ProcessLookupError:
        return True
    except (OSError, KeyError, TypeError):  # another user's, or no such record
        return False


def _place() -> list[str]:
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return [boot, *(os.readlink(PROC / "self/ns" / space) for space in ("pid", "time"))]


def _fields(folder: Path) -> list[str]:
    """What stands in a file ``stat`` behind the command's name, which may hold anything: the state is the first."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _states(pid: int) -> Iterator[str]:
    """Of all threads; the first one may have ended before the others."""
    for folder in (PROC / str(pid) / "task").iterdir():
        yield _fields(folder)[0]
