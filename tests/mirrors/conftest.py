"""Runs to copy. (The server, mongod, is in tests/conftest.py.)"""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mirrors.follower import Timeouts
from mirrors.mongo import MongoCopy
from mirrors.store import Store
from observers.sacred_files import AtomicFileObserver

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678000)
QUICK = Timeouts(find=0.5, answer=0.5)


class MadeUpRun:
    """A run that writes its files as real ones do, when it is told to."""

    def __init__(self, basedir, *, seed=1, config=(), info=None):
        self._files = AtomicFileObserver(basedir, capture=False)
        about = {"base_dir": str(Path(__file__).parent), "sources": [("conftest.py", "x")], "name": "made_up"}
        config = {"name": "asae", "env": "made_up", "seed": seed, "env_args": {"key": "up"}, **dict(config)}
        began = BEGAN + timedelta(seconds=seed)
        self._files.started_event(about, "main", {"hostname": "here"}, began, config, {}, None)
        self.folder, self.info, self.written = self._files.dir, dict(info or {}), 0
        (self.folder / "cout.txt").write_text("printed\n")
        self.beat()

    def points(self, number, *names):
        """Append points to every metric."""
        for _ in range(number):
            self.written += 1
            when = BEGAN + timedelta(seconds=self.written)
            self._files.record(dict.fromkeys(names or ("loss",), self.written / 2), 10 * self.written, when)

    def beat(self):
        self._files.heartbeat_event(self.info, "", BEGAN + timedelta(minutes=1), None)

    def artifact(self, name, content):
        source = self.folder.parent / "made"
        source.write_bytes(content)
        self._files.artifact_event(name, source)

    def end(self):
        self._files.completed_event(BEGAN + timedelta(hours=1), 2.5)


@pytest.fixture
def begin(tmp_path):
    """Begin a run: ``begin(seed=2)``."""
    return lambda **more: MadeUpRun(tmp_path / "sacred" / "asae" / "made_up", **more)


@pytest.fixture
def database(mongod, request):
    """A database of this test's own, as pymongo gives it."""
    with mongod.client() as client:
        yield client[mongod.database_of(request)]


@pytest.fixture
def store(mongod, database):
    store = Store(mongod.url, database.name, Timeouts())
    yield store
    store.close()


@pytest.fixture
def copied(store):
    """Copy a folder with nothing remembered; whether there was anything to do."""
    return lambda folder, **more: MongoCopy(store, folder, **more).sync()


def points_of(database, run_id=1):
    """name -> (steps, values) of a run's metrics, parts in order."""
    found = database.metrics.find({"run_id": run_id}).sort("name")
    return {one["name"]: (one["steps"], one["values"]) for one in found}


def on_file(folder):
    """The same, as metrics.jsonl has it."""
    points = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        point = json.loads(line)
        steps, values = points.setdefault(point["name"], ([], []))
        steps.append(point["step"])
        values.append(point["value"])
    return points


@pytest.fixture(scope="session")
def tools():
    """Functions of this file (files of tests cannot import one another)."""
    return sys.modules[__name__]
