"""How Numba kernels are compiled: once, cached on disk, and never stale."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.dispatcher import Dispatcher

NOTICE = "Compiling kernels (once; battle takes 15 to 40 s)..."


@functools.cache
def _package_stamp(folder: Path) -> str:
    """Return a digest of every source file of a package."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _options_stamp() -> str:
    """Return a digest of this file, in which the options stand."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _stamp(compiled: Any) -> str:
    """Return the stamp of a kernel; an empty one where it is not cached."""
    return getattr(getattr(compiled._cache, "_cache_file", None), "_source_stamp", "")


@functools.cache
def _tell() -> None:
    """Say on standard error, once per process, that compiling has begun: a run stands still meanwhile."""
    print(NOTICE, file=sys.stderr, flush=True)


def _tell_before_compiling(compiled: Any) -> Any:
    """Let a kernel call :func:`_tell` where the cache has no machine code for it; returns the kernel."""
    load = compiled._cache.load_overload

    def load_or_tell(signature: Any, context: Any) -> Any:
        found = load(signature, context)
        if found is None:
            _tell()
        return found

    compiled._cache.load_overload = load_or_tell
    return compiled


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    """Compile with Numba and cache the machine code on disk; where nothing can be written, compile in every process.

    Kernels are inlined into the kernels that call them: an array goes to a function as seven values and more, a named
    tuple of arrays as fifty, and passing those took the battle world half of its time.

    Numba ties a cached function to the file that it stands in, but the machine code also holds the functions
    that it calls: after an edit of ``physics.py``, a kernel of another file would go on with the old physics.
    So the stamp that Numba compares is replaced by a digest of all files beside the function's own, of this file, which
    says how to compile, and of the stamps of all kernels that its module knows, which covers kernels of other packages.
    """
    options |= {"fastmath": False, "forceinline": True}
    try:
        compiled: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # no writable place for the cache
        return _tell_before_compiling(njit(**options)(function))
    cache_file = compiled._cache._cache_file
    if not hasattr(cache_file, "_source_stamp"):
        raise RuntimeError("this Numba keeps its cache's stamp elsewhere; adapt core/compiling.py")
    known = {_stamp(value) for value in function.__globals__.values() if isinstance(value, Dispatcher)}
    own = _package_stamp(Path(function.__code__.co_filename).parent)
    cache_file._source_stamp = hashlib.sha256("".join([_options_stamp(), own, *sorted(known)]).encode()).hexdigest()
    return _tell_before_compiling(compiled)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with Numba in strict IEEE arithmetic and cache the machine code on disk."""
    return _compile(function)


def lean_kernel(function: Callable[..., Any]) -> Any:
    """Compile as :func:`kernel` does, without counting references: for kernels of many small functions.

    Numba counts references atomically to every array that a function is given, which costs more than a small
    function does. Without the counts (Numba's option ``_nrt``) a kernel cannot make new arrays; Numba refuses to
    compile one that does.
    """
    return _compile(function, _nrt=False)


def vector_kernel(function: Callable[..., Any]) -> Any:
    """Compile as :func:`lean_kernel` does, with NumPy's divisions: by zero they give infinity or NaN.

    Python's raise an error, and a loop that may raise cannot become vector instructions.
    """
    return _compile(function, error_model="numpy", _nrt=False)
