"""Reward and end of a battle, as SMAC defines them (oxwhirl/smac commit d6aab33f, starcraft2.py)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.compiling import lean_kernel
from envs.battle.layout import Layout
from envs.battle.units import HEAL

ONGOING, WON, LOST, DRAWN = range(4)


class RewardRule(NamedTuple):
    """How a step is rewarded; names and meaning are SMAC's, all before scaling but ``divisor``.

    Attributes:
        sparse: 1 for a win and -1 for a defeat, nothing else.
        only_positive: losses of one's own do not count.
        death_value: for a killed enemy (and against one's own).
        negative_scale: weight of one's own losses where they count.
        win, defeat: added at the end.
        divisor: what every reward is divided by.
    """

    sparse: bool = False
    only_positive: bool = True
    death_value: float = 10.0
    negative_scale: float = 0.5
    win: float = 200.0
    defeat: float = 0.0
    divisor: float = 1.0


def largest_return(layout: Layout, *, death_value: float = 10.0, win: float = 200.0) -> float:
    """Return SMAC's max_reward: all enemies killed without regeneration, and the battle won."""
    enemies = layout.traits[layout.n_allies :]
    return float(len(enemies) * death_value + win + enemies["max_health"].sum() + enemies["max_shield"].sum())


@lean_kernel
def remember(units: np.ndarray, before: np.ndarray) -> None:
    """Note health and shield of every unit of one battle, the dead with -1: float64 [U], overwritten."""
    for i in range(units.shape[0]):
        before[i] = units[i].health + units[i].shield if units[i].alive else -1.0


@lean_kernel
def outcome(layout: Layout, units: np.ndarray) -> int:
    """Return ONGOING, WON, LOST or DRAWN; on maps with medivacs, a side of which only a medivac is left has lost.

    The asymmetry is SMAC's: allies lose when no fighter is left, enemies when exactly one unit is, a medivac.
    """
    allies, fighters, enemies, enemy_medivacs = 0, 0, 0, 0
    for i in range(units.shape[0]):
        if not units[i].alive:
            continue
        medivac = layout.traits[i].effect == HEAL
        if i < layout.n_allies:
            allies += 1
            fighters += not medivac
        else:
            enemies += 1
            enemy_medivacs += medivac
    if (allies == 0 and enemies > 0) or (layout.has_medivac and fighters == 0):
        return LOST
    if (allies > 0 and enemies == 0) or (layout.has_medivac and enemies == 1 and enemy_medivacs == 1):
        return WON
    return DRAWN if allies == 0 else ONGOING


@lean_kernel
def reward(rule: RewardRule, n_allies: int, before: np.ndarray, units: np.ndarray, result: int) -> float:
    """Return a step's reward.

    The sum of what enemies lost in health and shield, net of what they regained, and ``death_value`` for each kill
    (its absolute value where only positive rewards count); otherwise minus the weighted losses of one's own. At the
    end ``win`` or ``defeat``. All divided by ``divisor``, in sparse rewards too.

    Args:
        rule: how steps are rewarded.
        n_allies: A.
        before: float64 [U], what :func:`remember` noted before the step.
        units: [U] of :data:`envs.battle.state.UNIT`, after it.
        result: of the step, see :func:`outcome`.
    """
    if rule.sparse:
        return (1.0 if result == WON else (-1.0 if result == LOST else 0.0)) / rule.divisor
    gain = 0.0
    loss = 0.0
    for i in range(units.shape[0]):
        if before[i] < 0.0:
            continue
        lost = before[i]
        if units[i].alive:
            lost -= units[i].health + units[i].shield
        else:
            lost += rule.death_value
        if i < n_allies:
            loss += lost * rule.negative_scale
        else:
            gain += lost
    total = abs(gain) if rule.only_positive else gain - loss
    if result == WON:
        total += rule.win
    elif result == LOST:
        total += rule.defeat
    return total / rule.divisor
