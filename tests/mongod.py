"""A real MongoDB server on the loopback, in a folder of its own (requirements-mongo-test.txt)."""

import ctypes
import hashlib
import importlib.util
import signal
import socket
import subprocess
from pathlib import Path

import pymongo


def program():
    found = importlib.util.find_spec("fiftyone")
    assert found is not None, "mongod is not there: make test installs requirements-mongo-test.txt"
    return next(Path(place, "db", "bin", "mongod") for place in found.submodule_search_locations)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # nothing is left behind when the tests themselves are killed


class Mongod:
    """``start`` and ``kill`` it again and again; the port and the data stay."""

    def __init__(self, folder, port=None):
        self.folder, self.port = Path(folder), port or free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}"
        (self.folder / "db").mkdir(parents=True, exist_ok=True)
        self._process = None

    def start(self, *, auth=False):
        program().chmod(0o755)
        words = f"--dbpath {self.folder}/db --port {self.port} --bind_ip 127.0.0.1 --nounixsocket"
        words += f" --wiredTigerCacheSizeGB 0.25 --logpath {self.folder}/log --setParameter enableTestCommands=1"
        words += " --auth" if auth else ""
        words += " --setParameter diagnosticDataCollectionEnabled=false --logappend"
        self._process = subprocess.Popen(
            [program(), *words.split()], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )  # fmt: skip
        with self.client(serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")
        return self

    def client(self, **more):
        return pymongo.MongoClient(self.url, **more)

    def signal(self, signum):
        self._process.send_signal(signum)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def full(self, is_full):
        """Answer every write as a server whose disk is full does, or no longer."""
        commands = {"failCommands": ["insert", "update", "createIndexes"], "errorCode": 14031}  # OutOfDiskSpace
        with self.client() as client:
            mode = "alwaysOn" if is_full else "off"
            client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": commands})

    @staticmethod
    def database_of(request):
        """A name for a test's own database."""
        return "t" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
