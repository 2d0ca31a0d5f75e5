"""Values as people type them: what stands after ``with key=`` and in YAML files.

A setting that is text gets the text as it was typed. Any other value is read by the few rules of :func:`parse`, which
know no octal numbers, no base 60, no dates, no comments and no yes or no.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Union

from core.errors import UserError

_WORDS: dict[str, Any] = {"null": None, "Null": None, "NULL": None, "None": None, "": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS |= {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_WORDS |= {word: float("nan") for word in (".nan", ".NaN", ".NAN")}
_WHOLE = r"(?:0|[1-9](?:_?[0-9])*)"
_INT = re.compile(rf"[-+]?{_WHOLE}")
_FLOAT = re.compile(rf"[-+]?(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_DOUBLE, _SINGLE = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL), re.compile(r"'(?:[^']|'')*'")
_BARE, _KEY = re.compile(r"[^,\[\]{}()]+"), re.compile(r"[^,:\[\]{}()]+")
_SPACE = re.compile(r"\s*")
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_DEEPEST = 50


class Raw(str):
    """A value as it was typed; :func:`settle` reads it once its setting's type is known."""


def parse(text: str) -> Any:
    """Read a value by its looks.

    null, None and nothing; true and false; decimal numbers (``1e-3``, ``1_000``, ``.inf``), but not those with leading
    zeros; lists ``[a, 1]``, tuples ``(8, 8)``, mappings ``{a: 1}``; ``"text"`` in quotes, with JSON's escapes, and
    ``'text'`` in quotes, with '' for '. Anything else is text, as it stands.

    Raises:
        UserError: a mapping has a key twice.
    """
    if text.strip()[:1] not in ("[", "(", "{", '"', "'"):
        return _scalar(text)
    try:
        return _Reader(text).whole()
    except _UnreadableError:
        return str(text)


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INT.fullmatch(text):
            return int(text)
    except ValueError:  # more digits than Python takes
        return str(text)
    if _FLOAT.fullmatch(text) and abs(number := float(text)) < float("inf"):
        return number
    return str(text)


class _UnreadableError(Exception):
    """The text is no list, mapping, tuple or quoted text."""


class _Reader:
    """Reads what brackets and quotes enclose."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def whole(self) -> Any:
        value = self._value(0)
        if self._peek():
            raise _UnreadableError
        return value

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise _UnreadableError
        self._at = found.end()
        return found.group()

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise _UnreadableError
        first = self._peek()
        if first == "{":
            return self._mapping(depth)
        if first in ("[", "("):
            items, commas = self._items(lambda: self._value(depth + 1))
            if first == "[":
                return items
            if len(items) == 1 and not commas:  # (a word) is no tuple
                raise _UnreadableError
            return tuple(items)
        return self._leaf(_BARE)

    def _leaf(self, bare: re.Pattern[str]) -> Any:
        first = self._peek()
        if first == "'":
            return self._take(_SINGLE)[1:-1].replace("''", "'")
        if first != '"':
            return _scalar(self._take(bare).strip())
        try:
            return json.loads(self._take(_DOUBLE), strict=False)
        except ValueError as error:
            raise _UnreadableError from error

    def _items(self, read: Callable[[], Any]) -> tuple[list[Any], int]:
        """What stands between brackets, and how many commas."""
        closing, commas = _CLOSING[self._peek()], 0
        items: list[Any] = []
        self._at += 1
        while self._peek() != closing:
            if len(items) > commas:
                if self._peek() != ",":
                    raise _UnreadableError
                self._at, commas = self._at + 1, commas + 1
            if self._peek() != closing:
                items.append(read())
        self._at += 1
        return items, commas

    def _mapping(self, depth: int) -> dict[Any, Any]:
        def pair() -> tuple[Any, Any]:
            key = self._leaf(_KEY)
            if self._peek() != ":":
                raise _UnreadableError
            self._at += 1
            return key, None if self._peek() in (",", "}") else self._value(depth + 1)

        pairs, _ = self._items(pair)
        found = dict(pairs)
        if len(found) < len(pairs):
            raise UserError(f"A key is given twice in {self._text}.")
        return found


def settle(value: Any, annotation: Any = Any, *, depth: int = 0) -> Any:
    """Return what a setting of this type gets.

    Args:
        value: a :class:`Raw` is read, also within lists and mappings; anything else stays as it is.
        annotation: of the setting. Text (``str``) is taken as it was typed; where the setting may be null too
            (``str | None``), null, None and nothing are null. ``Any``: as :func:`parse` reads it.
        depth: how deep this value lies in others.

    Raises:
        UserError: nested too deep, or a mapping has a key twice.
    """
    if depth > _DEEPEST:
        raise UserError(f"A setting is nested more than {_DEEPEST} deep.")
    if isinstance(value, list):
        return [settle(item, depth=depth + 1) for item in value]
    if isinstance(value, dict):
        return {settle(key): settle(item, depth=depth + 1) for key, item in value.items()}
    if not isinstance(value, Raw):
        return value
    kinds = alternatives(annotation)
    if str in kinds and kinds <= {str, type(None)}:
        return None if type(None) in kinds and _WORDS.get(value, value) is None else str(value)
    found = parse(value)
    if isinstance(found, bool) and kinds & {int, float} and bool not in kinds:
        return str(value)  # true is no number
    return found


def alternatives(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows: ``str | None`` -> {str, NoneType}."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return alternatives(inner[0])
    if origin in (Union, types.UnionType):
        return set().union(*(alternatives(each) for each in inner))
    return {annotation}
