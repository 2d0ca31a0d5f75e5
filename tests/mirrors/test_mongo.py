"""Copies in a real MongoDB: Sacred's layout, nothing twice, nothing missing, whatever happens to the server."""

import json
import shutil
import signal
import threading
from datetime import datetime

import bson
import gridfs
import pytest

from mirrors import documents, mongo
from mirrors.follower import CopyFailed
from mirrors.mongo import MongoCopy
from mirrors.store import Store


def test_the_layout_is_sacreds(begin, database, copied, tools):
    run = begin(info={"note": 2.5})
    run.points(3, "loss", "test_return_mean")
    run.artifact("films/one.gif", b"a film")
    run.end()
    assert copied(run.folder) is True
    (found,) = database.runs.find()
    wanted = {"status": "COMPLETED", "result": 2.5, "command": "main", "captured_out": "printed\n"}
    assert {key: found[key] for key in wanted} == wanted
    assert found["_id"] == 1
    assert found["config"]["env_args"] == {"key": "up"}
    assert found["start_time"].isoformat() == "2026-01-02T03:04:06.678000"
    assert found["stop_time"] > found["heartbeat"] > found["start_time"]
    assert found["info"]["note"] == 2.5
    assert tools.points_of(database) == tools.on_file(run.folder)
    metrics = {one["name"]: str(one["_id"]) for one in database.metrics.find()}
    assert {one["name"]: one["id"] for one in found["info"]["metrics"]} == metrics
    assert all(isinstance(one["timestamps"][0], type(found["start_time"])) for one in database.metrics.find())
    assert "run_id_1_name_1" in database.metrics.index_information()
    grid = gridfs.GridFS(database)
    ((name, source),) = found["experiment"]["sources"]
    assert name == "conftest.py"
    assert b"MadeUpRun" in grid.get(source).read()
    (artifact,) = found["artifacts"]
    assert artifact["name"] == "films/one.gif"
    film = grid.get(artifact["file_id"])
    assert (film.read(), film.filename) == (b"a film", "artifact://runs/1/films/one.gif")
    assert database["fs.files"].find_one({"filename": film.filename})["md5"]


def test_a_run_that_goes_on_is_copied_again_and_again(begin, database, copied, tools, monkeypatch):
    monkeypatch.setattr(mongo, "PUSH", 4)
    run = begin()
    copied(run.folder)
    assert database.runs.find_one()["status"] == "RUNNING"
    for number, names in ((1, ["loss"]), (7, ["loss"]), (5, ["loss", "late"])):
        run.points(number, *names)
        run.beat()
        assert copied(run.folder) is True
        assert copied(run.folder) is False  # nothing has changed
        assert copied(run.folder, again=True) is True
        assert tools.points_of(database) == tools.on_file(run.folder)
    run.end()
    copied(run.folder)
    assert [one["status"] for one in database.runs.find()] == ["COMPLETED"]
    assert database["fs.files"].count_documents({}) == 1


def test_one_copy_follows_a_run_without_reading_anything_twice(begin, store, database, tools):
    run, asked = begin(), []
    copy = MongoCopy(store, run.folder)
    for _ in range(3):
        run.points(5)
        copy.sync()
        asked.append(copy.added)
    assert asked == [5, 10, 15]
    assert tools.points_of(database) == tools.on_file(run.folder)
    assert copy._points.read() == {}


def test_numbers_are_free_ones_and_a_run_keeps_its_own(begin, database, copied, tmp_path):
    database.runs.insert_many([{"_id": 7}, {"_id": "a word"}])
    first, second = begin(seed=1), begin(seed=2)
    for run in (first, second, first):
        copied(run.folder)
    assert sorted(str(one["_id"]) for one in database.runs.find()) == ["7", "8", "9", "a word"]
    moved = tmp_path / "elsewhere" / "1"
    shutil.copytree(first.folder, moved)
    copied(moved)
    assert database.runs.count_documents({}) == 4


