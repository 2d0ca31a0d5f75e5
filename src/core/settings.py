"""Settings: YAML layers, typed sections, the origin of every value, errors that say how to mend them.

Layers: default.yaml < config/envs/*.yaml < config/algs/*.yaml < config/recommended/*.yaml < command line
(``with key=value env_args.x=y``).
Every part of a run declares the keys it reads as a frozen pydantic model; the merged settings are validated once
against the union of the chosen parts' models, and every part gets its own section only.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import Faults, UserError
from core.foreign import advice, translated
from core.registry import did_you_mean
from core.values import Raw, settle

CONFIG_DIR = Path(__file__).resolve().parent.parent / "config"
NESTED = "env_args"
TEAM = "team"
OWN_ENV = "--env-config="


class Section(BaseModel):
    """Base of all settings models: frozen, complete, nothing unknown."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )


SectionT = TypeVar("SectionT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML whose plain words stay as they were typed (:class:`core.values.Raw`); null and ``<<`` are YAML's."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [pair for pair in pairs if pair[0].rpartition(":")[2] in ("null", "merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Give plain words a tag of their own: ``!!str 007`` and "007" are text already."""
        tag = super().resolve(kind, value, implicit)
        return _PLAIN if kind is yaml.ScalarNode and implicit[0] and tag == self.DEFAULT_SCALAR_TAG else tag

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Refuse a key that is given twice and not the same, before merge keys bring others."""
        node = super().compose_mapping_node(anchor)
        given: dict[str, list[Any]] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _YAML + "merge":
                plain = isinstance(value, yaml.ScalarNode)
                given.setdefault(key.value, []).append((value.tag, value.value) if plain else value)
        twice = sorted(key for key, values in given.items() if any(value != values[0] for value in values))
        if twice:
            line = node.start_mark.line + 1
            raise UserError(f"{self.name}: key given twice: {', '.join(twice)} (in what begins in line {line}).")
        return node

    def typed(self, node: Any) -> Raw:
        """A plain word, to be read when its setting is known."""
        return Raw(self.construct_scalar(node))


_YAML, _PLAIN = "tag:yaml.org,2002:", "!plain"
for _tag in (_PLAIN, *(_YAML + kind for kind in ("int", "float", "bool", "timestamp"))):
    _Loader.add_constructor(_tag, _Loader.typed)


@functools.lru_cache(maxsize=256)  # sets of runs read the same few files for every run
def _parsed(data: bytes, name: str) -> Any:
    loader = _Loader(data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"))
    loader.name = name
    return loader.get_single_data()


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one settings file; plain words are :class:`core.values.Raw`.

    Raises:
        UserError: unreadable, neither UTF-8 nor UTF-16, not YAML, or not a mapping of keys to values.
    """
    try:
        content = copy.deepcopy(_parsed(path.read_bytes(), str(path)))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        mend = f"save it as UTF-8, e.g. iconv -f latin1 -t utf-8 {path}"
        raise UserError(f"Cannot read the settings file {path}: line {line} is not UTF-8: {mend}") from error
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"Cannot read the settings file {path}: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold 'key: value' lines, found a {type(content).__name__}.")
    return {str(key): value for key, value in content.items()}


def config_names(kind: str) -> list[str]:
    """Names of the files in config/<kind>, kind being "algs" or "envs"."""
    return sorted(path.stem for path in (CONFIG_DIR / kind).glob("*.yaml"))


def is_path(name: str) -> bool:
    """Whether ``--config=name`` means a file of one's own rather than one of config/."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def config_path(kind: str, name: str) -> Path:
    """Return the settings file that a name or path means.

    Args:
        kind: "algs" or "envs".
        name: of a file in config/<kind>, or a path (it has a "/" or ends in .yaml).

    Raises:
        UserError: there is none; names the nearest.
    """
    path = Path(name) if is_path(name) else CONFIG_DIR / kind / f"{name}.yaml"
    if path.is_file():
        return path
    option, what = ("--config", "algorithm") if kind == "algs" else ("--env-config", "environment")
    names = config_names(kind)
    if not is_path(name):
        near = advice(what, name) or did_you_mean(name, names)
        raise UserError(f"Unknown {what} {option}={name}.{near} Known: {', '.join(names)}.")
    own = f" {option}={path.stem} is one of ours." if path.stem in names else ""
    raise UserError(f"{option}={name}: there is no such file in {Path.cwd()}.{own}")


def config_layer(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the layer of a settings file and what it is called in errors; a file of one's own may be EPyMARL's.

    Raises:
        UserError: as :func:`config_path` and :func:`read_yaml`.
    """
    path = config_path(kind, name)
    content = read_yaml(path)
    if not is_path(name):
        return f"{kind}/{name}.yaml", content
    if kind == "envs":
        return f"{OWN_ENV}{name}", content
    return f"--config={name}", {"name": path.stem} | translated(content)


def config_name(config: str) -> str:
    """The ``name`` that an algorithm's settings file gives."""
    return str(config_layer("algs", config)[1].get("name", config))


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
            if not isinstance(value, Mapping | None):
                raise UserError(f"{NESTED} must be key: value pairs, got {value!r} (from {name}).")
            for inner, inner_value in (value or {}).items():
                values[NESTED][str(inner)] = inner_value
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
    faults = Faults()
    known = {key for model in models.values() for key in model.model_fields} | {NESTED}
    unknown = [key for key in merged.values if key not in known]
    for line in _unknown(unknown, known, merged.origins, elsewhere, prefix):
        faults.add(line)
    sections = {}
    for name, model in models.items():
        own = {key: value for key, value in merged.values.items() if key in model.model_fields}
        with faults.collect():
            sections[name] = validate(model, own, merged.origins, prefix)
    faults.end()
    return sections


def _unknown(
    keys: Sequence[str], known: Iterable[str], origins: Mapping[str, str], elsewhere: Mapping[str, str], prefix: str
) -> Iterator[str]:
    """What to say of keys that nothing reads: a line each, one line for those of the same other part."""
    user, others = "this team" if prefix else "this run", dict[tuple[str, str, str], list[str]]()
    for key in keys:
        origin, told = origins.get(prefix + key, "?"), advice("setting", key)
        if elsewhere.get(key) == NESTED:
            yield f"'{prefix}{key}' (from {origin}) is a setting of the environment: give {NESTED}.{key}."
        elif key in elsewhere:
            others.setdefault((origin, elsewhere[key], told), []).append(f"'{prefix}{key}'")
        else:
            near = told or f"{did_you_mean(key, known)} See --print-config."
            yield f"Unknown setting '{prefix}{key}' (from {origin}).{near}"
    for (origin, part, told), named in others.items():
        what = "is a setting" if len(named) == 1 else "are settings"
        yield f"{', '.join(named)} (from {origin}) {what} of {part}, which {user} does not use.{told}"


def validate(
    model: type[SectionT], values: Mapping[str, Any], origins: Mapping[str, str], prefix: str = ""
) -> SectionT:
    """Build one model; pydantic's errors become one clear UserError with key, value, origin and what is allowed."""
    texts = {key for key, field in model.model_fields.items() if field.annotation is str}
    fields = {key: field.annotation for key, field in model.model_fields.items()}
    read = {key: settle(value, fields.get(key, Any)) for key, value in values.items()}
    typed, values = values, {key: "" if value is None and key in texts else value for key, value in read.items()}
    try:
        return model(**values)
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}
        for problem in error.errors():
            problems.setdefault(str(problem["loc"][0]) if problem["loc"] else "", []).append(problem)
        lines = [
            _explain(key, found, model, values, origins, prefix) + _quoted(typed.get(key), values.get(key))
            for key, found in problems.items()
        ]
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
        told = advice(prefix, name)
        possible = set(re.findall(rf"{re.escape(prefix)}(\w+)", told)) <= model.model_fields.keys()
        listed = f" Known: {', '.join(sorted(model.model_fields))}."
        near = told if told and possible else did_you_mean(name, model.model_fields) + listed
        return f"Unknown setting '{key}'{origin}.{near}"
    if first["type"] == "missing":
        return f"The setting '{key}' is missing: give {key}=... after 'with'."
    field = model.model_fields.get(name)
    about = f" {field.description}" if field and field.description else ""
    given = "null" if values[name] is None else values[name]
    return f"{key}={given}{origin}: {' or '.join(messages)}.{about}"


def _quoted(typed: Any, read: Any) -> str:
    """What to say of quotes that a text was given with: the shell takes them away, others do not."""
    quoted = isinstance(typed, Raw) and typed == read and len(typed) > 1 and typed[0] == typed[-1] in ("'", '"')
    return " Its quotes arrived as part of it: leave them out." if quoted else ""


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with plain JSON types only (tuples become lists)."""
    return json.loads(json.dumps(values))
