"""How much memory there is; too little of it is one message."""

import errno
import resource

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.memory import amount, enough_memory, machine_memory

GIB = 2**30


@pytest.fixture
def system(tmp_path):
    """Write files of a system: system({"proc/meminfo": ...})."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return machine_memory(tmp_path)

    return write


MACHINE = {"proc/meminfo": f"MemTotal:  {8 * 2**20} kB\nMemFree: 5 kB\n"}


def test_of_a_machine(system):
    assert system(MACHINE) == 8 * GIB


def test_of_this_machine():
    assert 2**28 < machine_memory() < 2**48


@pytest.mark.parametrize("group", ["sys/fs/cgroup/a/b/memory.max", "sys/fs/cgroup/a/memory.max"])
def test_of_a_container(system, group):
    """The least of its own limit and of those above it."""
    files = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/memory.max": "max\n", group: f"{2 * GIB}\n"}
    assert system(MACHINE | files) == 2 * GIB
    assert system({group: f"{100 * GIB}\n"}) == 8 * GIB


def test_of_a_container_of_the_first_version(system):
    groups = "5:cpu:/x\n4:memory:/x/y\n1:name=systemd:/\n0::/\n"
    files = {"proc/self/cgroup": groups, "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 * GIB}\n"}
    assert system(MACHINE | files) == 3 * GIB  # as a container sees it: its own group is the top


def test_of_a_shell(system, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (GIB, GIB) if kind == resource.RLIMIT_AS else (0, 0))
    assert system(MACHINE) == GIB


def test_amounts():
    assert [amount(n) for n in (12000, 29 * 2**20, 1.54 * GIB, 26.4 * GIB, 5000 * GIB)] == [
        "12 KiB", "29 MiB", "1.5 GiB", "26 GiB", "5,000 GiB",
    ]  # fmt: skip


def numpys():
    np.empty((2**40, 2**20), np.uint8)


def pytorchs():
    torch.empty(2**60, dtype=torch.uint8)


def mmaps():
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def cudas():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.mark.parametrize(
    ("shortage", "asked"),
    [
        (numpys, r" \(1.00 EiB at once\)|"),
        (pytorchs, r" \([\d,]+ GiB at once\)"),
        (mmaps, ""),
        (cudas, r" \(20.00 MiB at once\)"),
    ],
)
def test_too_little_is_one_message(shortage, asked):
    with (
        pytest.raises(
            UserError, match=rf"^Not enough memory for gathering 8 episodes({asked}): lower batch_size_run\.$"
        ),
        enough_memory("gathering 8 episodes", "lower batch_size_run"),
    ):
        shortage()


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "no file"), RuntimeError("shapes differ"), ValueError("x")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, enough_memory("this", "lower that"):
        raise error
    assert raised.value is error
