"""A MongoDB database in Sacred's layout: runs, metrics, and fs.* for files."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gridfs
from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, MongoClient
from pymongo.errors import ConfigurationError, DuplicateKeyError, PyMongoError
from pymongo.uri_parser import parse_uri

from core.errors import UserError
from core.secrets import hidden
from mirrors.follower import Timeouts

PASSWORD = "MONGO_PASSWORD"  # environment variable
_LOGIN = re.compile(r"mongodb(?:\+srv)?://([^:@/]+)(?::\*\*\*)?@")  # a user whose password is elsewhere


def check_url(url: str) -> None:
    """Look at an address without asking anybody.

    Raises:
        UserError: it is none.
    """
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise UserError(
            f"'{hidden(url)}' is no address of a MongoDB server: give mongodb://127.0.0.1:27017, or "
            f"mongodb://user@host:port with the password in the environment variable {PASSWORD}."
        )
    if url.startswith("mongodb://"):  # of the other kind only a name server knows more
        with _address(url):
            parse_uri(url, validate=True)


@contextmanager
def _address(url: str) -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, ValueError) as error:
        raise UserError(f"The MongoDB address '{hidden(url)}' cannot be used: {hidden(str(error))}") from error


def server_of(url: str) -> str:
    """How an address is called in messages: its hosts."""
    return "MongoDB at " + re.split(r"[/?]", url.partition("://")[2].rpartition("@")[2])[0]


def reason(error: Exception) -> str:
    """What went wrong, in a line."""
    words = re.split(r" \(configured timeouts|, Timeout:|, full error:", hidden(" ".join(str(error).split())))[0]
    words = re.sub(r"^[\w.-]+:\d+: ", "", words).rstrip(".")  # the server is named beside it
    return words if len(words) <= 200 else f"{words[:200]}..."


class Store:
    """A database of Sacred's layout; nothing is sent before :meth:`prepare`.

    Args:
        url: address of the server; with a user but no password that of the environment variable counts.
        name: of the database.
        timeouts: see there.
    """

    def __init__(self, url: str, name: str, timeouts: Timeouts) -> None:
        self._url, self._name, self._timeouts = url, name, timeouts
        self._client: MongoClient[dict[str, Any]] | None = None
        self._kept: dict[tuple[str, int, int], tuple[ObjectId, str]] = {}

    def prepare(self) -> None:
        """Connect and make the indexes, once.

        Raises:
            UserError: the address is wrong, or its name is not known.
            PyMongoError: the server cannot be reached, or refuses.
        """
        if self._client is not None:
            return
        client = self._connect()
        try:
            database = client[self._name]
            self.runs, self.metrics = database["runs"], database["metrics"]
            self._files, self._grid = database["fs.files"], gridfs.GridFS(database)
            self.metrics.create_index([("run_id", ASCENDING), ("name", ASCENDING)])
            ours = {"files.key": {"$exists": True}}
            self.runs.create_index([("files.key", ASCENDING)], unique=True, partialFilterExpression=ours)
        except PyMongoError:
            client.close()
            raise
        self._client = client

    def _connect(self) -> MongoClient[dict[str, Any]]:
        settings: dict[str, Any] = {
            "serverSelectionTimeoutMS": int(1000 * self._timeouts.find),
            "connectTimeoutMS": int(1000 * self._timeouts.find),
            "socketTimeoutMS": int(1000 * self._timeouts.answer),
        }
        user, password = _LOGIN.match(self._url), os.environ.get(PASSWORD)
        settings |= {"username": user[1], "password": password} if user and password else {}
        with _address(self._url):
            return MongoClient(self._url, maxPoolSize=2, **settings)

    def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            self._client.close()

    def run_of(self, key: str, document: dict[str, Any]) -> dict[str, Any]:
        """The run that ``key`` tells from all others: its ``_id``, ``files`` and ``heartbeat``.

        Where there is none it is made of ``document``, with the next free number, and has "new" too.

        Raises:
            PyMongoError: the server cannot be reached, or refuses.
        """
        while True:
            found = self.runs.find_one({"files.key": key}, {"files": 1, "heartbeat": 1})
            if found is not None:
                return found
            last = self.runs.find_one({"_id": {"$type": "number"}}, {"_id": 1}, sort=[("_id", DESCENDING)])
            number = 1 if last is None else int(last["_id"]) + 1
            try:
                self.runs.insert_one(document | {"_id": number, "files": {"key": key}})
                return {"_id": number, "files": {}, "new": True}
            except DuplicateKeyError:
                continue  # another run took the number, or another process copies this run

    def put(self, path: Path, *, filename: str) -> tuple[ObjectId, str] | None:
        """Keep a file's content under a name, once; its id and MD5, or None where the file is not there.

        Raises:
            OSError: it cannot be read.
            PyMongoError: the server cannot be reached, or refuses.
        """
        try:
            state = path.stat()
        except FileNotFoundError:
            return None
        place = filename, state.st_size, state.st_mtime_ns
        if place not in self._kept:
            content = path.read_bytes()
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()  # what Sacred finds files by
            there = self._files.find_one({"filename": filename, "md5": digest}, {"_id": 1})
            kind = mimetypes.guess_type(filename)[0]
            found = there["_id"] if there else self._grid.put(content, filename=filename, md5=digest, content_type=kind)
            self._kept[place] = found, digest
        return self._kept[place]
