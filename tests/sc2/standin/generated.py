"""SMACv2's empty map: the units of a battle are those that debug commands have created since the last one."""

from dataclasses import replace

import numpy as np
from game import _ACTIVE, _SLOT, ALLY_BASE, Game

from envs.battle.maps import TO_ALLIES, load_map
from envs.battle.simulator import Simulator
from envs.battle.state import KEEP
from envs.battle.units import TYPE_INDEX, UNIT_TYPES

ALLY_NAMES = ("baneling", "colossus", "hydralisk", "marauder", "marine", "medivac", "stalker", "zealot", "zergling")
"""The RL units in the order of their types, the last that the game's data have."""
N_TYPES = ALLY_BASE + len(ALLY_NAMES)
FREE = "3s_vs_3z"
"""The map in whose place it stands: units walk everywhere on it."""


class Generated(Game):
    """One game; the created units are there from the next game loop on, and nobody comes again by himself."""

    def __init__(self, seed):
        self.battle_map = load_map(FREE)
        self.loop = 0
        self.tags = []
        self._seed = seed
        self._battles = 0
        self._missing = 0
        self._asked = []
        self._simulator = None
        self._ally_types = {name: ALLY_BASE + k for k, name in enumerate(ALLY_NAMES)}

    def create(self, unit_type, owner, point):
        """Let a unit be there from the next game loop on; returns whether there is such a type."""
        names = {kind.sc2_id: kind.name for kind in UNIT_TYPES} if owner == 2 else {
            number: name for name, number in self._ally_types.items()
        }  # fmt: skip
        if unit_type in names:
            self._asked.append((owner, TYPE_INDEX[names[unit_type]], point))
        return unit_type in names

    def _deploy(self):
        units = sorted(self._asked, key=lambda unit: unit[0])  # allies first, each side as it was created
        self._asked = []
        types = np.array([kind for _, kind, _ in units])
        self.battle_map = replace(
            self.battle_map,
            types=types,
            spawns=np.array([point for *_, point in units], float),
            n_allies=sum(owner == 1 for owner, *_ in units),
            order=TO_ALLIES,
            type_columns=np.zeros(len(units), np.int64),
            n_type_columns=0,
        )
        self._simulator = Simulator(self.battle_map, 1)
        self._begin()

    def _is_there(self, i):
        return self._simulator is not None and bool(self._simulator.units["alive"][0, i])

    def kill(self, tags):
        """Remove units at once."""
        if self._simulator is not None:
            super().kill(tags)

    def advance(self, loops):
        """Run some game loops."""
        self.loop += loops
        if self._asked:
            self._deploy()
        if self._is_anybody_there():
            self._simulator.step(self._orders, _ACTIVE, loops=loops)
            self._orders["kind"] = KEEP

    def _is_anybody_there(self):
        return self._simulator is not None and self._simulator.units["alive"][_SLOT].any()
