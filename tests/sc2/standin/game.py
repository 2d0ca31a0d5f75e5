"""What the stand-in plays: a SMAC map's battles, one after another, fought by the battle world's simulator."""

import numpy as np

from envs.battle.maps import load_map
from envs.battle.simulator import Simulator
from envs.battle.state import ATTACK, HEAL_UNIT, KEEP, MOVE, STOP
from envs.battle.units import AIR, MAX_ENERGY, UNIT_TYPES

ALLY_BASE = 1970
"""First of the unit types that a SMAC map defines for the RL units; the real number depends on the map."""
RESPAWN_LOOPS = 3
"""Game loops from the death of all until everybody is there again; the enemies come one loop earlier."""
KINDS = {4: STOP, 16: MOVE, 23: ATTACK, 386: HEAL_UNIT}
"""StarCraft II's ability ids -> kinds of orders."""

_SLOT = np.zeros(1, np.int64)
_ACTIVE = np.ones(1, bool)


class Game:
    """One game. Battle k of it starts from the seed ``seed + k``; a new one begins when nobody is left.

    Attributes:
        battle_map: the map.
        loop: game loops since the creation.
        tags: tags of the units, in the simulator's order; new ones in every battle.
    """

    def __init__(self, map_name, seed):
        self.battle_map = load_map(map_name)
        self.loop = 0
        self._simulator = Simulator(self.battle_map, 1)
        self._seed = seed
        self._battles = 0
        self._missing = 0  # game loops until everybody is there
        names = self.battle_map.type_names(allies=True)
        self._ally_types = {name: ALLY_BASE + k for k, name in enumerate(dict.fromkeys(names))}
        self._begin()

    def _begin(self):
        n = self.battle_map.n_units
        self._simulator.reset(_SLOT, np.array([self._seed + self._battles], np.uint64))
        self._battles += 1
        self.tags = [(self._battles << 32) + i for i in range(n)]
        self._orders = self._simulator.no_orders()

    def order(self, tag, ability, target_tag, point):
        """Give an order from the next game loop on; returns whether it can be one."""
        i = self._number(tag)
        if i is None or i >= self.battle_map.n_allies or ability not in KINDS:
            return False
        order = self._orders[0, i]
        order["kind"] = KINDS[ability]
        if order["kind"] in (ATTACK, HEAL_UNIT):
            target = self._number(target_tag)
            if target is None:
                order["kind"] = KEEP
                return False
            order["target"] = target
        order["x"], order["y"] = point
        return True

    def _number(self, tag):
        """Number of a unit that is there and alive, or None."""
        present = {unit_tag: i for i, unit_tag in enumerate(self.tags) if self._is_there(i)}
        return present.get(tag)

    def _is_there(self, i):
        shown = self._missing == 0 or (self._missing == 1 and i >= self.battle_map.n_allies)
        return shown and bool(self._simulator.units["alive"][0, i])

    def kill(self, tags):
        """Remove units at once."""
        numbers = [i for i in map(self._number, tags) if i is not None]
        self._simulator.kill(0, np.array(numbers, np.int64))

    def advance(self, loops):
        """Run some game loops."""
        self.loop += loops
        if self._missing == 0 and not self._simulator.units["alive"].any():
            self._missing = RESPAWN_LOOPS
        while self._missing and loops:
            loops -= 1
            self._missing -= 1
            if self._missing == 1:
                self._begin()
        if loops:
            self._simulator.step(self._orders, _ACTIVE, loops=loops)
            self._orders["kind"] = KEEP

    def units(self):
        """The living units as dictionaries of protocol fields, latest ally first (so that their order says nothing)."""
        n_allies = self.battle_map.n_allies
        order = [*reversed(range(n_allies)), *range(n_allies, self.battle_map.n_units)]
        return [self._describe(i) for i in order if self._is_there(i)]

    def _describe(self, i):
        unit, traits = self._simulator.units[0, i], self._simulator.arena.traits[i]
        kind = UNIT_TYPES[self.battle_map.types[i]]
        ally = i < self.battle_map.n_allies
        return {
            "tag": self.tags[i],
            "unit_type": self._ally_types[kind.name] if ally else kind.sc2_id,
            "owner": 1 if ally else 2,
            "alliance": 1 if ally else 4,
            "display_type": 1,
            "pos": {"x": unit["x"], "y": unit["y"]},
            "radius": traits["radius"],
            "is_flying": bool(traits["layer"] == AIR),
            "health": unit["health"],
            "health_max": traits["max_health"],
            "shield": unit["shield"],
            "shield_max": traits["max_shield"],
            "energy": unit["energy"],
            "energy_max": MAX_ENERGY if traits["energy"] > 0 else 0.0,
            "weapon_cooldown": max(unit["cooldown"], 0.0),
        }
