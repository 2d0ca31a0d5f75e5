"""How Numba kernels are compiled: once, cached on disk, and never stale."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import njit

from core import sources

KERNELS: list[Any] = []  # all of this process
_NUMBAS = ("_source_stamp", "_load_index", "_save_index", "_save_data", "_data_name", "_index_path", "load", "save")


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
    options = {"fastmath": False, "forceinline": True} | options
    try:
        compiled: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # no writable place for the cache
        compiled = njit(**options)(function)
    else:
        cache_file = compiled._cache._cache_file
        if not all(hasattr(cache_file, name) for name in _NUMBAS):
            raise RuntimeError("this Numba keeps its cache in another way; adapt core/compiling.py")
        cache_file._source_stamp = sources.digest(_files(function))
        cache_file._load_index = _forgiving(cache_file._load_index)
        cache_file.load = _loading(cache_file)
        cache_file.save = _saving(cache_file)
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


@contextlib.contextmanager
def _alone(cache_file: Any, how: int) -> Iterator[None]:
    """Hold the lock of a folder of cached kernels; without it where the folder cannot be written or knows no locks."""
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(OSError):
            lock = opened.enter_context(Path(cache_file._index_path).with_name("kernels.lock").open("w"))
            fcntl.flock(lock, how)
        yield


def _loading(cache_file: Any) -> Callable[[Any], Any]:
    """Load as Numba does; nothing is written between the look into the index and the reading of what it names."""
    load = cache_file.load

    def load_alone(key: Any) -> Any:
        with _alone(cache_file, fcntl.LOCK_SH):
            return load(key)

    return load_alone


def _saving(cache_file: Any) -> Callable[[Any, Any], None]:
    """Save as Numba does, but as one step for other processes, and for one that is killed in the middle of it.

    Numba alone would let two processes that compile a kernel for two signatures write both under one name, and would
    announce machine code before it is written, under a name that may be that of code of an older version.
    """

    def save(key: Any, data: Any) -> None:
        with _alone(cache_file, fcntl.LOCK_EX):
            saved = cache_file._load_index()
            if not saved:  # or that of another version, which names what is written over now
                Path(cache_file._index_path).unlink(missing_ok=True)
            free = (name for name in map(cache_file._data_name, itertools.count(1)) if name not in saved.values())
            name = saved.get(key) or next(free)
            cache_file._save_data(name, data)
            cache_file._save_index(saved | {key: name})

    return save


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


def summing_kernel(function: Callable[..., Any]) -> Any:
    """Compile as :func:`vector_kernel`; sums may be taken in another order, so that they become vector instructions.

    The order is the compiler's: always the same on one kind of processor.
    """
    return _compile(function, error_model="numpy", _nrt=False, fastmath={"reassoc", "contract"})
