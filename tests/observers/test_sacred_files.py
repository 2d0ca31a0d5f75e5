"""The file observer: contents, numbers of runs, full disks, folders that cannot be written."""

import errno
import itertools
import json
import logging
import math
import os
import sys
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import sacred
from sacred.observers import FileStorageObserver

from analysis.runs import read_run
from core.errors import UserError
from observers import atomic
from observers.sacred_files import AtomicFileObserver
from observers.sink import Sink

NOW = datetime(2026, 1, 2, 3, 4, 5)


def started(basedir, **options):
    observer = AtomicFileObserver(basedir, capture=False, **options)
    ex_info = {"base_dir": str(Path(__file__).parent), "sources": [("child.py", "x")], "name": "made_up"}
    observer.started_event(ex_info, "main", {"hostname": "here"}, NOW, {"name": "asae", "seed": 1}, {}, None)
    return observer


def strict(path):
    return json.loads(path.read_text(), parse_constant=pytest.fail)


def experiment(observers, main):
    ex = sacred.Experiment("made_up", save_git_info=False)
    ex.observers.extend(observers)
    ex.add_config(name="asae", env="made_up", seed=1, limit=math.inf, env_args={"key": "up"})
    ex.main(main)
    return ex


def test_all_files_of_a_finished_run(tmp_path):
    artifact = tmp_path / "picture.txt"
    artifact.write_text("a picture")

    def main(_run):
        _run.info["note"] = np.float32(2.5)
        _run.log_scalar("by_hand", np.float64(0.5), 3)
        _run.log_scalar("by_hand", math.nan, 4)
        Sink(run=_run).write({"loss": math.inf, "return_mean": 2}, 7)
        _run.add_artifact(str(artifact), "pictures/one.txt")
        _run.add_resource(str(artifact))
        print("printed", end="")
        return math.nan

    run = experiment([AtomicFileObserver(tmp_path / "runs")], main).run(options={"--capture": "no"})
    folder = tmp_path / "runs" / "1"
    assert run._id == "1"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "run.json", "cout.txt", "metrics.jsonl", "metrics.json", "info.json", "pictures"
    }  # fmt: skip
    entry = strict(folder / "run.json")
    assert entry["status"] == "COMPLETED"
    assert entry["result"] == "NaN"
    assert entry["artifacts"] == ["pictures/one.txt"]
    assert (folder / "pictures" / "one.txt").read_text() == "a picture"
    assert (tmp_path / "runs" / entry["resources"][0][1]).read_text() == "a picture"
    assert entry["host"]["hostname"]
    assert entry["experiment"]["name"] == "made_up"
    assert strict(folder / "config.json")["limit"] == "Infinity"
    assert strict(folder / "info.json")["note"] == 2.5
    metrics = strict(folder / "metrics.json")
    assert metrics["by_hand"]["steps"] == [3, 4]
    assert metrics["by_hand"]["values"] == [0.5, None]
    assert metrics["loss"]["values"] == [None]
    assert metrics["return_mean"]["values"] == [2.0]
    datetime.fromisoformat(metrics["loss"]["timestamps"][0])
    assert "printed\n" in (folder / "cout.txt").read_text()


def test_a_failing_run_keeps_traceback_points_and_output(tmp_path):
    def main(_run):
        Sink(run=_run).write({"loss": 1.0}, 7)
        print("last words")
        raise ZeroDivisionError("a bug")

    stdout = sys.stdout
    with pytest.raises(ZeroDivisionError):
        experiment([AtomicFileObserver(tmp_path)], main).run(options={"--capture": "no"})
    assert sys.stdout is stdout
    entry = strict(tmp_path / "1" / "run.json")
    assert entry["status"] == "FAILED"
    assert "a bug" in "".join(entry["fail_trace"])
    assert "last words\n" in (tmp_path / "1" / "cout.txt").read_text()
    assert strict(tmp_path / "1" / "metrics.json")["loss"]["values"] == [1.0]


def test_a_stock_observer_beside_ours_gets_everything(tmp_path):
    def main(_run):
        sink = Sink(run=_run)
        sink.write({"loss": 1.5}, 7)
        sink.write({"loss": 2.5}, 9)
        _run.log_scalar("loss", 3.5, 9)
        print("seen by both")
        sink.close()

    observers = [FileStorageObserver(tmp_path / "stock"), AtomicFileObserver(tmp_path / "ours")]
    experiment(observers, main).run(options={"--capture": "no"})
    for name in ("stock", "ours"):
        metrics = strict(tmp_path / name / "1" / "metrics.json")
        assert metrics["loss"]["steps"] == [7, 9, 9]
        assert metrics["loss"]["values"] == [1.5, 2.5, 3.5]
        assert "seen by both" in (tmp_path / name / "1" / "cout.txt").read_text()


def test_runs_that_start_together_get_numbers_of_their_own(tmp_path):
    barrier = threading.Barrier(16)
    folders = []

    def start():
        barrier.wait()
        folders.append(started(tmp_path).dir)

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(folder.name) for folder in folders) == list(range(1, 17))
    assert all(strict(folder / "run.json")["status"] == "RUNNING" for folder in folders)


