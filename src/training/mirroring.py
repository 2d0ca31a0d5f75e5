"""The copies of a run that are made while it goes on: MongoDB, Weights & Biases."""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from core.comparing import SAME_LINE, flattened
from core.packages import SOURCE
from core.secrets import hidden
from mirrors.follower import Follower, Pace, Timeouts
from training.options import Options

PACE = Pace()
TIMEOUTS = Timeouts()


class Mirrors:
    """All copies of one run.

    Args:
        options: what was chosen.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._followers: list[Follower] = []

    def start(self, folder: Path) -> None:
        """Follow the run in ``folder`` from now on."""
        s = self._options.experiment
        if s.mongo_url is not None:
            self._followers.append(_to_mongo(folder, s.mongo_url, s.mongo_db))
        if s.use_wandb and s.wandb_mode != "disabled":
            self._followers.append(_to_wandb(folder, self._options))

    def close(self) -> None:
        """Bring the copies up to date a last time; call it when the run's files are closed."""
        for follower in self._followers:
            follower.close()
        self._followers = []


def _to_mongo(folder: Path, url: str, database: str) -> Follower:
    from mirrors.mongo import MongoCopy
    from mirrors.store import Store, server_of

    store = Store(url, database, TIMEOUTS)
    words = ["python", str(SOURCE / "sync_mongo.py"), str(folder), "--url", hidden(url), "--db", database]
    mend = f"What is then missing there, this completes: {shlex.join(words)}"
    return Follower(functools.partial(MongoCopy, store), folder, what=server_of(url), mend=mend, pace=PACE)


def _to_wandb(folder: Path, options: Options) -> Follower:
    from mirrors.wandb_runs import WandbCopy

    s = options.experiment
    place = Path(s.local_results_path).resolve()
    task = s.task(options.env_args.model_dump(mode="json"))
    about = {
        "entity": s.wandb_team,
        "project": s.wandb_project,
        "group": f"{options.title}_{task}_{_same_line(options.flat())}",
        "name": f"{options.title}_{task}_seed{s.seed}_{folder.name}",
    }
    copy = functools.partial(WandbCopy, mode=s.wandb_mode, place=place, about=about, models=s.wandb_save_model)
    mend = "The run's own files have everything; what W&B has of it lies in wandb/ below local_results_path"
    return Follower(copy, folder, what="Weights & Biases", mend=mend, pace=PACE)


def _same_line(settings: dict[str, Any]) -> str:
    """A word that runs share which are seeds of one curve."""
    values = {key: value for key, value in flattened(settings).items() if key not in SAME_LINE}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[-10:]
