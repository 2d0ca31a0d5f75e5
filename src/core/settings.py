"""Settings: YAML layers, typed sections, the origin of every value, errors that say how to mend them.

Layers: default.yaml < config/envs/*.yaml < config/algs/*.yaml < command line (``with key=value env_args.x=y``).
Every part of a run declares the keys it reads as a frozen pydantic model; the merged settings are validated once
against the union of the chosen parts' models, and every part gets its own section only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UserError
from core.registry import did_you_mean

CONFIG_DIR = Path(__file__).resolve().parent.parent / "config"
NESTED = "env_args"
TEAM = "team"


class Section(BaseModel):
    """Base of all settings models: frozen, complete, nothing unknown."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )


SectionT = TypeVar("SectionT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML as people write it: ``1e-3`` is a number (PyYAML reads a string), a key given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise UserError(f"{node.start_mark.name}: key given twice: {', '.join(sorted(twice))}.")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_value(text: str) -> Any:
    """Read one value as YAML does: numbers (``1e-3`` too), booleans, null, lists; anything else is a string."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one settings file.

    Raises:
        UserError: unreadable, not YAML, or not a mapping of keys to values.
    """
    try:
        content = yaml.load(path.read_text(), _Loader)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"Cannot read the settings file {path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold 'key: value' lines, found a {type(content).__name__}.")
    return content


def config_names(kind: str) -> list[str]:
    """Names of the files in config/<kind>, kind being "algs" or "envs"."""
    return sorted(path.stem for path in (CONFIG_DIR / kind).glob("*.yaml"))


def config_path(kind: str, name: str) -> Path:
    """Return the path of a named settings file; raise UserError with the nearest name if there is none."""
    path = CONFIG_DIR / kind / f"{name}.yaml"
    if not path.is_file():
        option, what = ("--config", "algorithm") if kind == "algs" else ("--env-config", "environment")
        names = config_names(kind)
        raise UserError(f"Unknown {what} {option}={name}.{did_you_mean(name, names)} Known: {', '.join(names)}.")
    return path


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Turn ``key=value``, ``env_args.key=value`` and ``team.<name>.key=value`` words into a layer.

    Raises:
        UserError: a word without '=', or nesting elsewhere.
    """
    layer: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UserError(f"Cannot read '{word}': after 'with' come key=value pairs, e.g. lr=0.001.")
        outer, dot, inner = key.partition(".")
        if outer == TEAM:
            team, _, setting = inner.partition(".")
            if not team or not setting:
                raise UserError(f"Cannot read '{word}': a team's settings are {TEAM}.<name>.key=value.")
            layer.setdefault(TEAM, {}).setdefault(team, {})[setting] = parse_value(text)
        elif dot and outer != NESTED:
            raise UserError(f"Cannot read '{word}': only {NESTED} and {TEAM}.<name> have keys below them.")
        elif dot:
            layer.setdefault(NESTED, {})[inner] = parse_value(text)
        else:
            layer[key] = parse_value(text)
    return layer


@dataclass(frozen=True)
class Merged:
    """Merged layers.

    Attributes:
        values: key -> value; ``env_args`` is a dictionary of its own.
        origins: key (``env_args.x`` for nested ones) -> name of the layer that set it.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]


def merge(layers: Iterable[tuple[str, Mapping[str, Any]]], prefix: str = "") -> Merged:
    """Merge named layers, later ones winning; env_args key by key. Keys of origins get the prefix."""
    values: dict[str, Any] = {NESTED: {}}
    origins: dict[str, str] = {}
    for name, layer in layers:
        for key, value in layer.items():
            if key != NESTED:
                values[key], origins[prefix + key] = value, name
                continue
            if not isinstance(value, Mapping):
                raise UserError(f"{NESTED} must be key: value pairs, got {value!r} (from {name}).")
            for inner, inner_value in value.items():
                values[NESTED][inner] = inner_value
                origins[f"{NESTED}.{inner}"] = name
    return Merged(values, origins)


def split(
    merged: Merged, models: Mapping[str, type[BaseModel]], *, elsewhere: Mapping[str, str], prefix: str = ""
) -> dict[str, Any]:
    """Validate merged settings once and give every part its own section.

    Args:
        merged: all layers.
        models: section name -> model; a key may be read by several sections.
        elsewhere: keys of parts that this run does not use -> the part, for a better error.
        prefix: of the keys in errors and origins ("team.preys.").

    Returns:
        section name -> frozen model.

    Raises:
        UserError: unknown key, wrong type or range.
    """
    known = {key for model in models.values() for key in model.model_fields} | {NESTED}
    for key in merged.values:
        if key in known:
            continue
        origin, user = merged.origins.get(prefix + key, "?"), "this team" if prefix else "this run"
        if key in elsewhere:
            named = elsewhere[key]
            raise UserError(f"'{prefix}{key}' (from {origin}) is a setting of {named}, which {user} does not use.")
        near = did_you_mean(key, known)
        raise UserError(f"Unknown setting '{prefix}{key}' (from {origin}).{near} See --print-config.")
    sections = {}
    for name, model in models.items():
        own = {key: value for key, value in merged.values.items() if key in model.model_fields}
        sections[name] = validate(model, own, merged.origins, prefix)
    return sections


def validate(
    model: type[SectionT], values: Mapping[str, Any], origins: Mapping[str, str], prefix: str = ""
) -> SectionT:
    """Build one model; pydantic's errors become one clear UserError with key, value, origin and what is allowed."""
    texts = {key for key, field in model.model_fields.items() if field.annotation is str}
    values = {key: "" if value is None and key in texts else value for key, value in values.items()}  # name=
    try:
        return model(**values)
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}
        for problem in error.errors():
            problems.setdefault(str(problem["loc"][0]) if problem["loc"] else "", []).append(problem)
        lines = [_explain(key, found, model, values, origins, prefix) for key, found in problems.items()]
        raise UserError("\n".join(lines)) from error


def _explain(
    name: str,
    problems: Sequence[Any],
    model: type[BaseModel],
    values: Mapping[str, Any],
    origins: Mapping[str, str],
    prefix: str,
) -> str:
    """One line on what is wrong with a key; several problems are the alternatives that it might have been."""
    messages = [problem["msg"].removeprefix("Value error, ") for problem in problems]
    messages = list(dict.fromkeys(message.replace("Input should be", "must be").rstrip(".") for message in messages))
    if not name:
        return "; ".join(messages)
    key, first = prefix + name, problems[0]
    origin = f" (from {origins[key]})" if key in origins else ""
    if first["type"] == "extra_forbidden":
        near = did_you_mean(name, model.model_fields)
        return f"Unknown setting '{key}'{origin}.{near} Known: {', '.join(sorted(model.model_fields))}."
    if first["type"] == "missing":
        return f"The setting '{key}' is missing: give {key}=... after 'with'."
    field = model.model_fields.get(name)
    about = f" {field.description}" if field and field.description else ""
    given = "null" if values[name] is None else values[name]
    return f"{key}={given}{origin}: {' or '.join(messages)}.{about}"


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with plain JSON types only (tuples become lists)."""
    return json.loads(json.dumps(values))
