"""What is shown of a map's battles, and how wide each part is (oxwhirl/smac, commit d6aab33f, starcraft2.py)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.battle.maps import BattleMap
from envs.battle.units import make_traits

N_BASIC_ACTIONS = 6
"""No-op, stop and four moves stand before the actions on units."""


class Shown(NamedTuple):
    """Which features are shown; names and meaning are SMAC's.

    Attributes:
        all_health: health and shields of the other units.
        own_health: one's own; SMAC shows it in any case where ``all_health`` holds.
        last_action: last actions of visible allies in the observation.
        pathing_grid: whether eight points around are walkable.
        terrain_height: heights of these points and one's own.
        timestep: the part of the time that is over in the observation.
        state_last_action: all last actions in the state.
        state_timestep: the part of the time that is over in the state.
    """

    all_health: bool = True
    own_health: bool = True
    last_action: bool = False
    pathing_grid: bool = False
    terrain_height: bool = False
    timestep: bool = False
    state_last_action: bool = True
    state_timestep: bool = False


class Layout(NamedTuple):
    """What the kernels need to know of a map and of what is shown.

    Attributes:
        traits: [U] of :data:`envs.battle.units.TRAITS`.
        columns: int64 [U], type columns.
        walkable: bool [32, 32].
        height: float64 [32, 32].
        shown: see :class:`Shown`.
        n_allies: A.
        n_actions: actions of an agent.
        n_types: type columns, 0 where each side has one type.
        ally_shield, enemy_shield: 1 where the side has shields, else 0.
        has_medivac: SMAC's "MMM" maps, whose medivacs act on allies and show energy.
        move_amount: length of a move order.
        limit: steps of an episode.
    """

    traits: np.ndarray
    columns: np.ndarray
    walkable: np.ndarray
    height: np.ndarray
    shown: Shown
    n_allies: int
    n_actions: int
    n_types: int
    ally_shield: int
    enemy_shield: int
    has_medivac: bool
    move_amount: float
    limit: int


def make_layout(battle_map: BattleMap, *, shown: Shown | None = None, move_amount: float = 2.0, limit: int) -> Layout:
    """Describe what is shown of a map's battles; ``shown`` None is SMAC's default."""
    shown = shown or Shown()
    traits, n_allies = make_traits(battle_map.types), battle_map.n_allies
    return Layout(
        traits=traits,
        columns=battle_map.type_columns,
        walkable=np.ascontiguousarray(battle_map.walkable),
        height=np.ascontiguousarray(battle_map.height),
        shown=shown._replace(own_health=shown.own_health or shown.all_health),
        n_allies=n_allies,
        n_actions=N_BASIC_ACTIONS + battle_map.n_enemies,
        n_types=battle_map.n_type_columns,
        ally_shield=int((traits["max_shield"][:n_allies] > 0).any()),
        enemy_shield=int((traits["max_shield"][n_allies:] > 0).any()),
        has_medivac="medivac" in battle_map.type_names(allies=True),
        move_amount=float(move_amount),  # an int would be another type to the kernels, and compiled anew
        limit=limit,
    )


def places(layout: Layout) -> tuple[tuple[int, int], ...]:
    """Return which two columns of the state are an ally's x and y, for every ally."""
    width = sizes(layout).state_ally
    return tuple((i * width + 2, i * width + 3) for i in range(layout.n_allies))


class Sizes(NamedTuple):
    """Widths of what a layout shows.

    Attributes:
        move: columns on an agent's own moves, first in an observation.
        enemy: columns per enemy in an observation.
        ally: columns per other ally in an observation.
        own: columns on the agent itself, last but for the time step.
        obs: a whole observation.
        state_ally: columns per ally in the state.
        state_enemy: columns per enemy in the state.
        state: the whole state.
    """

    move: int
    enemy: int
    ally: int
    own: int
    obs: int
    state_ally: int
    state_enemy: int
    state: int


def sizes(layout: Layout) -> Sizes:
    """Compute the widths of a layout."""
    shown, n_allies = layout.shown, layout.n_allies
    n_enemies = len(layout.traits) - n_allies
    move = 4 + 8 * shown.pathing_grid + 9 * shown.terrain_height
    enemy = 4 + shown.all_health * (1 + layout.enemy_shield) + layout.n_types
    ally = 4 + shown.all_health * (1 + layout.ally_shield) + layout.n_types + shown.last_action * layout.n_actions
    own = shown.own_health * (1 + layout.ally_shield) + layout.n_types
    state_ally, state_enemy = 4 + layout.ally_shield + layout.n_types, 3 + layout.enemy_shield + layout.n_types
    state = n_allies * state_ally + n_enemies * state_enemy
    state += shown.state_last_action * n_allies * layout.n_actions + shown.state_timestep
    obs = move + n_enemies * enemy + (n_allies - 1) * ally + own + shown.timestep
    return Sizes(move, enemy, ally, own, obs, state_ally, state_enemy, state)
