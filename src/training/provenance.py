"""What made a run: the code, the command, the versions of packages, and the version of the environment's episodes."""

from __future__ import annotations

import functools
import subprocess
import sys
import tomllib
from importlib import metadata
from typing import Any

from core.packages import ROOT
from core.secrets import hidden
from training.options import Options

PACKAGES = ("torch", "numpy", "numba")


def provenance(options: Options, command: str) -> dict[str, Any]:
    """Return what is recorded in info.json, plain JSON; None stands for what cannot be known.

    Keys: "command"; "commit" and "changed", whether files below src differ from it (untracked ones count); "versions"
    of Python, the project and what computes; "environment", see :func:`environment`.
    """
    versions = {"python": sys.version.split()[0], "project": _project()}
    versions |= {name: _installed(name) for name in PACKAGES}
    return {"command": hidden(command), **_code(), "versions": versions, "environment": environment(options)}


def environment(options: Options) -> dict[str, Any]:
    """Return name and version of what is played: runs with another version have other episodes.

    A simulator of our own has a number (its attribute ``VERSION``), one of others the version of its package.
    """
    env = options.classes["env"]
    if hasattr(env, "VERSION"):
        return {"name": options.experiment.env, "version": env.VERSION}
    package = env.package(options.env_args) if hasattr(env, "package") else options.experiment.env
    return {"name": package, "version": _installed(package)}


def same_environment(recorded: dict[str, Any] | None, now: dict[str, Any]) -> bool:
    """Whether a run of the ``recorded`` environment has the episodes that a run would have now.

    Runs from before this was recorded have version 1 of our own simulators, and what others' versions they had is not
    known.
    """
    if recorded is None:
        return not isinstance(now["version"], int) or now["version"] == 1
    return recorded == now


@functools.cache
def _code() -> dict[str, Any]:
    """The commit that is checked out, and whether the code that runs differs from it."""
    top, commit = (_git("rev-parse", "--show-toplevel", "HEAD") or "\n").split("\n")[:2]
    if top != str(ROOT):  # no checkout of this project, but perhaps a folder within another one
        return {"commit": None, "changed": None}
    status = _git("status", "--porcelain", "--", "src")
    return {"commit": commit, "changed": None if status is None else bool(status)}


def _git(*words: str) -> str | None:
    """What git prints; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@functools.cache
def _installed(module: str) -> str | None:
    """Version of the package that brings a module."""
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        named = metadata.packages_distributions().get(module)
        return metadata.version(named[0]) if named else None


def _project() -> str | None:
    try:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None
