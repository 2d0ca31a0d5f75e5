"""What settings are: the table of ``--print-config``, and ``--help-setting``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import controllers
import envs
import learners
from core.errors import UserError
from core.foreign import advice
from core.recommended import RECOMMENDED, entries, recommended_names
from core.registry import did_you_mean, load
from core.settings import CONFIG_DIR, NESTED, TEAM, config_names, config_path, read_yaml
from core.values import alternatives
from training.options import ExperimentSettings, Options
from training.players import StartSettings

Rows = list[tuple[str, str, str, str]]  # key, value, layer, what it means


# -- --print-config --------------------------------------------------------------------------------------------------


def table(options: Options, word: str = "") -> str:
    """Return every key with its value, the layer that it came from and what it means.

    Args:
        options: of a run.
        word: only rows whose key or meaning has it, and parts of that kind (learner, environment, ...); "recommended"
            is also those of that layer.

    Raises:
        UserError: there are none.
    """
    parts = [(title, _with(word, title, rows)) for title, rows in _parts(options)]
    parts = [(title, rows) for title, rows in parts if rows]
    if not parts:
        keys = [key for _, rows in _parts(options) for key, *_ in rows]
        near = advice("setting", word) or did_you_mean(word, keys)
        raise UserError(f"--print-config={word}: no setting of this run has '{word}' in its name or meaning.{near}")
    widths = [max(len(row[column]) for _, rows in parts for row in rows) for column in range(3)]
    lines = ["# key = value, the layer that it came from, what it means. Layers, the last one wins:"]
    lines += ["# built-in < default.yaml < envs/*.yaml < algs/*.yaml < recommended/*.yaml < command line"]
    for title, rows in parts:
        lines += ["", f"[{title}]"]
        for key, value, origin, about in rows:
            lines.append(f"{key:<{widths[0]}} = {value:<{widths[1]}}  {origin:<{widths[2]}}  {about}".rstrip())
    return "\n".join(lines)


def _with(word: str, title: str, rows: Rows) -> Rows:
    word, kind = word.lower(), title.partition(":")[0]  # names stand behind it: "mix" does not ask for all of qmix
    if word in kind:
        return rows
    layer = f"{RECOMMENDED}/" if word == RECOMMENDED else None
    return [row for row in rows if word in row[0].lower() or word in row[3].lower() or (layer and layer in row[2])]


def _parts(options: Options) -> list[tuple[str, Rows]]:
    s, origins = options.experiment, dict(options.origins)
    parts = [(f"run: {s.name} on {s.env}", _rows(s, "", origins))]
    parts += [(f"{title}: {s.name}", _rows(model, "", origins)) for title, model in options.player.sections()]
    parts += [(f"environment: {s.env}", _rows(options.env_args, f"{NESTED}.", origins))]
    for team, player in options.players.items():
        prefix, about = f"{TEAM}.{team}.", "An algorithm, scripted:<name> or checkpoint:<path>."
        key = f"{prefix}plays"
        rows = [(key, json.dumps(player.plays), origins.get(key, "--config"), about)]
        rows += [row for _, model in player.sections() for row in _rows(model, prefix, origins)]
        parts.append((f"team {team}: {player.plays}", rows))
    return parts


def _rows(model: BaseModel, prefix: str, origins: Mapping[str, str]) -> Rows:
    fields = type(model).model_fields
    return [
        (
            prefix + key,
            json.dumps(value),
            origins.get(prefix + key, "built-in"),
            (fields[key].description or "") if key in fields else "",
        )
        for key, value in model.model_dump(mode="json").items()
    ]


# -- --help-setting --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """A part that reads a setting.

    Attributes:
        name: what to call the part.
        key: the setting, with "env_args." in front where it is the environment's.
        field: its type, default and meaning.
    """

    name: str
    key: str
    field: FieldInfo


def help_setting(asked: str) -> str:
    """Return what a setting means, what it may be, who reads it, and its value in every layer.

    Args:
        asked: "lr", "env_args.n_agents", "n_agents", "team.prey.lr".

    Raises:
        UserError: nothing reads it; names the nearest.
    """
    key = asked.split(".", 2)[-1] if asked.startswith(f"{TEAM}.") else asked
    readers = [] if key.startswith(f"{NESTED}.") else [one for one in readers_of_runs() if one.key == key]
    if not readers:
        readers = [one for one in readers_of_environments() if one.key in (key, f"{NESTED}.{key}")]
    if not readers:
        known = {one.key.removeprefix(f"{NESTED}.") for one in (*readers_of_runs(), *readers_of_environments())}
        near = advice("setting", key) or did_you_mean(key.removeprefix(f"{NESTED}."), known)
        raise UserError(f"No setting is called '{asked}'.{near} --print-config lists those of a run.")
    groups: dict[str, list[str]] = {}
    for one in readers:
        groups.setdefault(_told(one), []).append(one.name)
    lines = [f"{told}\n  {'read by':<18} {', '.join(names)}" for told, names in groups.items()]
    return "\n".join([readers[0].key, *lines, *_layers(readers[0].key)])


def readers_of_runs() -> Iterator[Reader]:
    """Yield what every run, every controller and every learner reads."""
    yield from _fields("every run", ExperimentSettings)
    yield from _fields("how a team's learning begins", StartSettings)
    for registry, kind in ((controllers.REGISTRY, "controller"), (learners.REGISTRY, "learner")):
        for name in registry:
            yield from _fields(f"{kind} {name}", load(registry, name, kind).Settings)


def readers_of_environments() -> Iterator[Reader]:
    """Yield what every environment reads."""
    for name in envs.REGISTRY:
        yield from _fields(f"environment {name}", load(envs.REGISTRY, name, "environment").Args, f"{NESTED}.")


def _fields(name: str, model: type[BaseModel], prefix: str = "") -> Iterator[Reader]:
    for key, field in model.model_fields.items():
        yield Reader(name, prefix + key, field)


def _told(one: Reader) -> str:
    default = "" if one.field.is_required() else f"\n  {'built-in':<18} {json.dumps(one.field.default)}"
    return f"  {one.field.description}\n  {'may be':<18} {allowed(one.field)}{default}"


def allowed(field: FieldInfo) -> str:
    """Return the type and range of a setting in words."""
    bounds = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}", "min_length": "not empty"}
    found = [
        text.format(getattr(rule, name))
        for rule in field.metadata
        for name, text in bounds.items()
        if getattr(rule, name, None) is not None
    ]
    found += [f"as {rule.pattern}" for rule in field.metadata if getattr(rule, "pattern", None)]
    kinds = alternatives(field.annotation)
    null = [" or null"] if type(None) in kinds else []
    words = sorted((_word(kind) for kind in kinds - {type(None)}), key=lambda word: (word.startswith("a list"), word))
    return ", ".join([" or ".join(words), *found]) + "".join(null)


def _word(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in get_args(kind))
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if get_origin(kind) in (tuple, list):
        inner = plain.get(get_args(kind)[0], "anything").removeprefix("a ")
        return f"a list of {inner}s" if "number" in inner else "a list"
    return plain.get(kind, "anything")


def _layers(key: str) -> list[str]:
    """One line for each kind of settings file that gives the key."""
    kinds = {"default.yaml": [("", CONFIG_DIR / "default.yaml")]}
    for kind in ("envs", "algs"):
        kinds[f"{kind}/*.yaml"] = [(f"{name} ", config_path(kind, name)) for name in config_names(kind)]
    given = {kind: {front: _inside(read_yaml(path), key) for front, path in files} for kind, files in kinds.items()}
    every = [one for name in recommended_names() for one in entries(name)]
    given[f"{RECOMMENDED}/*.yaml"] = {f"{one.place} {one.algorithm} ": _inside(one.settings, key) for one in every}
    lines = []
    for kind, found in given.items():
        values = [f"{front}{shown(value)}" for front, value in found.items() if value is not _MISSING]
        lines += [f"  {kind:<18} {', '.join(values)}"] if values else []
    return lines


_MISSING = object()


def _inside(content: Mapping[str, Any], key: str) -> Any:
    outer, _, inner = key.partition(".")
    return (content.get(NESTED) or {}).get(inner, _MISSING) if inner and outer == NESTED else content.get(key, _MISSING)


def shown(value: Any) -> str:
    """Return a value of a settings file as it may stand there."""
    return "null" if value is None else str(value)