def test_an_older_copy_of_a_folder_changes_nothing(begin, database, copied, tmp_path):
    run = begin()
    backup = tmp_path / "backup" / "1"
    shutil.copytree(run.folder, backup)
    entry = json.loads((backup / "run.json").read_text())
    (backup / "run.json").write_text(json.dumps(entry | {"heartbeat": "2026-01-02T03:04:10"}))
    run.points(3)
    run.end()
    copied(run.folder)
    assert copied(backup) is False
    assert database.runs.find_one()["status"] == "COMPLETED"


def test_what_others_write_into_a_run_stays(begin, database, copied):
    run = begin()
    copied(run.folder)
    database.runs.update_one({}, {"$set": {"omniboard": {"tags": ["good"]}}})
    run.end()
    copied(run.folder)
    found = database.runs.find_one()
    assert (found["omniboard"], found["status"]) == ({"tags": ["good"]}, "COMPLETED")


def test_what_was_deleted_there_comes_back(begin, database, copied, tools):
    run = begin()
    run.points(9, "loss", "other")
    copied(run.folder)
    database.metrics.delete_one({"name": "loss"})
    assert copied(run.folder, again=True) is True
    assert tools.points_of(database) == tools.on_file(run.folder)


def test_runs_of_sacreds_own_observer_and_published_copies(tmp_path, database, copied, tools):
    for number, more in ((1, {"timestamps": ["2026-01-01T00:00:00", "2026-01-01T00:00:01"]}), (2, {})):
        folder = tmp_path / "runs" / str(number)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"seed": number}))
        (folder / "run.json").write_text(json.dumps({"status": "COMPLETED"}))
        (folder / "metrics.json").write_text(json.dumps({"loss": {"steps": [1, 2], "values": [None, 3.5], **more}}))
        assert copied(folder) is True
        assert tools.points_of(database, number) == {"loss": ([1, 2], [None, 3.5])}
        assert len(database.metrics.find_one({"run_id": number})["timestamps"]) == 2


def test_a_long_metric_is_split(begin, database, copied, tools, monkeypatch):
    monkeypatch.setattr(mongo, "PART", 10)
    monkeypatch.setattr(mongo, "PUSH", 4)
    run = begin()
    for number in (7, 3, 16):
        run.points(number)
        copied(run.folder)
    parts = tools.points_of(database)
    assert [len(steps) for steps, _ in parts.values()] == [10, 10, 6]
    assert list(parts) == ["loss", "loss (part 2)", "loss (part 3)"]
    assert [step for steps, _ in parts.values() for step in steps] == tools.on_file(run.folder)["loss"][0]
    assert [one["name"] for one in database.runs.find_one()["info"]["metrics"]] == list(parts)


def test_a_full_part_is_within_what_mongodb_takes():
    column = {"steps": [10**9] * mongo.PART, "values": [0.5] * mongo.PART, "timestamps": [10**12] * mongo.PART}
    assert len(bson.encode(column)) < documents.LIMIT


def test_what_is_too_large_is_shortened_with_a_word(begin, database, copied):
    run = begin(info={"huge": ["x" * 1000] * 20_000, "small": 1}, config={"long": "y" * 17_000_000})
    (run.folder / "cout.txt").write_text("start\n" + "z" * 2**24 + "\nend\n")
    copied(run.folder)
    found = database.runs.find_one()
    assert found["info"]["small"] == 1
    assert "left out" in found["info"]["huge"]
    assert "shortened" in found["config"]["long"]
    assert found["config"]["seed"] == 1
    assert found["captured_out"].startswith("[the first 15,")
    assert found["captured_out"].endswith("\nend\n")


def test_what_bson_does_not_know_is_written_as_it_can_be(begin, database, copied):
    odd = {"$set": 1, "a.b": 2, "large": 2**70, "half": "\ud800", "nul\0": 1}
    run = begin(config={"odd": odd})
    copied(run.folder)
    stored = {"@set": 1, "a,b": 2, "large": str(2**70), "half": "?", "nul": 1}
    assert database.runs.find_one()["config"]["odd"] == stored


def test_a_torn_last_line_waits_for_its_rest(begin, database, copied, tools):
    run = begin()
    run.points(2)
    whole = (run.folder / "metrics.jsonl").read_bytes()
    (run.folder / "metrics.jsonl").write_bytes(whole[:-5])
    copied(run.folder)
    assert len(tools.points_of(database)["loss"][0]) == 1
    (run.folder / "metrics.jsonl").write_bytes(whole)
    copied(run.folder)
    assert tools.points_of(database) == tools.on_file(run.folder)


