"""Which source files a module's values can come from: its own and those that it imports, directly or not."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

_INSTALLED = tuple(
    Path(path).resolve()
    for path in {*(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))}
    | {*site.getsitepackages(), site.getusersitepackages()}
)


def _is_installed(path: Path) -> bool:
    """Whether a file is Python's or an installed package's, whose version others look after."""
    return any(path.is_relative_to(folder) for folder in _INSTALLED)


@functools.cache
def _top(name: str) -> Path | None:
    """File of a top-level module, or folder of a package; None for what is built in or unknown."""
    module = sys.modules.get(name)
    try:
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    places = list(getattr(spec, "submodule_search_locations", None) or [])
    where = places[0] if places else getattr(module, "__file__", None) or getattr(spec, "origin", None)
    return Path(where).resolve() if where and Path(where).exists() else None


def _below(place: Path, names: Iterable[str]) -> Path | None:
    """The folder of a package or the file of a module below a package's folder; None where there is none."""
    for name in names:
        folder, file = place / name, place / f"{name}.py"
        if not (folder.is_dir() or file.is_file()):
            return None
        place = folder if folder.is_dir() else file
    return place


def _find(dotted: str, importer: Path) -> Path | None:
    top, *rest = dotted.split(".")
    place = _top(top)
    if place is None or (_is_installed(place) and not importer.is_relative_to(place)):
        return None
    return _below(place, rest)


def _whole(place: Path | None) -> Iterator[Path]:
    """The file of a module; of a package, which reaches whatever has been imported of it, all files."""
    if place is not None:
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _from(place: Path | None, names: Iterable[str]) -> Iterator[Path]:
    """The files behind ``from place import names``."""
    for name in names:
        part = _below(place, [name]) if place is not None and place.is_dir() and name != "*" else None
        if part is not None:
            yield from _whole(part)
        elif place is not None:
            yield place / "__init__.py" if place.is_dir() else place


@functools.cache
def _imported(path: Path) -> frozenset[Path]:
    """The project's files that a file names in its import statements, wherever they stand in it."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:  # "import a.b" reaches all of a, "import a.b as c" a.b alone
                found.update(_whole(_find(alias.name if alias.asname else alias.name.partition(".")[0], path)))
        elif isinstance(node, ast.ImportFrom):
            place = path.parents[node.level - 1] if node.level else None
            if node.module:
                place = _below(place, node.module.split(".")) if place else _find(node.module, path)
            found.update(_from(place, (alias.name for alias in node.names)))
    return frozenset(file for file in found if file.is_file())


@functools.cache
def closure(path: Path) -> tuple[Path, ...]:
    """Return a file and all files of the project that it imports, directly or through others, sorted."""
    found, waiting = {path}, [path]
    while waiting:
        new = _imported(waiting.pop()) - found
        found |= new
        waiting += new
    return tuple(sorted(found))


def file_of(value: object) -> Path | None:
    """Return the project's file in which a module, function or class is defined, if any."""
    module = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    path = Path(file).resolve() if file else None
    return path if path is not None and path.is_file() and not _is_installed(path) else None


@functools.cache
def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def digest(paths: Iterable[Path]) -> str:
    """Return a digest of the files' names and contents and of those of all files that they import."""
    files = {file for path in paths for file in closure(path)}
    total = hashlib.sha256()
    for name, content in sorted(("/".join(file.parts[-3:]), _digest(file)) for file in files):
        total.update(name.encode() + b"\0" + content)
    return total.hexdigest()
