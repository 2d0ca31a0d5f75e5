"""Keep freed memory, so that large tensors do not cost page faults at every operation."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
MMAP_ABOVE, TRIM_ABOVE = 1 << 28, 1 << 29  # bytes


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep freed blocks for the next tensor instead of giving them back to the kernel.

    By default it returns the top of the heap after every operation on tensors of some megabytes, and the next one
    faults in every page again; ASAE's critic takes 1.4 times as long then. Peak memory stays what it is. Returns
    False where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, MMAP_ABOVE) and mallopt(M_TRIM_THRESHOLD, TRIM_ABOVE))
