"""Kernels of :mod:`envs.battle.features`: one battle at a time.

``layout`` is an :class:`envs.battle.layout.Layout`, ``widths`` its :class:`envs.battle.layout.Sizes`, ``units`` is
[U] of :data:`envs.battle.state.UNIT`.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import lean_kernel
from envs.battle.layout import Layout, Sizes
from envs.battle.maps import SIZE
from envs.battle.units import HEAL, MAX_ENERGY

SIGHT = 9.0
SHOOT = 6.0
"""SMAC's ranges, the same for every type of unit: what an agent sees, what it may attack (between centres)."""
_AROUND = np.array([(0, 2), (0, -2), (2, 0), (-2, 0), (1, 1), (-1, -1), (1, -1), (-1, 1), (0, 0)])
"""Where pathing and height are shown, in moves from the agent's cell."""


@lean_kernel
def _inside(x: int, y: int) -> bool:
    return 0 <= x < SIZE and 0 <= y < SIZE


@lean_kernel
def write_available(layout: Layout, units: np.ndarray, available: np.ndarray) -> None:
    """Write which actions each agent has: bool [A, actions].

    0 no-op, for the dead alone; 1 stop; 2..5 north, south, east, west, where the cell half a move away is walkable;
    6 + j attack enemy j within 6, or, for a medivac, heal ally j within 6 unless it is a medivac.
    """
    available[:] = False
    half = layout.move_amount / 2
    for i in range(layout.n_allies):
        if not units[i].alive:
            available[i, 0] = True
            continue
        x, y = units[i].x, units[i].y
        available[i, 1] = True
        for direction in range(4):
            step = half if direction in (0, 2) else -half
            cell_x = int(x + step) if direction >= 2 else int(x)
            cell_y = int(y + step) if direction < 2 else int(y)
            available[i, 2 + direction] = _inside(cell_x, cell_y) and layout.walkable[cell_x, cell_y]
        heals = layout.traits[i].effect == HEAL
        first, last = (0, layout.n_allies) if heals else (layout.n_allies, units.shape[0])
        for j in range(first, last):
            if units[j].alive and not (heals and layout.traits[j].effect == HEAL):
                dx, dy = units[j].x - x, units[j].y - y
                available[i, 6 + j - first] = dx * dx + dy * dy <= SHOOT * SHOOT


@lean_kernel
def _write_unit(
    layout: Layout, units: np.ndarray, i: int, j: int, distance: float, with_shield: int, row: np.ndarray
) -> int:
    """Write distance, relative place, health, shield and type of unit j as i sees it; returns the next column."""
    row[1] = distance / SIGHT
    row[2] = (units[j].x - units[i].x) / SIGHT
    row[3] = (units[j].y - units[i].y) / SIGHT
    column = 4
    if layout.shown.all_health:
        row[4] = units[j].health / layout.traits[j].max_health
        column = 5
        if with_shield:
            row[5] = units[j].shield / layout.traits[j].max_shield
            column = 6
    if layout.n_types > 0:
        row[column + layout.columns[j]] = 1.0
    return column + layout.n_types


@lean_kernel
def _write_surroundings(layout: Layout, x: float, y: float, row: np.ndarray) -> None:
    """Write pathing and height around a place, as far as they are shown; outside the map both are 1."""
    column = 4
    for grid in range(2):
        if not (layout.shown.pathing_grid if grid == 0 else layout.shown.terrain_height):
            continue
        for point in range(8 + grid):
            cell_x = int(int(x) + _AROUND[point, 0] * layout.move_amount)
            cell_y = int(int(y) + _AROUND[point, 1] * layout.move_amount)
            value = 1.0
            if _inside(cell_x, cell_y):
                value = layout.walkable[cell_x, cell_y] * 1.0 if grid == 0 else layout.height[cell_x, cell_y]
            row[column] = value
            column += 1


@lean_kernel
def _write_own(layout: Layout, units: np.ndarray, i: int, row: np.ndarray) -> None:
    """Write an agent's own health, shield and type."""
    column = 0
    if layout.shown.own_health:
        row[0] = units[i].health / layout.traits[i].max_health
        column = 1
        if layout.ally_shield:
            row[1] = units[i].shield / layout.traits[i].max_shield
            column = 2
    if layout.n_types > 0:
        row[column + layout.columns[i]] = 1.0


