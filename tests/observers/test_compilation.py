"""What is said while kernels are compiled."""

import importlib
import itertools
import sys

import numba
import pytest

from core import compiling
from observers import compilation
from observers.compilation import Compilation

KERNELS = """
from core.compiling import kernel

@kernel
def inner(x):
    return x + 1

@kernel
def outer(x):
    return inner(x) * 2

@kernel
def wrong(x):
    return x.no_such_thing
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """``module()`` imports the kernels anew, as another process would."""
    (tmp_path / "told_kernels.py").write_text(KERNELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compilation, "EACH", 2.0)

    def load():
        sys.modules.pop("told_kernels", None)
        monkeypatch.setattr(compiling, "KERNELS", [])
        monkeypatch.setattr(compilation, "KERNELS", compiling.KERNELS)
        return importlib.import_module("told_kernels")

    yield load
    sys.modules.pop("told_kernels", None)


@pytest.fixture
def listening():
    said = []
    seconds = itertools.count()  # every look at the clock is a second later
    listener = Compilation("toy", said.append, clock=lambda: float(next(seconds)))
    listener.start()
    yield listener, said
    listener.stop()


def test_what_is_compiled_is_told_once_with_its_end_and_what_is_cached_is_not(module, listening):
    listener, said = listening
    kernels = module()
    assert kernels.outer(1) == 4
    assert said == ["Compiling the kernels of toy (once, about 5 s) ..."]  # of three kernels
    assert listener.seconds == 1.0  # the kernel inside is not counted twice
    assert kernels.inner(2.0) == 3.0
    listener.done()
    listener.done()
    assert said[1:] == ["Compiled in 2 s."]
    assert module().outer(2) == 6
    listener.done()
    assert len(said) == 2
    assert listener.seconds == 2.0


def test_the_time_goes_on_while_a_kernel_is_compiled_and_a_failure_ends_it(module, listening):
    listener, _ = listening
    with pytest.raises(numba.core.errors.NumbaError):
        module().wrong(1)
    before = listener.seconds
    assert listener.seconds == before > 0
    listener.on_start(type("Event", (), {"data": {"dispatcher": module().inner}}))
    assert listener.seconds < listener.seconds


def test_what_takes_a_moment_is_not_told(module, listening, monkeypatch):
    listener, said = listening
    monkeypatch.setattr(compilation, "EACH", 0.6)
    assert module().outer(1) == 4
    listener.done()
    assert said == []