def test_the_number_of_another_observer_is_taken_unless_it_is_in_use(tmp_path):
    (tmp_path / "41").mkdir()
    observer = AtomicFileObserver(tmp_path)
    assert observer._make_dir(7).name == "7"
    assert observer._make_dir(41).name == "42"
    assert observer._make_dir("abc").name == "abc"
    assert observer._make_dir("abc").name == "43"


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="local_results_path") as caught:
        started(tmp_path / "file" / "sacred")
    assert str(tmp_path / "file" / "sacred") in str(caught.value)
    with pytest.raises(UserError):
        AtomicFileObserver(tmp_path / "file").prepare()

    with pytest.raises(UserError):  # and through Sacred, which reports the failure to the observer first
        experiment([AtomicFileObserver(tmp_path / "file")], lambda _run: None).run(options={"--capture": "no"})


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that can be full: half of every write arrives, then no space."""
    real = os.write
    state = {"full": False}

    def write(fd, data):
        if not state["full"]:
            return real(fd, data)
        if len(data) > 1:
            return real(fd, bytes(data[: len(data) // 2]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "write", write)
    return state


def test_a_full_disk_spoils_nothing_and_is_told_once(tmp_path, full_disk, caplog):
    observer = started(tmp_path)
    observer.record({"loss": 1.0}, 10, NOW)
    observer.heartbeat_event({"a": 1}, "", NOW, None)
    names = ("run.json", "metrics.json", "metrics.jsonl", "info.json")
    before = {name: (observer.dir / name).read_bytes() for name in names}

    full_disk["full"] = True
    with caplog.at_level(logging.WARNING):
        for step in (20, 30):
            observer.record({"loss": 2.0}, step, NOW)
            observer.heartbeat_event({"a": 2}, "", NOW, None)
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    assert before == {name: (observer.dir / name).read_bytes() for name in names}
    assert not list(observer.dir.glob(".*"))  # no temporary files take the room that is left

    full_disk["full"] = False
    observer.record({"loss": 3.0}, 40, NOW)
    observer.completed_event(NOW, None)
    assert read_run(observer.dir).metrics["loss"][0].tolist() == [10, 20, 30, 40]
    assert strict(observer.dir / "run.json")["status"] == "COMPLETED"


def test_a_run_that_ends_on_a_full_disk_says_what_is_missing(tmp_path, full_disk, caplog):
    observer = started(tmp_path)
    full_disk["full"] = True
    observer.record({"loss": 1.0, "other": 2.0}, 10, NOW)
    with caplog.at_level(logging.ERROR):
        observer.completed_event(NOW, None)
    assert "2 points" in caplog.text


def test_points_that_wait_are_carried_into_the_run_that_goes_on(tmp_path, full_disk):
    observer = started(tmp_path)
    observer.record({"loss": 0.5}, 5, NOW)
    full_disk["full"] = True
    observer.record({"loss": 1.0, "other": float("nan")}, 10, NOW)
    kept = observer.metrics.waiting()
    assert [json.loads(line)["name"] for line in kept] == ["loss", "other"]
    full_disk["full"] = False
    following = started(tmp_path)
    following.metrics.carry(kept)
    assert [line.decode() for line in (following.dir / "metrics.jsonl").read_bytes().splitlines()] == kept
    following.completed_event(NOW, None)
    metrics = read_run(following.dir).metrics
    assert metrics["loss"][1].tolist() == [1.0]
    assert np.isnan(metrics["other"][1]).all()
    assert observer.metrics.waiting() == []  # there is room again


def test_a_run_whose_last_points_are_lost_has_not_completed(tmp_path, monkeypatch, caplog):
    observer = started(tmp_path)
    monkeypatch.setattr("observers.metric_files.append", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    monkeypatch.setattr(observer.metrics, "_write_json", lambda: None)
    observer.record({"loss": 1.0}, 10, NOW)
    observer.completed_event(NOW, None)
    assert strict(observer.dir / "run.json")["status"] == "INTERRUPTED"
    assert "1 points" in caplog.text


def test_dev_full(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        atomic.append(Path("/dev/full"), b"x")


def test_metrics_json_is_rewritten_in_proportion_to_its_growth(tmp_path, monkeypatch):
    observer = started(tmp_path)
    written = []
    real = observer.metrics._write_json
    monkeypatch.setattr(observer.metrics, "_write_json", lambda: (written.append(observer.metrics._points), real()))
    for step in range(2_000):
        observer.record({f"m{i}": 1.0 for i in range(10)}, step, NOW)
        if step % 5 == 0:
            observer.heartbeat_event({}, "", NOW, None)
    large = [n for n in written if n >= 2_000]
    assert all(b >= 1.25 * a for a, b in itertools.pairwise(large))
    assert len(large) <= 12  # of 320 heartbeats
    observer.completed_event(NOW, None)
    assert len(strict(observer.dir / "metrics.json")["m3"]["values"]) == 2_000


@pytest.mark.parametrize("name", ["run.json", "../outside.txt"])
def test_artifacts_stay_in_the_folder_and_off_our_files(tmp_path, name):
    observer = started(tmp_path)
    with pytest.raises(ValueError, match="another name"):
        observer.artifact_event(name, __file__)
