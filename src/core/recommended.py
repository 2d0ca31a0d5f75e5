"""Recommended settings: what an algorithm needs on an environment, or on single tasks of it, in order to learn.

config/recommended/<environment>.yaml holds them, keyed by algorithm; below ``tasks:`` the same for single maps, keys or
games, where * stands for any text. They are a layer between the algorithm's file and the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.registry import did_you_mean
from core.settings import CONFIG_DIR, config_names, is_path, read_yaml

RECOMMENDED = "recommended"
TASKS = "tasks"
FOLDER = CONFIG_DIR / RECOMMENDED


@dataclass(frozen=True)
class Entry:
    """Recommended settings of one algorithm.

    Attributes:
        env: name of the environment's file.
        task: a map, key or game, or a pattern of such; empty where they are for the whole environment.
        algorithm: name of its file.
        settings: key -> value.
    """

    env: str
    task: str
    algorithm: str
    settings: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where they hold: "battle", "battle (3s5z)"."""
        return self.env + (f" ({self.task})" if self.task else "")

    @property
    def layer(self) -> str:
        """What the layer is called: "recommended/battle.yaml", "recommended/battle.yaml (3s5z)"."""
        return f"{RECOMMENDED}/{self.place.replace(self.env, f'{self.env}.yaml', 1)}"

    def fits(self, task: str | None) -> bool:
        """Whether they are for a task of the environment."""
        return not self.task or (task is not None and fnmatchcase(task, self.task))


def task_name(env_args: Mapping[str, Any]) -> str | None:
    """Return the map, key or game that is played; None where the environment has no such, or a payoff of one's own."""
    if str(env_args.get("payoff") or "") not in ("", "null", "None"):
        return None
    return next((str(env_args[key]) for key in ("map_name", "key", "game") if env_args.get(key)), None)


def recommended_layers(
    env_config: str, env_args: Mapping[str, Any], config: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the layers of what is recommended: the environment's, then its tasks'; none for files of one's own.

    Args:
        env_config: name of config/envs/<name>.yaml, or a path.
        env_args: of the run.
        config: name of config/algs/<name>.yaml, or a path.

    Raises:
        UserError: the file names an algorithm that there is not.
    """
    if is_path(env_config) or is_path(config):
        return []
    task = task_name(env_args)
    return [(one.layer, one.settings) for one in entries(env_config) if one.algorithm == config and one.fits(task)]


def recommended_names() -> list[str]:
    """Names of the environments for which something is recommended."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def entries(env: str) -> Iterator[Entry]:
    """All that is recommended for an environment, single tasks last.

    Raises:
        UserError: an algorithm that there is not, or what is no mapping.
    """
    path = FOLDER / f"{env}.yaml"
    content = read_yaml(path) if path.is_file() else {}
    tasks = _mapping(content.pop(TASKS, None), path, TASKS)
    yield from _entries(env, "", content, path)
    for task, algorithms in tasks.items():
        yield from _entries(env, task, _mapping(algorithms, path, task), path)


def _entries(env: str, task: str, algorithms: Mapping[str, Any], path: Path) -> Iterator[Entry]:
    known = config_names("algs")
    for name, settings in algorithms.items():
        if name not in known:
            place = f"{path}, {TASKS}, {task}" if task else str(path)
            raise UserError(
                f"{place}: unknown algorithm '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
        yield Entry(env, task, name, _mapping(settings, path, name))


def _mapping(value: Any, path: Path, key: str) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise UserError(f"{path}: what stands below '{key}' must be 'key: value' lines, got {value!r}.")
    return {str(inner): each for inner, each in (value or {}).items()}
