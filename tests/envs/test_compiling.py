"""What the cache of compiled kernels compares, and what lean kernels refuse."""

import contextlib
import fcntl
import importlib
import importlib.util
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from core import compiling, sources
from envs import rng
from envs.battle import combat, loops
from envs.particle import spread_kernels

SRC = Path(compiling.__file__).resolve().parents[1]
FIRST = "from core.compiling import kernel\n@kernel\ndef one(x):\n    return x + {}\n"
SECOND = "from core.compiling import kernel\nfrom stamp_first import one\n@kernel\ndef two(x):\n    return one(x) * 2\n"


def forget():
    """Files have changed, which nobody expects of a process."""
    for cached in (sources._imported, sources.closure, sources._digest, sources._top):
        cached.cache_clear()
    importlib.invalidate_caches()


def load_module(name, path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    forget()
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(
        compile(text, path, "exec"), module.__dict__
    )  # no bytecode is kept: it would be taken for a version as long and as old
    return module


def test_a_kernel_follows_the_kernels_of_other_packages_that_it_calls(tmp_path):
    try:
        results = []
        for number in (1, 1, 5):
            load_module("stamp_first", tmp_path / "a" / "stamp_first.py", FIRST.format(number))
            second = load_module("stamp_second", tmp_path / "b" / "stamp_second.py", SECOND)
            results.append((compiling._stamp(second.two), second.two(1)))
        assert results[0] == results[1]
        assert results[0][0] != results[2][0]
        assert [value for _, value in results] == [4, 4, 12]
    finally:
        for name in ("stamp_first", "stamp_second"):
            sys.modules.pop(name, None)


def test_a_kernel_follows_the_options_that_it_is_compiled_with(tmp_path, monkeypatch):
    try:
        stamps = []
        for text in ("# first options", "# first options", "# second options"):
            (tmp_path / "compiling.py").write_text(text)
            monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
            first = load_module("stamp_first", tmp_path / "a" / "stamp_first.py", FIRST.format(1))
            stamps.append(compiling._stamp(first.one))
        assert stamps[0] == stamps[1] != stamps[2]
    finally:
        sys.modules.pop("stamp_first", None)


def test_a_cache_whose_classes_have_gone_is_empty(tmp_path):
    """As after a class of a kernel's signature has moved to another module: compiled anew, not an error."""
    text = "from typing import NamedTuple\nfrom core.compiling import kernel\nclass {0}(NamedTuple):\n    x: float\n"
    text += "@kernel\ndef read(point):\n    return point.x\n"
    try:
        for name in ("Before", "After", "After"):
            module = load_module("stamp_named", tmp_path / "stamp_named.py", text.format(name))
            assert module.read(getattr(module, name)(2.0)) == 2.0
        assert compiling.is_cached(module.read)
    finally:
        sys.modules.pop("stamp_named", None)


@pytest.mark.parametrize("step", ["_save_data", "_save_index"])
def test_a_process_that_is_killed_while_it_saves_leaves_no_code_under_a_wrong_name(tmp_path, step):
    """As after an edit: the new version's file gets the name that the old one's has."""
    try:
        for number, killed in ((1, False), (2, True), (2, False), (1, False)):
            one = load_module("stamp_first", tmp_path / "stamp_first.py", FIRST.format(number)).one
            assert not compiling.is_cached(one)
            if not killed:
                assert one(1) == 1 + number
                continue
            setattr(one._cache._cache_file, step, lambda *rest: sys.exit("killed"))
            with pytest.raises(SystemExit, match="killed"):
                one(1)
    finally:
        sys.modules.pop("stamp_first", None)


def test_processes_that_share_a_cache_take_turns(tmp_path, monkeypatch):
    """What one has read of the index still holds when it writes, and when it reads the file that the index names."""
    lock, seen = tmp_path / "__pycache__" / "kernels.lock", []

    def can(how):
        with lock.open() as another, contextlib.suppress(BlockingIOError):
            fcntl.flock(another, how | fcntl.LOCK_NB)
            return True
        return False

    def watch(cache_file, step):
        inner = getattr(cache_file, step)
        others = lambda: (can(fcntl.LOCK_SH), can(fcntl.LOCK_EX))  # noqa: E731
        monkeypatch.setattr(cache_file, step, lambda *rest: seen.append((step, *others())) or inner(*rest))

    try:
        for _ in range(2):
            one = load_module("stamp_first", tmp_path / "stamp_first.py", FIRST.format(1)).one
            for step in ("_load_index", "_load_data", "_save_data", "_save_index"):
                watch(one._cache._cache_file, step)
            assert one(1) == 2
    finally:
        sys.modules.pop("stamp_first", None)
    saving = [(step, False, False) for step in ("_load_index", "_save_data", "_save_index")]
    loading = [(step, True, False) for step in ("_load_index", "_load_data")]
    assert seen == [loading[0], *saving, *loading]
    assert can(fcntl.LOCK_EX)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write files of a project at ``tmp_path``, which Python can import from."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_init", "/__init__")
            path = path.with_name(f"{path.name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()
        return tmp_path

    yield write
    forget()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("stamped", "stamp_alone")]:
        del sys.modules[name]


