"""What SMAC shows of a battle: observations, state and available actions, in its layout and normalisation.

The definitions are those of oxwhirl/smac (commit d6aab33f, starcraft2.py). All functions read plain arrays of unit
states ([U] of :data:`envs.battle.state.UNIT`, of which place, health, shield, energy, cooldown and ``alive`` count), so
that states from elsewhere can be shown just as well.
"""

from __future__ import annotations

import numpy as np

from core.compiling import lean_kernel
from envs.battle.feature_kernels import write_available, write_observations, write_state
from envs.battle.layout import Layout, Sizes


@lean_kernel
def show(
    layout: Layout,
    widths: Sizes,
    units: np.ndarray,
    last_actions: np.ndarray,
    time: int,
    obs: np.ndarray,
    state: np.ndarray,
    available: np.ndarray,
) -> None:
    """Write all that the team sees of one battle.

    Args:
        layout: of the map.
        widths: of the layout.
        units: [U] of :data:`envs.battle.state.UNIT`.
        last_actions: int64 [A], -1 before the first.
        time: steps since the episode's start.
        obs: float32 [A, O], overwritten.
        state: float32 [S], overwritten; of no entries where it is not wanted.
        available: bool [A, actions], overwritten.
    """
    write_available(layout, units, available)
    write_observations(layout, widths, units, last_actions, time, available, obs)
    if state.shape[0] > 0:
        write_state(layout, widths, units, last_actions, time, state)
