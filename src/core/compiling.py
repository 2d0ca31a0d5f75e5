"""How Numba kernels are compiled: once, cached on disk, and never stale."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


@functools.cache
def _package_stamp(folder: Path) -> str:
    """Return a digest of every source file of a package."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with Numba in strict IEEE arithmetic and cache the machine code on disk.

    Numba ties a cached function to the file that it stands in, but the machine code also holds the functions
    that it calls: after an edit of ``physics.py``, a kernel of another file would go on with the old physics.
    So the stamp that Numba compares is replaced by a digest of all files beside the function's own. Where nothing
    can be written, the kernel is compiled anew in every process.
    """
    try:
        compiled: Any = njit(cache=True, fastmath=False)(function)
    except RuntimeError:  # no writable place for the cache
        return njit(fastmath=False)(function)
    cache_file = compiled._cache._cache_file
    if not hasattr(cache_file, "_source_stamp"):
        raise RuntimeError("this Numba keeps its cache's stamp elsewhere; adapt core/compiling.py")
    cache_file._source_stamp = _package_stamp(Path(function.__code__.co_filename).parent)
    return compiled