WAYS = {
    "from stamped.b import VALUE": ["stamped/b.py"],
    "from stamped import b": ["stamped/b.py"],
    "from .b import VALUE": ["stamped/b.py"],
    "from . import b": ["stamped/b.py"],
    "from .deep.c import *": ["stamped/deep/c.py"],
    "def f():\n    from stamped.b import VALUE": ["stamped/b.py"],
    "if False:\n    import stamp_alone": ["stamp_alone.py"],
    "import stamped.b as other": ["stamped/b.py"],
    "import stamp_alone, json, numba.core": ["stamp_alone.py"],
    "from stamped import NAME": ["stamped/__init__.py"],
    "from stamped.deep import NAME, c": ["stamped/deep/__init__.py", "stamped/deep/c.py"],
    "import stamped.b": ["stamped/__init__.py", "stamped/b.py", "stamped/deep/__init__.py", "stamped/deep/c.py"],
    "from stamped import deep": ["stamped/deep/__init__.py", "stamped/deep/c.py"],
    "import not_there, numpy\nfrom stamped.nowhere import x\nfrom os import path": [],
}


@pytest.mark.parametrize("statement", WAYS)
def test_every_way_to_import_is_seen(project, statement):
    folder = project(
        stamped_init="", stamped__a=statement, stamped__b="", stamped__deep_init="", stamped__deep__c="", stamp_alone=""
    )
    own = folder / "stamped" / "a.py"
    found = {str(path.relative_to(folder)) for path in sources.closure(own)}
    assert found == {"stamped/a.py", *WAYS[statement]}


def test_imports_are_followed_to_their_ends_also_in_circles(project):
    files = {"stamped__a": "from . import b", "stamped__b": "from . import c", "stamped__c": "from . import a, d"}
    folder = project(**files, stamped__d="", stamped__unrelated="from . import a")
    a, unrelated = folder / "stamped" / "a.py", folder / "stamped" / "unrelated.py"
    assert [path.name for path in sources.closure(a)] == ["a.py", "b.py", "c.py", "d.py"]
    first = sources.digest([a])
    project(stamped__unrelated="from . import a\n# touched")
    assert sources.digest([a]) == first
    project(stamped__d="# touched")
    assert sources.digest([a]) != first
    assert unrelated in sources.closure(unrelated)


def test_a_kernel_follows_functions_that_it_is_given_otherwise(project):
    """A factory of kernels imports nothing of the functions that others give it."""
    factory = (
        "from core.compiling import kernel\n"
        "def make(inner):\n    @kernel\n    def outer(x):\n        return inner(x)\n    return outer\n"
    )
    inner = "from core.compiling import kernel\n@kernel\ndef inner(x):\n    return x + {}\n"
    stamps = []
    for number in (1, 2):
        for name in ("stamped.factory", "stamped.inner"):
            sys.modules.pop(name, None)
        project(stamped_init="", stamped__factory=factory, stamped__inner=inner.format(number))
        made = importlib.import_module("stamped.factory").make(importlib.import_module("stamped.inner").inner)
        stamps.append(compiling._stamp(made))
    assert stamps[0] != stamps[1]


def named(module):
    return {str(path.relative_to(SRC)) for path in sources.closure(Path(module.__file__).resolve())}


def test_pictures_players_and_worlds_beside_a_kernel_leave_it_as_it_is():
    battles, spread = named(loops), named(spread_kernels)
    assert {"envs/battle/movement.py", "envs/battle/units.py", "envs/rng.py", "core/compiling.py"} <= battles
    assert {"envs/particle/physics.py", "envs/particle/geometry.py", "envs/particle/worlds.py"} <= spread
    for name in ("battle/picture.py", "battle/scripted.py", "battle/battle.py", "particle/spread.py", "__init__.py"):
        assert f"envs/{name}" not in battles | spread
    assert not any(name.startswith("envs/particle") for name in battles)
    assert "envs/particle/predator_prey_kernels.py" not in spread


@pytest.mark.parametrize("compile_kernel", [compiling.kernel, compiling.lean_kernel, compiling.vector_kernel])
def test_a_kernel_that_another_one_calls_is_inlined_however_long_it_is(compile_kernel):
    @compile_kernel
    def longish(rows, others, i):
        total = 0.0
        for j in range(rows.shape[0]):
            for k in range(others.shape[0]):
                total += np.sqrt(abs(rows[j] - others[k])) if j % 2 else np.exp(rows[j] * others[k]) + i
                rows[j] = max(min(rows[j] + total, others[k]), -others[k])
        return total

    @compile_kernel
    def caller(rows, others):
        return longish(rows, others, 1) + longish(rows, rows, 2) + longish(others, rows, 3)

    caller(np.ones(4), np.ones(4))
    (code,) = caller.inspect_llvm().values()
    assert "caller" in code
    assert [line for line in code.splitlines() if " call " in line and "longish" in line] == []


def test_the_battles_kernels_know_the_random_streams_kernels():
    assert compiling._stamp(rng.uniform)
    assert combat.uniform is rng.uniform
    assert len({compiling._stamp(kernel) for kernel in (rng.uniform, combat.attack, loops.game_loop)}) == 3


def test_a_lean_kernel_cannot_make_arrays():
    @compiling.lean_kernel
    def total(values):
        return values.sum()

    @compiling.lean_kernel
    def copy(values):
        return np.empty_like(values)

    assert total(np.arange(4.0)) == 6
    with pytest.raises((numba.core.errors.NumbaError, RuntimeError)):
        copy(np.arange(4.0))
