"""Who plays a team: an algorithm that learns, a scripted player, or a frozen policy from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator

import controllers
import learners
from components import checkpoint
from controllers.scripted_controller import ScriptedController
from core.errors import UserError
from core.registry import did_you_mean, load
from core.settings import OWN_ENV, TEAM, Merged, config_layer, config_name, config_names, is_path, merge, split
from envs.scripted import SCRIPTED as SCRIPTS
from learners.seps import SePSSettings
from training.resuming import models_folder

FROZEN, SCRIPTED = "checkpoint:", "scripted:"
Layers = list[tuple[str, Mapping[str, Any]]]


class StartSettings(SePSSettings):
    """How a team's learning begins."""

    warm_start: str = Field(
        default="",
        description="Who gathers the first episodes: scripted:<name> or checkpoint:<path>; empty is the team itself.",
    )
    warm_start_episodes: int = Field(default=0, ge=0, description="How many, rounded up to whole iterations.")
    warm_start_epochs: int = Field(
        default=40,
        ge=1,
        description="Steps of an on-policy learner's actors on each batch of them (maximum likelihood).",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> StartSettings:
        if bool(self.warm_start) != bool(self.warm_start_episodes):
            raise ValueError(
                f"warm_start={self.warm_start!r} and warm_start_episodes={self.warm_start_episodes} belong together: "
                "give both (e.g. warm_start=scripted:random warm_start_episodes=100) or neither"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Player:
    """Who plays a team.

    Attributes:
        plays: an algorithm's name, "scripted:<name>" or "checkpoint:<folder>".
        classes: "controller" and, where it learns, "learner" -> class.
        controller: the controller's section; None for a scripted player.
        learner, start: sections of what learns; None where nothing does.
        networks: the checkpoint that a frozen policy is read from; None where there is none to read.
        origins: key -> the layer its value came from.
    """

    plays: str
    classes: Mapping[str, Any]
    controller: Any = None
    learner: Any = None
    start: StartSettings | None = None
    networks: Path | None = None
    origins: Mapping[str, str]

    @property
    def label(self) -> str:
        """For names of folders: the algorithm, the scripted player's name, or "frozen"."""
        return "frozen" if self.plays.startswith(FROZEN) else self.plays.removeprefix(SCRIPTED)

    def sections(self) -> list[tuple[str, BaseModel]]:
        """Title and content of what this player reads."""
        titles = (("start", self.start), ("controller", self.controller), ("learner", self.learner))
        return [(title, model) for title, model in titles if model is not None]

    def flat(self) -> dict[str, Any]:
        """All settings that it reads, sorted."""
        values = {key: value for _, model in self.sections() for key, value in model.model_dump(mode="json").items()}
        return dict(sorted(values.items()))


# -- an algorithm ----------------------------------------------------------------------------------------------------


def algorithm_models(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, type[BaseModel]]]:
    """Return the classes that merged settings choose, and the models of their sections.

    Raises:
        UserError: a name is not registered.
    """
    classes = {
        "learner": load(learners.REGISTRY, str(values["learner"]), "learner"),
        "controller": load(controllers.REGISTRY, str(values.get("mac", "basic_mac")), "controller (mac)"),
    }
    models = {name: classes[name].Settings for name in ("controller", "learner")}
    return classes, {"start": StartSettings, **models}


def _shared(layers: Layers) -> Layers:
    """Those that every algorithm of a run has below its own."""
    return [layer for layer in layers if layer[0] == "default.yaml" or layer[0].startswith(("envs/", OWN_ENV))]


def elsewhere(chosen: Mapping[str, type[BaseModel]], given: Mapping[str, Any]) -> dict[str, str]:
    """Keys of parts that were not chosen -> the part; of several those that read most given keys, three at most."""
    own, found = {key for model in chosen.values() for key in model.model_fields}, dict[str, dict[str, int]]()
    for registry, kind in ((controllers.REGISTRY, "controller (mac)"), (learners.REGISTRY, "learner")):
        for name in registry:
            keys = load(registry, name, kind).Settings.model_fields.keys() - own
            for key in keys:
                found.setdefault(key, {})[f"{kind} {name}"] = len(keys & given.keys())
    best = {key: [name for name, n in of.items() if n == max(of.values())][:3] for key, of in found.items()}
    return {key: f"the {' or '.join(names)}" for key, names in best.items()}


def _learning(plays: str, layers: Layers, prefix: str, run_keys: frozenset[str]) -> Player:
    merged = merge(layers, prefix)
    values = {key: value for key, value in merged.values.items() if key not in run_keys}
    classes, models = algorithm_models(values)
    sections = split(Merged(values, merged.origins), models, elsewhere=elsewhere(models, values), prefix=prefix)
    return Player(plays=plays, classes=classes, origins=merged.origins, **sections)


# -- players that do not learn ---------------------------------------------------------------------------------------


def scripted(name: str) -> Player:
    """Return a scripted player (whether it can play a team is found when it is made).

    Raises:
        UserError: there is none of that name.
    """
    if name not in SCRIPTS:
        raise UserError(f"Unknown scripted player '{name}'.{did_you_mean(name, SCRIPTS)} Known: {', '.join(SCRIPTS)}.")
    return Player(plays=SCRIPTED + name, classes={"controller": ScriptedController}, origins={})


def frozen(path: str, team: str, words: Mapping[str, Any] | None = None) -> Player:
    """Return the frozen policy of a team in a checkpoint, with the algorithm and networks of the checkpoint's run.

    Args:
        path: results folder, models folder or checkpoint of a run.
        team: whose policy; a run with one team has but one.
        words: settings of the controller that are to differ.

    Raises:
        UserError: no such checkpoint, or nothing of that team in it.
    """
    if not path:
        raise UserError(f"{FROZEN} names no checkpoint: give e.g. {FROZEN}results/models/<run>.")
    folder = checkpoint.find(models_folder(path)).resolve()
    saved = checkpoint.read_settings(folder)
    own = saved.get(TEAM, {}).get(team, saved)
    if str(own.get("plays", "")).startswith(SCRIPTED):
        raise UserError(f"{folder} has no networks of {team}: {own['plays']} played them in that run.")
    return _frozen(f"{FROZEN}{folder}", own, words or {}, f"{TEAM}.{team}.", folder)


def _frozen(
    plays: str, own: Mapping[str, Any], words: Mapping[str, Any], prefix: str, folder: Path | None = None
) -> Player:
    controller = load(controllers.REGISTRY, str(own.get("mac", "basic_mac")), "controller (mac)")
    model = {"controller": controller.Settings}
    read = {key: value for key, value in own.items() if key in controller.Settings.model_fields}
    merged = merge([("checkpoint", read), ("command line", words)], prefix)
    sections = split(merged, model, elsewhere=elsewhere(model, merged.values), prefix=prefix)
    return Player(plays=plays, classes={"controller": controller}, networks=folder, origins=merged.origins, **sections)


def guide(text: str, team: str) -> Player:
    """Return who gathers the first episodes of a team (``warm_start``).

    Raises:
        UserError: neither a scripted player nor a checkpoint.
    """
    if text.startswith(FROZEN):
        return frozen(text.removeprefix(FROZEN), team)
    if text.startswith(SCRIPTED):
        return scripted(text.removeprefix(SCRIPTED))
    raise UserError(f"warm_start={text} is neither {SCRIPTED}<name> nor {FROZEN}<path>.")


# -- teams of the command line ---------------------------------------------------------------------------------------


def team_words(options: Sequence[str], layer: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what was asked for each team: name as given -> key -> value; "plays" is who plays it.

    Args:
        options: of ``--team``, "preys=coma".
        layer: of ``team.<name>.key=value``.

    Raises:
        UserError: an option that is not name=player.
    """
    asked = {name: dict(values) for name, values in layer.items()}
    for option in options:
        name, _, plays = option.partition("=")
        if not name or not plays:
            raise UserError(f"Cannot read --team {option}: it is --team <name>=<player>, e.g. --team preys=coma.")
        if asked.setdefault(name, {}).setdefault("plays", plays) != plays:
            raise UserError(f"Two players for the team {name}: {asked[name]['plays']} and {plays}.")
    return asked


def with_full_names(asked: Mapping[str, dict[str, Any]], names: Sequence[str], env: str) -> dict[str, dict[str, Any]]:
    """Bring the teams that were asked for under the environment's names for them: "prey" and "preys" are the same.

    Raises:
        UserError: there is no such team, or one is given twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, values in asked.items():
        full = next((one for one in names if one.removesuffix("s") == name.removesuffix("s")), "")
        if not full:
            listed = f"Its teams are: {', '.join(names)}." if len(names) > 1 else f"It has one, '{names[0]}'."
            raise UserError(f"{env} has no team '{name}'.{did_you_mean(name, names)} {listed}")
        twice = found.setdefault(full, {}).keys() & values.keys()
        if twice:
            raise UserError(f"The team {full} is named in two ways, with {', '.join(sorted(twice))} in both.")
        found[full] |= values
    return found


def team_player(
    team: str,
    asked: Mapping[str, Any],
    saved: Mapping[str, Any],
    *,
    layers: Layers,
    recommend: Callable[[str], Layers],
    run_keys: frozenset[str],
) -> Player:
    """Return who plays a team with a player or settings of its own.

    Args:
        team: its name.
        asked: of the command line: "plays" and settings; without "plays" it plays the run's algorithm.
        saved: the same of the run that is resumed, complete; empty where none is.
        layers: of the run's algorithm, the command line's included.
        recommend: what gives the layers of an algorithm's recommended settings.
        run_keys: keys that belong to the whole run.

    Raises:
        UserError: anything wrong with them.
    """
    prefix, words = f"{TEAM}.{team}.", {key: value for key, value in asked.items() if key != "plays"}
    whole = sorted(words.keys() & run_keys)
    if whole:
        raise UserError(f"'{prefix}{whole[0]}': {whole[0]} is a setting of the whole run: give {whole[0]}=... alone.")
    if saved:
        return _resumed(team, asked, saved, words, layers, run_keys)
    if "plays" not in asked:
        name = str(dict(merge(layers).values)["name"])
        return _learning(name, [*layers, ("command line", words)], prefix, run_keys)
    plays = str(asked["plays"])
    if plays.startswith(FROZEN):
        return frozen(plays.removeprefix(FROZEN), team, words)
    if plays in config_names("algs") or is_path(plays):
        own = [*_shared(layers), config_layer("algs", plays), *recommend(plays), ("command line", words)]
        return _learning(config_name(plays), own, prefix, run_keys)
    name = plays.removeprefix(SCRIPTED)
    if name == plays and name not in SCRIPTS:
        players = [*config_names("algs"), *SCRIPTS]
        raise UserError(
            f"Unknown player '{plays}' for the team {team}.{did_you_mean(plays, players)} Known: {', '.join(players)}, "
            f"or {FROZEN}<path>."
        )
    if words:
        raise UserError(f"{prefix}{next(iter(words))}: a scripted player has no settings ({plays} plays {team}).")
    return scripted(name)


def _resumed(
    team: str,
    asked: Mapping[str, Any],
    saved: Mapping[str, Any],
    words: Mapping[str, Any],
    layers: Layers,
    run_keys: frozenset[str],
) -> Player:
    """The player that a run had: what was saved says everything, so that no other file is needed."""
    prefix, plays = f"{TEAM}.{team}.", str(saved["plays"])
    wanted = str(asked.get("plays", plays)).removeprefix(SCRIPTED)
    wanted = config_name(wanted) if is_path(wanted) and not wanted.startswith(FROZEN) else wanted
    if not plays.startswith(FROZEN) and wanted != plays.removeprefix(SCRIPTED):
        raise UserError(f"resume= continues a run in which {plays} plays {team}, not {wanted}: leave out --team.")
    if plays.startswith(SCRIPTED):
        return scripted(plays.removeprefix(SCRIPTED))
    if plays.startswith(FROZEN):
        return _frozen(plays, saved, words, prefix)
    before = {key: value for key, value in saved.items() if key != "plays"}
    return _learning(plays, [*_shared(layers), ("resumed run", before), ("command line", words)], prefix, run_keys)
