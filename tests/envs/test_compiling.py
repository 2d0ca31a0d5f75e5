"""What the cache of compiled kernels compares, and what lean kernels refuse."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from core import compiling
from envs import rng
from envs.battle import combat, loops

SRC = Path(compiling.__file__).resolve().parents[1]
FIRST = "from core.compiling import kernel\n@kernel\ndef one(x):\n    return x + {}\n"
SECOND = "from core.compiling import kernel\nfrom stamp_first import one\n@kernel\ndef two(x):\n    return one(x) * 2\n"


def load_module(name, path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    compiling._package_stamp.cache_clear()
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
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
        for text in ("first options", "first options", "second options"):
            (tmp_path / "compiling.py").write_text(text)
            monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
            compiling._options_stamp.cache_clear()
            first = load_module("stamp_first", tmp_path / "a" / "stamp_first.py", FIRST.format(1))
            stamps.append(compiling._stamp(first.one))
        assert stamps[0] == stamps[1] != stamps[2]
    finally:
        compiling._options_stamp.cache_clear()
        sys.modules.pop("stamp_first", None)


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


def test_a_run_says_that_kernels_are_compiled_and_only_then(tmp_path):
    draw = "import numpy as np; from envs import rng; rng.start_stream(np.zeros(1, np.uint64), 0, np.uint64(1))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(SRC)}
    said = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", draw], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == ""
        said.append(done.stderr.splitlines())
    assert [len(lines) for lines in said] == [1, 0]  # two kernels are compiled, one line tells
    assert said[0][0].startswith("Compiling kernels")
