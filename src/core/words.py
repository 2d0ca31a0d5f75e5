"""The words of a command line: which are settings, and what is wrong with the others."""

from __future__ import annotations

import argparse
import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from core.errors import Faults, UserError
from core.foreign import advice
from core.settings import NESTED, TEAM
from core.values import Raw, settle

WITH = ("with", "-with", "--with")


def arranged(argv: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Take the dashes off "with", and keep options whose value may be missing from taking a setting for it."""
    words = []
    for word, after in itertools.pairwise([*argv, "with"]):
        alone = word in optional and (after in WITH or "=" in after)
        words.append(f"{word}=" if alone else WITH[0] if word in WITH else word)
    return words


def parted(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options and what they are about, and the settings that stand after "with"."""
    words = arranged(argv, ())
    place = words.index(WITH[0]) if WITH[0] in words else len(words)
    return words[:place], [word for word in words[place:] if word != WITH[0]]


def chosen(cli: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What a command line chooses, and the settings that stand after "with".

    Raises:
        UserError: an option that there is not.
    """
    options, words = parted(argv)
    given, unknown = cli.parse_known_args(options)
    check_options(unknown, re.findall(r"--[a-z-]+", cli.format_usage()))
    return given, words


def check_options(unknown: Sequence[str], known: Sequence[str]) -> None:
    """Say of every option that is not known what to write.

    Args:
        unknown: words that nothing takes; those without dashes stand behind others.
        known: the options that there are.

    Raises:
        UserError: there is one.
    """
    faults = Faults()
    for word in unknown:
        if word.startswith("-"):
            faults.add(f"Unknown option {word}. {_option(word, known)}")
    faults.end()


def _option(word: str, known: Sequence[str]) -> str:
    name, equals, value = word.partition("=")
    bare = name.lstrip("-").replace("-", "_")
    near = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=0.75)
    if near and not name.startswith((f"--{NESTED}.", f"--{TEAM}.")):
        return f"Did you mean {near[0]}{equals}{value}?"
    told = advice("option", bare) or advice("setting", bare)
    if told:
        return f"{told.strip()} See --help."
    if bare.replace("env_args_", "env_args.").startswith(NESTED):
        bare = f"{NESTED}.{bare.removeprefix(NESTED)[1:]}"
    example = f"{bare}={value}" if equals else f"{bare}=..."
    return f"Settings stand after 'with', without dashes: with {example} (see --help)."


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Turn ``key=value``, ``env_args.key=value`` and ``team.<name>.key=value`` words into a layer.

    Values stay as they were typed (:class:`core.values.Raw`) until their settings are known.

    Raises:
        UserError: words without '=', spaces around it, or nesting elsewhere; all that there are.
    """
    layer: dict[str, Any] = {}
    faults = Faults()
    for word, fault in _pairs(words):
        if fault:
            faults.add(fault)
            continue
        with faults.collect():
            _enter(layer, word)
    faults.end()
    return layer


def _pairs(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Words and what is wrong with their spaces (empty where nothing is)."""
    rest, before = list(given), ""
    while rest:
        word = rest.pop(0)
        after = rest[0] if rest else ""
        parts = [word]
        if "=" not in word and after.startswith("="):
            parts.append(rest.pop(0))
        if parts[-1].endswith("=") and parts[0] != "=" and rest and "=" not in rest[0]:
            parts.append(rest.pop(0))
        if len(parts) > 1:
            yield "", f"Cannot read '{' '.join(parts)}': write it without spaces around '=', {''.join(parts)}."
        elif "=" in word and not word.startswith("="):
            before = word
            yield word, ""
        else:
            while rest and "=" not in rest[0] and not (len(rest) > 1 and rest[1].startswith("=")):
                parts.append(rest.pop(0))
            words = " ".join(parts)
            joined = f" If it belongs to the value before it, put quotes around all of it: '{before} {words}'."
            told = "after 'with' come key=value pairs, e.g. lr=0.001."
            yield "", f"Cannot read '{words}': {told}{joined if before else ''}"


def _enter(layer: dict[str, Any], word: str) -> None:
    key, _, text = word.partition("=")
    key, value = key.strip(), Raw(text)
    outer, dot, inner = key.partition(".")
    if outer == TEAM:
        team, _, setting = inner.partition(".")
        if not team or not setting:
            raise UserError(f"Cannot read '{word}': a team's settings are {TEAM}.<name>.key=value.")
        layer.setdefault(TEAM, {}).setdefault(team, {})[setting] = value
    elif dot and outer != NESTED:
        raise UserError(f"Cannot read '{word}': only {NESTED} and {TEAM}.<name> have keys below them.")
    elif dot and not inner:
        raise UserError(f"Cannot read '{word}': one of the environment's settings is {NESTED}.key=value.")
    elif dot:
        layer.setdefault(NESTED, {})[inner] = value
    elif key == NESTED:
        _enter_all(layer, settle(value), word)
    else:
        layer[key] = value


def _enter_all(layer: dict[str, Any], values: Any, word: str) -> None:
    if not isinstance(values, dict):
        raise UserError(f"Cannot read '{word}': {NESTED} must be key: value pairs; one is {NESTED}.key=value.")
    layer.setdefault(NESTED, {}).update({str(key): value for key, value in values.items()})
