"""How Numba kernels are compiled: once, cached on disk, and never stale."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from core import sources

KERNELS: list[Any] = []  # all of this process


def _stamp(compiled: Any) -> str:
    """Return the stamp of a kernel; an empty one where it is not cached."""
    return getattr(getattr(compiled._cache, "_cache_file", None), "_source_stamp", "")


def is_cached(compiled: Any) -> bool:
    """Whether the disk has machine code of a kernel as it stands now."""
    file = getattr(compiled._cache, "_cache_file", None)
    return file is not None and bool(file._load_index())


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    """Compile with Numba and cache the machine code on disk; where nothing can be written, compile in every process.

    Kernels are inlined into the kernels that call them: an array goes to a function as seven values and more, a named
    tuple of arrays as fifty, and passing those took the battle world half of its time.

    Numba ties a cached function to the file that it stands in, but the machine code also holds the functions that it
    calls and the constants that it reads: after an edit of ``physics.py``, a kernel of another file would go on with
    the old physics. So the stamp that Numba compares is replaced by a digest of all of the project's files that the
    function's own file imports, directly or not (this one, which says how to compile, is among them), and of the files
    of what it has been given otherwise: enclosed functions, names put into its module from outside.
    """
    options |= {"fastmath": False, "forceinline": True}
    try:
        compiled: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # no writable place for the cache
        compiled = njit(**options)(function)
    else:
        cache_file = compiled._cache._cache_file
        if not (hasattr(cache_file, "_source_stamp") and hasattr(cache_file, "_load_index")):
            raise RuntimeError("this Numba keeps its cache's stamp elsewhere; adapt core/compiling.py")
        cache_file._source_stamp = sources.digest(_files(function))
        cache_file._load_index = _forgiving(cache_file._load_index)
    KERNELS.append(compiled)
    return compiled


def _forgiving(load: Callable[[], dict[Any, Any]]) -> Callable[[], dict[Any, Any]]:
    """Let a cache be empty that was written when a class in a kernel's signatures stood elsewhere.

    Numba reads the signatures before it compares the stamps.
    """

    def load_index() -> dict[Any, Any]:
        try:
            return load()
        except (AttributeError, ImportError):
            return {}

    return load_index


def _files(function: Callable[..., Any]) -> set[Path]:
    """The project's files that a function's code or anything within its reach stands in."""
    known = [sources.file_of(value) for value in function.__globals__.values()]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # empty as yet: the function itself
            known.append(sources.file_of(cell.cell_contents))
    own = {Path(function.__code__.co_filename).resolve(), Path(__file__).resolve()}
    return own.union(filter(None, known))


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
