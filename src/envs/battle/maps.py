"""The maps of SMAC as data: ``maps.yaml``, read and checked."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from core.errors import UserError
from core.registry import did_you_mean
from envs.battle.units import TYPE_INDEX, UNIT_TYPES

SIZE = 32
"""Cells of a map in x and in y."""
_FILE = Path(__file__).with_name("maps.yaml")
_LEVELS = {"0": 0, "4": 64, "5": 72, "6": 88, "7": 104, "8": 128}

TO_POINT, TO_ALLIES, NO_ORDER = range(3)
"""What the opponent is ordered to do: attack-move to a point, attack the allies wherever they are, nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BattleMap:
    """One map.

    Units are numbered 0..U-1: the allies in the order of SMAC's agents, then the enemies.

    Attributes:
        name: SMAC's name.
        limit: SMAC's episode limit in steps of 8 game loops.
        types: int64 [U], indices into :data:`envs.battle.units.UNIT_TYPES`.
        spawns: float64 [U, 2], the point around which each unit is created.
        n_allies: A; the other U - A units are enemies.
        order: one of TO_POINT, TO_ALLIES, NO_ORDER.
        target: float64 [2, 2], for TO_POINT: the ends of the line on which the point is drawn (equal: the point).
        walkable: bool [32, 32], [x, y]: cells on which ground units walk; what the game tells as its pathing grid.
        crossable: bool [32, 32]: cells which colossi cross.
        height: float64 [32, 32]: SMAC's terrain height, 0 to 1.
        type_columns: int64 [U], the unit's column among the one-hot types that SMAC shows.
        n_type_columns: number of these columns, 0 where each side has one type.
    """

    name: str
    limit: int
    types: np.ndarray
    spawns: np.ndarray
    n_allies: int
    order: int
    target: np.ndarray
    walkable: np.ndarray
    crossable: np.ndarray
    height: np.ndarray
    type_columns: np.ndarray
    n_type_columns: int

    @property
    def n_enemies(self) -> int:
        """Number of enemies."""
        return len(self.types) - self.n_allies

    @property
    def n_units(self) -> int:
        """U, allies and enemies."""
        return len(self.types)

    @functools.cached_property
    def reached(self) -> np.ndarray:
        """Cells that a unit can come to from a spawn point, colossi included: bool [32, 32]."""
        reached = np.zeros_like(self.crossable)
        cells = [(int(x), int(y)) for x, y in self.spawns]
        while cells:
            x, y = cells.pop()
            if 0 <= x < SIZE and 0 <= y < SIZE and self.crossable[x, y] and not reached[x, y]:
                reached[x, y] = True
                cells += [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
        return reached

    @property
    def ally_types(self) -> tuple[int, ...]:
        """Number of every ally's type, in the order of the agents: its type column, 0 where all have one type."""
        return tuple(self.type_columns[: self.n_allies].tolist())

    def type_names(self, *, allies: bool) -> list[str]:
        """Name of the type of every unit of one side, in order."""
        side = self.types[: self.n_allies] if allies else self.types[self.n_allies :]
        return [UNIT_TYPES[index].name for index in side]


@functools.cache
def _content() -> dict[str, Any]:
    return yaml.safe_load(_FILE.read_text())


def map_names() -> list[str]:
    """Names of all maps, in the order of the file."""
    return list(_content()["maps"])


@functools.cache
def load_map(name: str) -> BattleMap:
    """Return a map by its name.

    Raises:
        UserError: there is none; names the nearest and all that there are.
    """
    names = map_names()
    if name not in names:
        raise UserError(f"Unknown map env_args.map_name={name}.{did_you_mean(name, names)} Known: {', '.join(names)}.")
    entry = _content()["maps"][name]
    groups = [*entry["allies"], *entry["enemies"]]
    counts = [group["count"] for group in groups]
    walkable, crossable, height = _terrain(entry["terrain"])
    order, target = _order(entry["target"])
    shown = [entry["types"][side] if "types" in entry else [] for side in ("allies", "enemies")]
    columns = [shown[i >= len(entry["allies"])].index(g["type"]) if shown[0] else 0 for i, g in enumerate(groups)]
    return BattleMap(
        name=name,
        limit=entry["limit"],
        types=np.repeat([TYPE_INDEX[group["type"]] for group in groups], counts),
        spawns=np.repeat(np.array([group["at"] for group in groups], float), counts, axis=0),
        n_allies=sum(group["count"] for group in entry["allies"]),
        order=order,
        target=target,
        walkable=walkable,
        crossable=crossable,
        height=height,
        type_columns=np.repeat(columns, counts),
        n_type_columns=len(shown[0]),
    )


def _order(target: Any) -> tuple[int, np.ndarray]:
    if isinstance(target, str):
        return {"allies": TO_ALLIES, "none": NO_ORDER}[target], np.zeros((2, 2))
    return TO_POINT, np.broadcast_to(np.array(target, float), (2, 2)).copy()


@functools.cache
def _terrain(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (walkable, crossable, height) of a terrain, each [x, y]."""
    entry = _content()["terrains"][name]
    cells, levels = (np.array([list(row) for row in reversed(entry[key])]).T for key in ("cells", "levels"))
    elevation = 6 + np.vectorize(_LEVELS.__getitem__)(levels) / 32
    # the game's height map has 8 bits for -16 to 16, SMAC divides them by 255
    return np.isin(cells, (".", ",")), cells != "#", np.round((elevation + 16) / 32 * 255) / 255