@pytest.mark.parametrize(("name", "content"), [("config.json", "{"), ("run.json", "[]"), ("metrics.json", '{"a": 1}')])
def test_a_damaged_file_is_named(begin, copied, name, content):
    run = begin()
    (run.folder / name).write_text(content)
    with pytest.raises(CopyFailed, match=name):
        copied(run.folder)


@pytest.mark.parametrize(
    ("part", "odd"),
    [
        ("host", "here"),
        ("experiment", ["x"]),
        ("experiment", {"sources": [["conftest.py"]]}),
        ("resources", [1]),
        ("artifacts", {"a": 1}),
    ],
)
def test_an_entry_of_another_shape_is_named(begin, copied, part, odd):
    run = begin()
    entry = json.loads((run.folder / "run.json").read_text()) | {part: odd}
    (run.folder / "run.json").write_text(json.dumps(entry))
    named = "sources" if isinstance(odd, dict) and "sources" in odd else part
    with pytest.raises(CopyFailed, match=rf"run.json is damaged \({named} is not"):
        copied(run.folder)


@pytest.mark.parametrize(
    ("beat", "kept"), [("never", None), (7, None), ("2026-01-02T04:04:05+01:00", datetime(2026, 1, 2, 3, 4, 5))]
)
def test_a_heartbeat_that_is_no_time_of_ours(begin, copied, database, beat, kept):
    """Copied twice: what the first wrote is compared with what the second finds."""
    run = begin()
    entry = json.loads((run.folder / "run.json").read_text()) | {"heartbeat": beat}
    (run.folder / "run.json").write_text(json.dumps(entry))
    copied(run.folder)
    database.runs.update_one({}, {"$set": {"files.seen": None}})
    copied(run.folder)
    assert database.runs.find_one()["heartbeat"] == kept


def test_two_processes_copy_one_run_at_once(begin, mongod, database, tools):
    run = begin()
    run.points(200, "loss", "other")
    barrier = threading.Barrier(4)

    def work():
        copy = MongoCopy(Store(mongod.url, database.name, tools.QUICK), run.folder)
        barrier.wait()
        for _ in range(20):
            try:
                copy.sync()
            except CopyFailed:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.runs.count_documents({}) == 1
    assert tools.points_of(database) == tools.on_file(run.folder)


@pytest.fixture
def faulty(own_mongod, begin, tools):
    """A run with a copy in a server of its own that has begun; how to look at what is there."""
    run = begin()
    run.points(50, "loss", "other")
    copy = MongoCopy(Store(own_mongod.url, "sacred", tools.QUICK), run.folder)
    copy.sync()

    def complete():
        for _ in range(3):  # what the server had not answered may be carried out now
            try:
                copy.sync()
                break
            except CopyFailed:
                continue
        with own_mongod.client() as client:
            assert client.sacred.runs.find_one()["status"] == "COMPLETED"
            assert client.sacred.runs.count_documents({}) == 1
            assert tools.points_of(client.sacred) == tools.on_file(run.folder)

    return own_mongod, run, copy, complete


def test_a_server_that_is_killed_and_comes_back(faulty):
    server, run, copy, complete = faulty
    for _ in range(2):
        run.points(30, "loss", "other")
        server.kill()
        with pytest.raises(CopyFailed, match=r"refused|connection closed|reset by peer"):
            copy.sync()
        run.points(30, "loss", "late")
        server.start()
    run.end()
    complete()


def test_a_server_that_stalls_and_goes_on(faulty):
    server, run, copy, complete = faulty
    for _ in range(2):
        run.points(30, "loss", "other")
        server.signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(CopyFailed, match="timed out"):
                copy.sync()
        server.signal(signal.SIGCONT)
        run.points(30, "loss", "late")
    run.end()
    complete()


def test_a_server_whose_disk_is_full(faulty):
    server, run, copy, complete = faulty
    run.points(30, "loss", "late")
    server.full(True)
    for _ in range(2):
        with pytest.raises(CopyFailed):
            copy.sync()
    server.full(False)
    run.end()
    complete()
