"""N battles at once: StarCraft-like micromanagement by Numba kernels over plain arrays.

    simulator = Simulator(load_map("3m"), n_battles=64)
    simulator.reset(slots, seeds)
    orders = simulator.no_orders()          # [N, A], to fill in
    simulator.step(orders, active)          # 8 game loops; simulator.units is the new state

A battle depends on its seed and its orders alone. Every battle has one random stream: it places the units, draws the
opponent's target on the map where that is random, and the delays of weapons.
"""

from __future__ import annotations

import numpy as np

from envs.battle.bodies import make_bodies
from envs.battle.loops import start_battles, step_battles
from envs.battle.maps import BattleMap
from envs.battle.state import KEEP, ORDER, UNIT, make_arena

LOOPS_PER_STEP = 8
"""Game loops of an environment step (SMAC's step_mul)."""


class Simulator:
    """Battles on one map, the scripted opponent included.

    Units are numbered 0..U-1: the A allies in the order of SMAC's agents (by type, x and y at the start), then the
    enemies.

    Attributes:
        battle_map: the map.
        n_battles: N.
        units: [N, U] of :data:`envs.battle.state.UNIT`: x, y, health, shield, energy, cooldown (game loops), alive...
            Writable, to set up a situation. Slots that were never reset have no unit alive.
        arena: what all battles share; ``arena.traits`` [U] holds the unit types' data.
        loops: int64 [N], game loops since the reset.
    """

    def __init__(self, battle_map: BattleMap, n_battles: int) -> None:
        if n_battles < 1:
            raise ValueError(f"a simulator needs at least 1 battle, not {n_battles}")
        self.battle_map = battle_map
        self.n_battles = n_battles
        self.arena = make_arena(battle_map)
        self.units = np.zeros((n_battles, battle_map.n_units), UNIT)
        self.loops = np.zeros(n_battles, np.int64)
        self._streams = np.zeros(n_battles, np.uint64)
        self._bodies = make_bodies(battle_map.n_units)
        self._kept = self.no_orders()

    def no_orders(self) -> np.ndarray:
        """Return orders that change nothing: [N, A] of :data:`envs.battle.state.ORDER`, all KEEP."""
        return np.full((self.n_battles, self.battle_map.n_allies), np.array((KEEP, 0, 0.0, 0.0), ORDER))

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> None:
        """Start new battles in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]); other slots are left alone.

        Raises:
            ValueError: slots or seeds do not have the right shape or range.
        """
        slots, seeds = np.ascontiguousarray(slots, np.int64), np.ascontiguousarray(seeds, np.uint64)
        if slots.shape != seeds.shape or slots.ndim != 1:
            raise ValueError(f"slots and seeds must be [K] both, not {slots.shape} and {seeds.shape}")
        if slots.size and not 0 <= slots.min() <= slots.max() < self.n_battles:
            raise ValueError(f"slots must be within 0..{self.n_battles - 1}, not {slots}")
        start_battles(
            slots,
            seeds,
            self.arena,
            self.battle_map.spawns,
            self.battle_map.target,
            self.units,
            self._streams,
            self.loops,
        )

    def step(self, orders: np.ndarray | None, active: np.ndarray, *, loops: int = LOOPS_PER_STEP) -> None:
        """Give orders to the allies and run some game loops in the slots where ``active`` (bool [N]) holds.

        Args:
            orders: [N, A] of :data:`envs.battle.state.ORDER`; None gives none. An order lasts until the next one. One
                that cannot be carried out (attack a dead, own or unreachable unit, heal a dead, hostile, healthy or
                mechanical one, attack without a weapon) is refused as the game does: the unit goes on with what it did.
            active: bool [N]; the other slots are left alone.
            loops: game loops, 16 a second.

        Raises:
            ValueError: shapes do not fit.
        """
        given = self._kept if orders is None else orders
        shape = (self.n_battles, self.battle_map.n_allies)
        if given.dtype != ORDER or given.shape != shape or active.shape != shape[:1]:
            raise ValueError(
                f"orders must be {shape} of ORDER and active {shape[:1]}, not {given.shape} of {given.dtype} "
                f"and {active.shape}"
            )
        step_battles(given, active, loops, self.arena, self.units, self._streams, self.loops, self._bodies)

    def kill(self, slot: int, units: np.ndarray | None = None) -> None:
        """Remove units at once, as the game's debug command does: all of a slot, or those numbered ``units``."""
        which = slice(None) if units is None else units
        for field in ("health", "shield"):
            self.units[field][slot, which] = 0.0
        self.units["alive"][slot, which] = False
