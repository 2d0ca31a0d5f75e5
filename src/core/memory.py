"""How much memory there is, and one message where it was too little."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError

GIB = 2**30


def machine_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may ever have: the machine's, or its container's or shell's limit.

    Args:
        root: where /proc and /sys are.

    Returns:
        None where the system does not say.
    """
    known = [*_physical(root), *_of_groups(root), *_of_shell()]
    return min(known) if known else None


def _physical(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError, IndexError):
        yield int((root / "proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) * 1024
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(root: Path) -> Iterator[int]:
    """Limits of this process's control groups (both versions) and of all above them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        own = Path(path.lstrip("/"))
        for group in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # "max"
                yield int((top / group / name).read_text())


def _of_shell() -> Iterator[int]:
    """``ulimit -v``."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit


def amount(n_bytes: float) -> str:
    """Write a size: 12 KiB, 29 MiB, 1.5 GiB, 26 GiB."""
    if n_bytes < 2**20:
        return f"{n_bytes / 2**10:,.0f} KiB"
    if n_bytes < GIB:
        return f"{n_bytes / 2**20:,.0f} MiB"
    return f"{n_bytes / GIB:,.1f} GiB" if n_bytes < 10 * GIB else f"{n_bytes / GIB:,.0f} GiB"


@contextlib.contextmanager
def enough_memory(doing: str, lower: str) -> Iterator[None]:
    """Turn too little memory in here into one message.

    Args:
        doing: what is done, "gathering 8 episodes".
        lower: the settings that make it smaller, with the verb: "lower batch_size_run".

    Raises:
        UserError: NumPy, PyTorch or the system has no more memory.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if not _is_shortage(error):
            raise
        raise UserError(f"Not enough memory for {doing}{_asked(str(error))}: {lower}.") from error


def _is_shortage(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).lower()  # PyTorch knows no type of its own on the CPU
    return isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text


def _asked(message: str) -> str:
    """How much was asked for, where the message says it."""
    found = re.search(r"allocate ([\d.]+) ?(bytes|[KMGT]iB)", message)
    if found is None:
        return ""
    number, unit = found.groups()
    return f" ({amount(float(number)) if unit == 'bytes' else f'{number} {unit}'} at once)"
