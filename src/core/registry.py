"""Registries: one line per plugin, imported only when it is chosen."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import UserError
from core.foreign import advice


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known word, or an empty string."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6) or [name for name in names if name == word.lower()]
    return f" Did you mean '{near[0]}'?" if near else ""


def load(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """Import the class registered as ``name`` from its ``"package.module:Class"`` line.

    Args:
        registry: name -> "module:Class".
        name: what the user chose.
        kind: what to call it in the error, e.g. "environment".

    Raises:
        UserError: the name is not registered.
    """
    if name not in registry:
        known = ", ".join(sorted(registry))
        near = advice(kind, name) or did_you_mean(name, registry)
        raise UserError(f"Unknown {kind} '{name}'.{near} Known: {known}.")
    module, _, attribute = registry[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
