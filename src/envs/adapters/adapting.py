"""What the adapters of foreign environments share. Runs inside workers, so it must not import torch."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.foreign import advice
from core.kinds import Kind
from core.registry import did_you_mean

_OURS = Path(__file__).resolve().parents[2]


def import_module(name: str, key: str) -> Any:
    """Import a module that the user named in ``key``: an installed one, or else one of the current folder.

    Raises:
        UserError: there is none, or something that it needs is missing.
    """
    _check_name(name, key)
    top = name.partition(".")[0]
    _refuse_ours(top, key)
    here = Path.cwd()
    if (here / f"{top}.py").is_file() or (here / top).is_dir():
        folders = [os.path.abspath(path) for path in sys.path]
        sys.path += [str(here)] if str(here) not in folders else []
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        _refuse_ours(missing.partition(".")[0], key)
        if not (name == missing or name.startswith(missing + ".")):
            raise UserError(f"env_args.key={key} needs the Python package '{missing}': pip install it.") from None
        package, _, last = missing.rpartition(".")
        if not package:
            near = did_you_mean(missing, (path.stem for path in here.glob("*.py")))
            told = advice("env_args.key", key) or f"{near} Install it, or go to its folder or put that on PYTHONPATH."
            raise UserError(
                f"env_args.key={key}: the Python package '{missing}' is not installed, and the current folder, {here}, "
                f"has no {missing}.py.{told}"
            ) from None
        raise UserError(f"env_args.key={key}: {_what_else(package, last, key)}") from None
    except ImportError as error:  # PettingZoo's way to say that a part of it has moved
        told = advice("env_args.key", key)
        _refuse_ours((error.name or "").partition(".")[0], key)
        if not told:
            raise
        raise UserError(f"env_args.key={key}: {' '.join(str(error).split())}{told}") from None


def _refuse_ours(module: str, key: str) -> None:
    """Refuse a module that hides the user's own of the same name. Raises UserError."""
    file = getattr(sys.modules.get(module), "__file__", None) or _OURS / f"{module}.py"
    if module and Path(file).is_file() and Path(file).is_relative_to(_OURS):
        raise UserError(
            f"env_args.key={key}: '{module}' is a module of this project, which hides any other of that name: give "
            "yours another name."
        )


def _check_name(name: str, key: str) -> None:
    """Refuse nothing, and the path of a file, where a module's name is meant. Raises UserError."""
    if not name.strip():
        raise UserError(f"env_args.key={key} names no module: give one, such as my_env or package.module:Class.")
    if not (name.endswith(".py") or "/" in name or "\\" in name or name.startswith((".", "~"))):
        return
    path = Path(name.replace("\\", "/"))
    folder = "" if path.parent in (Path(), Path(".")) else f", from the folder {path.parent} or with it on PYTHONPATH"
    raise UserError(
        f"env_args.key={key} is a path, not the name of a module: give env_args.key="
        f"{key.replace(name, path.name.removesuffix('.py'), 1)}{folder}."
    )


def _what_else(package: str, last: str, key: str) -> str:
    """Say what there is in the place of a module ``last`` that a package does not have."""
    module = importlib.import_module(package)
    if not hasattr(module, "__path__"):
        return f"'{package}' is a module, not a package. Did you mean {package}:{last}?"
    siblings = [found.name for found in pkgutil.iter_modules(module.__path__)]
    return f"no module '{last}' in '{package}'.{advice('env_args.key', key) or did_you_mean(last, siblings)}"


def constructor_arguments(constructor: Callable[..., Any]) -> list[str] | None:
    """Return the keyword arguments that it accepts, or None where it takes any (or hides its signature)."""
    try:
        parameters = inspect.signature(constructor).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]


def check_arguments(accepted: Sequence[str] | None, given: Mapping[str, Any], key: str) -> None:
    """Check the arguments for a constructor that accepts ``accepted`` (None: anything).

    Raises:
        UserError: one is unknown; names the nearest and all that there are.
    """
    for name in given:
        if accepted is not None and name not in accepted:
            near = advice("env_args.", name) or did_you_mean(name, accepted)
            raise UserError(f"env_args.{name} is not an argument of {key}.{near} It accepts: {', '.join(accepted)}.")


def discrete_actions(space: Any, who: str) -> tuple[int, int]:
    """Return (number of actions, value of the first) of a Discrete space.

    Raises:
        UserError: any other space.
    """
    if type(space).__name__ != "Discrete":
        raise UserError(f"{who} has the action space {space}; only Discrete action spaces are supported.")
    return int(space.n), int(space.start)


def box_size(space: Any, who: str) -> int:
    """Return the number of entries of a Box (or MultiBinary) space.

    Raises:
        UserError: any other space.
    """
    if type(space).__name__ not in ("Box", "MultiBinary"):
        raise UserError(
            f"{who} has the observation space {space}; only Box observation spaces are supported: let the environment "
            "give gymnasium.spaces.flatten(space, observation), whose space is flatten_space(space)."
        )
    size = 1
    for length in space.shape:
        size *= int(length)
    return size


def box_kind(spaces: Sequence[Any]) -> Kind:
    """Return how the numbers of these spaces are kept together: bytes where all are Boxes of uint8."""
    if not all(type(space).__name__ == "Box" and space.dtype == np.uint8 for space in spaces):
        return "floats"
    return "image" if all((space.low == 0).all() and (space.high == 255).all() for space in spaces) else "bytes"


def write(values: Any, row: np.ndarray, who: str) -> None:
    """Write an observation or a state into its row.

    Raises:
        ValueError: it has another size, or its space promises bytes, and these are not.
    """
    flat = np.asarray(values).reshape(-1)
    if flat.size != row.size:
        raise ValueError(f"{who} has {flat.size} entries, not {row.size} as at first")
    row[:] = flat
    if row.dtype == np.uint8 != flat.dtype and not np.array_equal(row, flat):
        raise ValueError(
            f"{who} is {flat.dtype} with values that its space, a Box of uint8, does not have: give that space the "
            "dtype float32"
        )


def positive_int(value: Any) -> int | None:
    """Return ``value`` as an int where it is a positive whole number (of any type), otherwise None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    return int(value) if value > 0 and float(value).is_integer() else None


def constructor_defaults(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Return the default values of its arguments, as far as its signature shows them."""
    try:
        parameters = inspect.signature(constructor).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty}
