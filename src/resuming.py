"""Which run a new one continues, and what may be changed then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import checkpoint
from core.comparing import FREE, different, flattened
from core.errors import UserError

NOT_RESUMED = {"resume", "checkpoint_path", "load_step", "evaluate"}


def models_folder(path: str | Path) -> Path:
    """Return the models folder that a path means: that of a results folder, else the path itself.

    Raises:
        UserError: there is nothing, or the results folder names no models.
    """
    folder = Path(path)
    if not folder.exists():
        raise UserError(
            f"There is no '{path}'. Give a run's results folder (results/sacred/<algorithm>/<task>/<id>), its models "
            "folder (results/models/<run>) or one checkpoint (results/models/<run>/<step>)."
        )
    if not (folder / "run.json").is_file():
        return folder
    try:
        models = Path(json.loads((folder / "info.json").read_text())["models"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}/info.json names no models folder: give results/models/<run> instead.") from error
    if models.is_dir() or len(folder.resolve().parts) < 5:
        return models
    return folder.resolve().parents[3] / "models" / models.name  # the results were moved as a whole


def resumed(path: Any) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint that ``resume=path`` means, and the settings of its run.

    Raises:
        UserError: there is none.
    """
    if path is None or str(path) == "":
        raise UserError("resume= is empty: give the run to continue, e.g. resume=results/sacred/asae/spread/1.")
    found = checkpoint.find(models_folder(str(path)))
    return found, checkpoint.read_settings(found)


def shape_differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Settings that differ and can change a network's shape, in words; empty where nothing is known.

    Of two environments the names alone, since neither has the other's arguments.
    """
    found = different(saved, now) if saved else {}
    arguments = () if "env" in found else ("env_args.",)
    shape = ("hidden", "use_rnn", "obs_", "critic_", "parameter_", "hypernet", "mixing", *arguments)
    return in_words({key: pair for key, pair in found.items() if key == "env" or key.startswith(shape)})


def in_words(found: Mapping[str, tuple[Any, Any]]) -> str:
    """What :func:`different` found, for a message."""
    return ", ".join(f"{key}={there!r} there and {here!r} here" for key, (there, here) in found.items())


def check_same_run(now: Mapping[str, Any], saved: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Check that a resumed run changes nothing but lengths, places and how it is recorded.

    Raises:
        UserError: it changes something else.
    """
    known = flattened(saved)
    for key, (before, asked) in different(saved, now).items():
        new = key not in known and origins.get(key) != "command line"  # a setting that came after that run
        if key not in NOT_RESUMED | FREE and not new:
            raise UserError(
                f"resume= continues a run with {key}={before!r} exactly, but {key}={asked!r} was asked for (from "
                f"{origins.get(key, 'built-in default')}). Leave it out; or, to go on with the trained networks under "
                "other settings, start a new run with checkpoint_path= instead of resume=."
            )
