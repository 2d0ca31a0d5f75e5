"""Checkpoints: whole or not at all, found by step, read without running code."""

import builtins
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from components import checkpoint
from core.errors import UserError


def parts(value=1.0, replay=True):
    content = {
        "agent.th": {"weight": torch.full((3,), value)},
        "state.pt": {
            "numbers": np.arange(3.0),
            "generator": np.random.default_rng(1).bit_generator.state,
            "flag": np.array([True]),
            "t": 5,
        },
    }
    return {**content, "replay.pt": {"obs": torch.zeros(4)}} if replay else content


def everything(models):
    return sorted(str(p.relative_to(models)) for p in models.rglob("*"))


def test_round_trip(tmp_path):
    folder = checkpoint.save(tmp_path / "run", 40, parts())
    assert folder == tmp_path / "run" / "40"
    assert torch.equal(checkpoint.read(folder, "agent.th")["weight"], torch.ones(3))
    state = checkpoint.read(folder, "state.pt")
    np.testing.assert_array_equal(state["numbers"], np.arange(3.0))
    assert state["generator"] == np.random.default_rng(1).bit_generator.state
    assert state["flag"].dtype == bool


def test_the_replay_buffer_is_kept_in_the_newest_only(tmp_path):
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, step, parts())
    assert [step for step in checkpoint.steps(tmp_path) if (tmp_path / str(step) / "replay.pt").is_file()] == [30]
    assert (tmp_path / "10" / "agent.th").is_file()


@pytest.mark.parametrize(
    ("load_step", "found"), [(0, 1000), (1, 20), (100, 100), (540, 100), (560, 1000), (9999, 1000)]
)
def test_find_the_newest_or_nearest(tmp_path, load_step, found):
    for step in (100, 1000, 20):
        checkpoint.save(tmp_path, step, parts())
    assert checkpoint.find(tmp_path, load_step) == tmp_path / str(found)
    assert checkpoint.find(tmp_path / "20") == tmp_path / "20"


class Disk:
    """Lets the k-th write, sync, mkdir or rename fail."""

    def __init__(self, monkeypatch, fail_at):
        self.count, self.fail_at = 0, fail_at
        for owner, name in ((os, "fsync"), (torch, "save"), (Path, "rename"), (Path, "mkdir")):
            self._wrap(monkeypatch, owner, name)

    def _wrap(self, monkeypatch, owner, name):
        original = getattr(owner, name)

        def guarded(*args, **kwargs):
            self.count += 1
            if self.count == self.fail_at:
                if name == "save":  # half a file, then torch's way to say that the disk is full
                    args[1].write(b"half")
                    raise RuntimeError("PytorchStreamWriter failed writing file")
                raise OSError(28, "No space left on device")
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, guarded)


def test_a_failure_at_any_point_leaves_the_earlier_checkpoint_and_no_rest(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 10, parts(1.0))
    before = everything(tmp_path)
    with monkeypatch.context() as patch:
        disk = Disk(patch, fail_at=-1)
        checkpoint.save(tmp_path, 5, parts(2.0))
        points = disk.count
    shutil.rmtree(tmp_path / "5")
    shutil.rmtree(tmp_path / "10")
    checkpoint.save(tmp_path, 10, parts(1.0))
    assert points >= 8  # three files written and synced, a folder made and renamed
    for fail_at in range(1, points + 1):
        with monkeypatch.context() as patch:
            Disk(patch, fail_at)
            with pytest.raises(OSError, match="Cannot write the checkpoint"):
                checkpoint.save(tmp_path, 20, parts(2.0))
        assert everything(tmp_path) == before
        found = checkpoint.find(tmp_path)
        assert found.name == "10"
        assert torch.equal(checkpoint.read(found, "agent.th")["weight"], torch.ones(3))
        assert (found / "replay.pt").is_file()
    checkpoint.save(tmp_path, 20, parts(2.0))
    assert checkpoint.find(tmp_path).name == "20"


def test_what_a_killed_process_left_is_not_taken_for_a_checkpoint(tmp_path):
    (tmp_path / ".30.123.tmp").mkdir(parents=True)
    checkpoint.save(tmp_path, 10, parts())
    assert checkpoint.steps(tmp_path) == [10]


def test_nothing_there(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="No checkpoint in"):
            checkpoint.find(path)


def test_a_missing_part_is_named_with_what_there_is(tmp_path):
    folder = checkpoint.save(tmp_path, 10, parts())
    with pytest.raises(UserError, match=r"has no mixer.th; it holds: agent.th, replay.pt, state.pt"):
        checkpoint.read(folder, "mixer.th")


def rubbish():
    yield b""
    yield b"half"
    yield b"PK\x03\x04 not a zip file"
    yield bytes(range(256)) * 10
    rng = np.random.default_rng(0)
    yield from (rng.bytes(n) for n in (1, 2, 3, 10, 1000))
    yield b"\x80\x02cos\nsystem\n(S'true'\ntR."
    yield b"\x80\x02}q\x00X\xff\xff\xff\xffabc"


@pytest.mark.parametrize("name", ["agent.th", checkpoint.REPLAY])
@pytest.mark.parametrize("content", list(rubbish()))
def test_an_unreadable_file_is_the_users_error(tmp_path, content, name):
    folder = checkpoint.save(tmp_path, 10, parts())
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="Cannot read"):
        checkpoint.read(folder, name)


@pytest.mark.parametrize("name", ["agent.th", checkpoint.REPLAY])
def test_a_cut_file_is_the_users_error(tmp_path, name):
    folder = checkpoint.save(tmp_path, 10, parts())
    whole = (folder / name).read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 7)):
        (folder / name).write_bytes(whole[:size])
        with pytest.raises(UserError, match="Cannot read"):
            checkpoint.read(folder, name)


def test_a_replay_is_not_read_into_memory(tmp_path):
    """Its buffer has the memory that it is copied to."""
    folder = checkpoint.save(tmp_path, 10, {name: {"w": torch.ones(3)} for name in ("agent.th", checkpoint.REPLAY)})
    for name, mapped in (("agent.th", False), (checkpoint.REPLAY, True)):
        content = checkpoint.read(folder, name)
        assert torch.equal(content["w"], torch.ones(3))
        assert (str(folder / name) in Path("/proc/self/maps").read_text()) == mapped


def test_code_in_a_file_does_not_run(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return builtins.exec, ("raise SystemExit('ran')",)

    folder = checkpoint.save(tmp_path, 10, parts())
    torch.save({"x": Evil()}, folder / "agent.th")
    with pytest.raises(UserError, match="Cannot read"):
        checkpoint.read(folder, "agent.th")
