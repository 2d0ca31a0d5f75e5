"""A run's files as the document that Sacred's MongoDB observer would have written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import bson

from core.times import time_of
from mirrors.points import Unreadable
from observers.tee import tail

FORMAT = "MongoObserver-0.7.0"  # Sacred's name of this layout
OUTPUT = 2**20  # bytes of captured output that are copied, the last ones
LIMIT = 15_000_000  # bytes of a document; MongoDB takes 16 MiB
TIMES = ("start_time", "stop_time", "heartbeat")
FILES = ("config.json", "run.json", "info.json", "cout.txt", "metrics.jsonl", "metrics.json")


def seen(folder: Path) -> dict[str, list[int]]:
    """Sizes and times of a run's files: while these stay the same there is nothing to copy. Keys have no dots."""
    found = {}
    for name in FILES:
        path = folder / name
        if path.exists():
            state = path.stat()
            found[name.replace(".", "_")] = [state.st_size, state.st_mtime_ns]
    return found


class RunFiles:
    """The JSON files of a run as they are now.

    Args:
        folder: of the run.

    Raises:
        Unreadable: config.json or run.json is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = _object(folder / "config.json")
        self.entry = _object(folder / "run.json", needed=False)
        self.info = _object(folder / "info.json", needed=False)
        if odd := _misshapen(self.entry):
            raise Unreadable(f"run.json is damaged ({odd} is not what Sacred writes there)")

    @property
    def key(self) -> str:
        """What tells this run from all others, wherever its folder lies: its settings, and when and where it began."""
        begun = self.entry.get("start_time")
        host = self.entry.get("host") or {}
        where = [begun, host.get("hostname")] if begun else list(self.folder.resolve().parts[-3:])
        said = json.dumps([where, self.config], sort_keys=True)
        return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:24]

    @property
    def heartbeat(self) -> datetime:
        """When the run last said that it is alive."""
        return _stored(self.entry.get("heartbeat")) or datetime.min

    @property
    def sources(self) -> list[tuple[str, str, str]]:
        """Files of the code: name, path below the folder of runs, path when it ran."""
        experiment = self.entry.get("experiment") or {}
        base = experiment.get("base_dir", "")
        return [(name, kept, str(Path(base, name))) for name, kept in experiment.get("sources", [])]

    @property
    def resources(self) -> list[tuple[str, str]]:
        """Files that the run has read: name, path below the folder of runs."""
        return [(name, kept) for name, kept in self.entry.get("resources", []) if kept is not None]

    @property
    def artifacts(self) -> list[str]:
        """Files that the run has made: paths below its folder."""
        return list(self.entry.get("artifacts", []))

    def document(self) -> dict[str, Any]:
        """Everything of the run's document but what lies in other collections (sources, artifacts, metrics)."""
        entry = {key: value for key, value in self.entry.items() if key not in TIMES}
        entry |= {key: when for key in TIMES if (when := _stored(self.entry.get(key))) is not None}
        found = {"format": FORMAT, "status": "", "heartbeat": None, "result": None, **entry}
        found |= {"experiment": {}, "resources": [], "artifacts": []}
        found |= {"config": self.config, "info": self.info, "captured_out": self.output()}
        return storable(found)

    def output(self) -> str:
        """The last of what was printed, with a word where it is not all."""
        path = self.folder / "cout.txt"
        size = path.stat().st_size if path.exists() else 0
        if size <= OUTPUT:
            return tail(path, OUTPUT)
        return f"[the first {size - OUTPUT:,} bytes are in cout.txt only]\n{tail(path, OUTPUT)}"


def _object(path: Path, *, needed: bool = True) -> dict[str, Any]:
    if not needed and not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise Unreadable(f"{path.name} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise Unreadable(f"{path.name} is no JSON object")
    return content


def _misshapen(entry: Mapping[str, Any]) -> str:
    """Which part of a run's entry has not its shape; empty where all have."""
    experiment = entry.get("experiment")
    if not isinstance(experiment, dict | None):
        return "experiment"
    if not isinstance(entry.get("host"), dict | None):
        return "host"
    pairs = {"sources": (experiment or {}).get("sources", []), "resources": entry.get("resources", [])}
    for name, found in pairs.items():
        if not (isinstance(found, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in found)):
            return name
    artifacts = entry.get("artifacts", [])
    return "" if isinstance(artifacts, list) and all(isinstance(path, str) for path in artifacts) else "artifacts"


def _stored(text: Any) -> datetime | None:
    """A time as MongoDB has it, UTC without saying so; None for what is none."""
    when = time_of(text)
    return None if when is None else when.replace(tzinfo=None)


def storable(value: Any) -> Any:
    """Return a JSON value as BSON takes it: keys as Sacred changes them, texts valid, large integers as texts."""
    if isinstance(value, Mapping):
        return {_key(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _key(key: str) -> str:
    key = key.replace(".", ",").replace("\0", "").encode(errors="replace").decode()
    return "@" + key[1:] if key.startswith("$") else key


def fit(document: dict[str, Any], limit: int = LIMIT) -> None:
    """Take the largest values out of a document, with a word in their place, until MongoDB takes it."""
    while (size := len(bson.encode(document))) > limit:
        holder, key = _largest(document)
        value = holder[key]
        if isinstance(value, str) and len(value) > 1000:
            holder[key] = f"[shortened: all of it is in the run's files]\n{value[-min(len(value) // 2, limit // 8) :]}"
        else:
            holder[key] = (
                f"[left out: the document would have {size:,} bytes, which MongoDB does not take; see the files]"
            )


def _largest(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Where the largest value is, within the value that makes up most of a document where that is one with keys."""
    sizes = {key: len(bson.encode({"": value})) for key, value in document.items() if key != "_id"}
    key = max(sizes, key=sizes.__getitem__)
    inner = document[key]
    if isinstance(inner, dict) and inner:
        within = max(len(bson.encode({"": value})) for value in inner.values())
        if within > sizes[key] / 2:
            return _largest(inner)
    return document, key