@lean_kernel
def _write_enemies(
    layout: Layout, widths: Sizes, units: np.ndarray, i: int, available: np.ndarray, row: np.ndarray
) -> None:
    """Write what agent i sees of the enemies; SMAC lets a medivac see ally j's availability at enemy j."""
    n_allies = layout.n_allies
    x, y = units[i].x, units[i].y
    for j in range(n_allies, units.shape[0]):
        dx, dy = units[j].x - x, units[j].y - y
        square = dx * dx + dy * dy
        if square < SIGHT * SIGHT and units[j].alive:
            start = (j - n_allies) * widths.enemy
            row[start] = available[6 + j - n_allies]
            _write_unit(layout, units, i, j, math.sqrt(square), layout.enemy_shield, row[start:])


@lean_kernel
def _write_allies(
    layout: Layout, widths: Sizes, units: np.ndarray, i: int, last_actions: np.ndarray, row: np.ndarray
) -> None:
    """Write what agent i sees of the other allies."""
    x, y = units[i].x, units[i].y
    start = -widths.ally
    for j in range(layout.n_allies):
        if j == i:
            continue
        start += widths.ally
        dx, dy = units[j].x - x, units[j].y - y
        square = dx * dx + dy * dy
        if square < SIGHT * SIGHT and units[j].alive:
            row[start] = 1.0
            column = _write_unit(layout, units, i, j, math.sqrt(square), layout.ally_shield, row[start:])
            if layout.shown.last_action and last_actions[j] >= 0:
                row[start + column + last_actions[j]] = 1.0


@lean_kernel
def write_observations(
    layout: Layout,
    widths: Sizes,
    units: np.ndarray,
    last_actions: np.ndarray,
    time: int,
    available: np.ndarray,
    obs: np.ndarray,
) -> None:
    """Write the observations of all agents, float32 [A, O]; a dead agent sees nothing but the time."""
    obs[:] = 0.0
    enemies = widths.move
    allies = enemies + (units.shape[0] - layout.n_allies) * widths.enemy
    own = allies + (layout.n_allies - 1) * widths.ally
    for i in range(layout.n_allies):
        row = obs[i]
        if units[i].alive:
            for direction in range(4):
                row[direction] = available[i, 2 + direction]
            if widths.move > 4:
                _write_surroundings(layout, units[i].x, units[i].y, row)
            _write_enemies(layout, widths, units, i, available[i], row[enemies:])
            _write_allies(layout, widths, units, i, last_actions, row[allies:])
            _write_own(layout, units, i, row[own:])
        if layout.shown.timestep:
            row[own + widths.own] = time / layout.limit


@lean_kernel
def write_state(
    layout: Layout, widths: Sizes, units: np.ndarray, last_actions: np.ndarray, time: int, state: np.ndarray
) -> None:
    """Write the state, float32 [S]: allies, enemies, last actions, time; the dead are zeros."""
    state[:] = 0.0
    start = 0
    for j in range(units.shape[0]):
        ally = j < layout.n_allies
        row = state[start:]
        start += widths.state_ally if ally else widths.state_enemy
        if not units[j].alive:
            continue
        traits = layout.traits[j]
        row[0] = units[j].health / traits.max_health
        column = 1
        if ally:
            medivac = layout.has_medivac and traits.effect == HEAL
            row[1] = units[j].energy / MAX_ENERGY if medivac else units[j].cooldown / traits.max_cooldown
            column = 2
        row[column] = (units[j].x - SIZE / 2) / SIZE
        row[column + 1] = (units[j].y - SIZE / 2) / SIZE
        column += 2
        if (layout.ally_shield if ally else layout.enemy_shield) > 0:
            row[column] = units[j].shield / traits.max_shield
            column += 1
        if layout.n_types > 0:
            row[column + layout.columns[j]] = 1.0
    if layout.shown.state_last_action:
        for i in range(layout.n_allies):
            if last_actions[i] >= 0:
                state[start + i * layout.n_actions + last_actions[i]] = 1.0
        start += layout.n_allies * layout.n_actions
    if layout.shown.state_timestep:
        state[start] = time / layout.limit
