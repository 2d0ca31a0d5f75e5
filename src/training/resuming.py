"""Which run a new one continues or tests, and what may be changed then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import checkpoint
from core.comparing import FREE, PLACES, different, flattened
from core.errors import UserError
from core.settings import NESTED, TEAM
from core.values import settle

NOT_RESUMED = {"resume", "checkpoint_path", "load_step", "evaluate"}
SHOWN = {
    "quiet",
    "render",
    "save_replay",
    "use_tensorboard",
    "mongo_url",
    "use_wandb",
}  # what a run showed is not what its evaluation is to show
YES = {"true", "t", "yes", "y", "on", "1"}  # what pydantic takes for true


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


@dataclass(frozen=True)
class Source:
    """The run whose settings another takes.

    Attributes:
        checkpoint: folder.
        settings: of its run.
        resumes: it is continued exactly (``resume=``); otherwise its networks are tested (``evaluate=True``).
    """

    checkpoint: Path
    settings: Mapping[str, Any]
    resumes: bool

    def layer(self, name: str | None, env: str | None) -> tuple[str, dict[str, Any]]:
        """Name and content of the layer; networks may be tested in another environment than they were trained in.

        Args:
            name: of the algorithm that --config gives, None where it is not given.
            env: of the environment that --env-config gives; likewise.

        Raises:
            UserError: it is another algorithm's checkpoint, or another environment's run.
        """
        if name not in (None, self.settings["name"]):
            there = self.settings["name"]
            raise UserError(
                f"{self.checkpoint} is a checkpoint of {there}, not of --config={name}: give --config={there}, or "
                "leave --config out."
            )
        elsewhere = env not in (None, self.settings["env"])
        if elsewhere and self.resumes:
            raise UserError(f"{self.checkpoint} was trained on {self.settings['env']}, not on --env-config={env}.")
        without = NOT_RESUMED | {TEAM} | ({"env", NESTED} if elsewhere else set())
        without |= set() if self.resumes else SHOWN
        layer = {"recommended": False}  # runs from before there were such settings
        layer |= {key: value for key, value in self.settings.items() if key not in without}
        return "resumed run" if self.resumes else "checkpoint", layer

    def players(self, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Team -> settings of its player there; a test may have others, which are asked for with "plays"."""
        there = self.settings.get(TEAM, {})
        same = {team for team, own in there.items() if asked.get(team, {}).get("plays", own["plays"]) == own["plays"]}
        return {team: own for team, own in there.items() if self.resumes or team in same}


def source_of(command_line: Mapping[str, Any]) -> Source | None:
    """Return the run that ``resume=`` or ``evaluate=True checkpoint_path=`` names, None where there is none.

    Raises:
        UserError: it has no checkpoint.
    """
    if "resume" in command_line:
        path = command_line["resume"]
        if path is None or str(path) == "":
            raise UserError("resume= is empty: give the run to continue, e.g. resume=results/sacred/asae/spread/1.")
        found = checkpoint.find(models_folder(str(path)))
        return Source(found, checkpoint.read_settings(found), True)
    path, step = command_line.get("checkpoint_path"), settle(command_line.get("load_step", 0))
    if path and str(command_line.get("evaluate")).lower() in YES:
        found = checkpoint.find(models_folder(str(path)), step if isinstance(step, int) else 0)
        if (found / "settings.pt").exists():
            return Source(found, checkpoint.read_settings(found), False)
    return None


def check_unfinished(found: Path, path: str, t_max: int) -> None:
    """Check that something is left to do where a run goes on.

    Args:
        found: its checkpoint.
        path: how it was named.
        t_max: of the continuation.

    Raises:
        UserError: the run has completed that many steps.
    """
    if not found.name.isdecimal() or int(found.name) < t_max:
        return
    places = (Path(path), Path(checkpoint.read(found, "state.pt")["run"]))  # results may have been moved
    status = next((_status(place) for place in places if (place / "run.json").is_file()), "COMPLETED")
    if status == "COMPLETED":  # others were stopped in their last test
        raise UserError(
            f"resume={path}: nothing is left to do, t_max={t_max} is reached (step {int(found.name):,}). Give a larger "
            f"t_max to train on, or evaluate=True checkpoint_path={path} to test it."
        )


def _status(folder: Path) -> str:
    try:
        return str(json.loads((folder / "run.json").read_text())["status"])
    except (OSError, KeyError, TypeError, ValueError):
        return ""


def shape_differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Settings that differ and can change a network's shape, in words; empty where nothing is known.

    Of two environments the names alone, since neither has the other's arguments.
    """
    found = different(saved, now) if saved else {}
    arguments = () if "env" in found else ("env_args.",)
    sizes = ("hidden", "n_blocks", "n_heads", "hypernet", "mixing")
    shape = (*sizes, "use_rnn", "obs_", "critic_", "parameter_", "policy_", *arguments)
    shapeless = ("critic_lr", "critic_update")
    return in_words(
        {
            key: pair
            for key, pair in found.items()
            if key == "env" or (key.startswith(shape) and not key.startswith(shapeless))
        }
    )


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
        if key not in NOT_RESUMED | FREE | PLACES and not new:
            raise UserError(
                f"resume= continues a run with {key}={before!r} exactly, but {key}={asked!r} was asked for (from "
                f"{origins.get(key, 'built-in default')}). Leave it out; or, to go on with the trained networks under "
                "other settings, start a new run with checkpoint_path= instead of resume=."
            )
