"""Writing files that a kill, a crash or a full disk cannot spoil."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from sacred.serializer import flatten

from core.errors import UserError


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of ``data``; ``os.write`` alone may stop short on a nearly full disk."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file beside ``path``, sync it, and rename it over ``path``: readers see the old or the new one.

    Raises:
        OSError: nothing could be written; the old file is as it was and the temporary one is gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            for chunk in chunks:
                write_all(fd, chunk)
            os.fsync(fd)  # without it a power cut can leave the new name with no content
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def copy_file(source: Path, target: Path) -> None:
    """Copy a file so that ``target`` is whole or absent; its folder is made where needed.

    Raises:
        OSError: nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(source, temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append(path: Path, data: bytes) -> None:
    """Append ``data`` whole or not at all.

    Raises:
        OSError: the file has its former length again.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        length = os.fstat(fd).st_size
        try:
            write_all(fd, data)
        except BaseException:
            with contextlib.suppress(OSError):  # not a regular file
                os.ftruncate(fd, length)
            raise
    finally:
        os.close(fd)


def plain(value: Any) -> Any:
    """Return ``value`` with NumPy's numbers and arrays as Python's, and with the texts "NaN", "Infinity" and
    "-Infinity" for the numbers that JSON lacks.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def write_json(path: Path, content: Any) -> None:
    """Write any object as strictly valid JSON (as Sacred's observers flatten it), atomically.

    Raises:
        OSError: as :func:`replace_file`.
    """
    text = json.dumps(plain(flatten(plain(content))), indent=2, sort_keys=True, allow_nan=False)
    replace_file(path, [text.encode()])


def number(value: Any) -> Any:
    """Return a metric's value for JSON: None for NaN and infinities, text for what is no number."""
    if isinstance(value, bool | int):
        return value
    try:
        value = float(value)
    except (TypeError, ValueError):
        return str(value)
    return value if math.isfinite(value) else None


def no_results_here(path: Path, error: OSError) -> UserError:
    """The message for a folder of results that cannot be made or written."""
    return UserError(
        f"Results cannot be written to '{path}': {error.strerror}. Make that folder writable, or choose another one "
        "with local_results_path=<folder>."
    )
