"""One run in MongoDB, in Sacred's layout, copied from its files.

The files are the truth. A copy holds what says how far it has come, so it may be made again and again, by several
processes at once, after whatever has gone wrong: what is there is not written twice, what is missing is added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from core.errors import UserError
from mirrors.documents import RunFiles, fit, seen, storable
from mirrors.follower import CopyFailed
from mirrors.points import Column, Points
from mirrors.store import Store, reason

PART = 200_000  # points of one metric in one document (10 MB); more go into "<name> (part 2)", ...
PUSH = 20_000  # points that are sent at once
TEXT = 1_000  # characters of a metric's value that is a text


class MongoCopy:
    """One run in a database.

    Args:
        store: the database.
        folder: of the run.
        again: look at all of it, also where its files are as they were when the copy was complete.
    """

    def __init__(self, store: Store, folder: Path, *, again: bool = False) -> None:
        self._store, self._folder, self._again = store, folder, again
        self._points = Points(folder)
        self.new = False
        self.added = 0  # points
        self._forget()

    def _forget(self) -> None:
        """Know nothing of what the database has."""
        self.id: int | None = None
        self._points.rewind()
        self._sizes: dict[ObjectId, int] = {}
        self._read: Counter[str] = Counter()  # points of a metric that were read from the file
        self._have: dict[str, int] = {}  # ... and those that the database has
        self._sent: dict[str, Any] = {}

    def sync(self) -> bool:
        """Add what the database lacks; False where the copy is complete already, or the database's is the newer one.

        Raises:
            CopyFailed: the server did not take all of it, or the run's files are damaged.
            OSError: they cannot be read.
        """
        try:
            return self._sync()
        except (PyMongoError, UserError) as error:
            self._forget()
            raise CopyFailed(reason(error)) from error
        except (CopyFailed, OSError):
            self._forget()
            raise

    def close(self) -> None:
        """Nothing more will come."""
        self._store.close()

    def _sync(self) -> bool:
        state = seen(self._folder)  # before anything is read: what is written meanwhile makes it differ
        files = RunFiles(self._folder)
        key, document = files.key, files.document()
        self._store.prepare()
        if self.id is None:
            fit(document)
            found = self._store.run_of(key, document)
            done = found["files"].get("seen") == state and not self._again
            there = found.get("heartbeat")
            if done or (isinstance(there, datetime) and there > files.heartbeat):
                return False
            self.id, self.new = found["_id"], self.new or "new" in found
            self._sizes = self._sizes_there()
        while columns := self._points.read():
            self._push(key, columns)
        document["info"] = document["info"] | {"metrics": self._listed(key)}
        document |= self._kept(files)
        fit(document)
        document["files"] = {"key": key, "path": str(self._folder.resolve()), "seen": state}
        changed = {name: value for name, value in document.items() if self._sent.get(name, ...) != value}
        if changed:
            self._store.runs.update_one({"_id": self.id}, {"$set": changed})
        self._sent = document
        return True

    def _sizes_there(self) -> dict[ObjectId, int]:
        asked: list[dict[str, Any]] = [{"$match": {"run_id": self.id}}, {"$project": {"points": {"$size": "$steps"}}}]
        return {found["_id"]: found["points"] for found in self._store.metrics.aggregate(asked)}

    def _there(self, key: str, name: str) -> int:
        """Points of a metric that the database has, over all parts."""
        part, size = 0, self._sizes.get(_metric_id(key, name, 0), 0)
        while size == PART:
            part += 1
            size = self._sizes.get(_metric_id(key, name, part), 0)
        return part * PART + size

    def _push(self, key: str, columns: dict[str, Column]) -> None:
        """Append what the database lacks of these points, where it has exactly those before them."""
        updates: list[UpdateOne] = []
        pushes = added = 0
        for name, column in columns.items():
            have = self._have[name] if name in self._have else self._there(key, name)
            start, end = self._read[name], self._read[name] + len(column)
            for first, last in _cuts(max(have, start), end):
                part, within = divmod(first, PART)
                where = {"_id": _metric_id(key, name, part)}
                if within == 0:
                    about = {"run_id": self.id, "name": _shown(name, part)}
                    empty: dict[str, list] = {"steps": [], "values": [], "timestamps": []}
                    updates.append(UpdateOne(where, {"$setOnInsert": about | empty}, upsert=True))
                push = _pushed(column[first - start : last - start])
                updates.append(UpdateOne(where | {"steps": {"$size": within}}, push))
                pushes += 1
            self._read[name], self._have[name] = end, max(have, end)
            added += max(have, end) - have
        if updates and self._store.metrics.bulk_write(updates).modified_count != pushes:
            raise CopyFailed("another process copies the same run")
        self.added += added

    def _listed(self, key: str) -> list[dict[str, str]]:
        parts = [(name, part) for name, have in self._have.items() for part in range(-(-have // PART))]
        return [{"name": _shown(name, part), "id": str(_metric_id(key, name, part))} for name, part in parts]

    def _kept(self, files: RunFiles) -> dict[str, Any]:
        """The fields that name files of the run, which are kept in fs."""
        base = self._folder.parent
        sources = [(name, self._store.put(base / kept, filename=place)) for name, kept, place in files.sources]
        resources = [(name, self._store.put(base / kept, filename=name)) for name, kept in files.resources]
        front = f"artifact://runs/{self.id}/"
        artifacts = [(name, self._store.put(self._folder / name, filename=front + name)) for name in files.artifacts]
        experiment = dict(files.entry.get("experiment") or {})
        experiment["sources"] = [[name, found[0]] for name, found in sources if found]
        return {
            "experiment": storable(experiment),
            "resources": [[name, found[1]] for name, found in resources if found],
            "artifacts": [{"name": name, "file_id": found[0]} for name, found in artifacts if found],
        }


def _cuts(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Points that are pushed together: no more than PUSH, none of two documents."""
    while first < end:
        last = min(first + PUSH, (first // PART + 1) * PART, end)
        yield first, last
        first = last


def _metric_id(key: str, name: str, part: int) -> ObjectId:
    """Always the same, so that a metric cannot be made twice."""
    return ObjectId(hashlib.sha256(f"{key}/{part}/{name}".encode(errors="replace")).digest()[:12])


def _shown(name: str, part: int) -> str:
    return storable(name if part == 0 else f"{name} (part {part + 1})")


def _pushed(column: Column) -> dict[str, Any]:
    values = [_short(value) for value in column.values]
    return {
        "$push": {
            "steps": {"$each": storable(column.steps)},
            "values": {"$each": storable(values)},
            "timestamps": {"$each": column.timestamps},
        }
    }


def _short(value: Any) -> Any:
    return f"{value[:TEXT]} [shortened]" if isinstance(value, str) and len(value) > TEXT else value
