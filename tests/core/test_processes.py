"""Which processes have certainly ended: real ones, and records of others."""

import os
import subprocess
import sys

import pytest

from core import processes
from core.processes import has_ended, identity

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def child():
    """A process that ends when its input does."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_process_that_goes_on_has_not_ended(child):
    assert not has_ended(identity())
    assert not has_ended(identity(child.pid))
    assert identity(child.pid)["started"] >= identity()["started"]


def test_a_process_that_was_killed_has_ended_before_anybody_asks_how(child):
    known = identity(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert os.path.exists(f"/proc/{child.pid}")
    assert has_ended(known)
    child.wait()
    assert has_ended(known)


def test_a_number_that_another_process_has_now(child):
    assert has_ended(identity(child.pid) | {"started": "1"})


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_nobody_knows_of_other_boots_and_containers(child, place):
    known = identity(child.pid)
    child.kill()
    child.wait()
    known["place"][place] = "another"
    assert not has_ended(known)


@pytest.mark.parametrize("record", [{}, {"pid": 1}, {"place": [], "pid": 1, "started": "1"}])
def test_records_that_say_nothing(record):
    assert not has_ended(record)
    if "place" in record:
        assert not has_ended(identity() | {"pid": "nonsense"})
        assert not has_ended(identity() | {"pid": 2**80})


def test_a_process_of_another_user_is_not_looked_into(monkeypatch):
    def forbidden(pid, number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert not has_ended(identity())


def test_where_there_is_no_such_record_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert identity() == {}
    assert not has_ended({"place": [], "pid": os.getpid(), "started": "1"})


def test_process_numbers_of_another_container_say_nothing(monkeypatch, child, tmp_path):
    """A /proc that was mounted outside has other processes under these numbers."""
    known = identity(child.pid)
    for entry in ("sys", str(child.pid)):
        (tmp_path / entry).symlink_to(f"/proc/{entry}")
    (tmp_path / "self").symlink_to(str(child.pid))
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert identity(child.pid) == {}
    child.kill()
    child.wait()
    assert not has_ended(known)


def test_a_thread_that_ends_while_it_is_looked_at_proves_nothing(monkeypatch, child):
    def gone(folder):
        if folder.parent.name == "task":
            raise ProcessLookupError
        return real(folder)

    known, real = identity(child.pid), processes._fields
    monkeypatch.setattr(processes, "_fields", gone)
    assert not has_ended(known)
