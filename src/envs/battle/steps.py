"""Kernels of :class:`envs.battle.battle.Battle`: actions to orders, rewards and ends, over all active battles."""

from __future__ import annotations

import numpy as np

from core.compiling import lean_kernel
from envs.battle.features import show
from envs.battle.layout import Layout, Sizes
from envs.battle.outcome import ONGOING, WON, RewardRule, outcome, remember, reward
from envs.battle.state import ATTACK, HEAL_UNIT, KEEP, MOVE, STOP
from envs.battle.units import HEAL


@lean_kernel
def bad_action(actions: np.ndarray, active: np.ndarray, available: np.ndarray) -> tuple[int, int]:
    """Return slot and agent of the first action that is not available, or (-1, -1).

    Args:
        actions: int64 [N, A].
        active: bool [N].
        available: bool [N, A, U].
    """
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        for i in range(actions.shape[1]):
            action = actions[k, i]
            if action < 0 or action >= available.shape[2] or not available[k, i, action]:
                return k, i
    return -1, -1


@lean_kernel
def translate(
    layout: Layout,
    actions: np.ndarray,
    active: np.ndarray,
    units: np.ndarray,
    orders: np.ndarray,
    last_actions: np.ndarray,
    before: np.ndarray,
) -> None:
    """Make orders of actions in all active battles, and note what rewards and observations need of them.

    Args:
        layout: of the map.
        actions: int64 [N, A], available ones.
        active: bool [N].
        units: [N, U] of :data:`envs.battle.state.UNIT`.
        orders: [N, A] of :data:`envs.battle.state.ORDER`, overwritten.
        last_actions: int64 [N, A], overwritten.
        before: float64 [N, U], health and shield, overwritten.
    """
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        remember(units[k], before[k])
        for i in range(layout.n_allies):
            action = actions[k, i]
            last_actions[k, i] = action
            order = orders[k, i]
            order.x, order.y = units[k, i].x, units[k, i].y
            if action == 0:
                order.kind = KEEP
            elif action == 1:
                order.kind = STOP
            elif action < 6:
                order.kind = MOVE
                length = layout.move_amount if action in (2, 4) else -layout.move_amount
                if action < 4:
                    order.y += length
                else:
                    order.x += length
            elif layout.traits[i].effect == HEAL:
                order.kind = HEAL_UNIT
                order.target = action - 6
            else:
                order.kind = ATTACK
                order.target = layout.n_allies + action - 6


@lean_kernel
def finish_step(
    layout: Layout,
    rule: RewardRule,
    active: np.ndarray,
    units: np.ndarray,
    before: np.ndarray,
    time: np.ndarray,
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    battle_won: np.ndarray,
    dead_allies: np.ndarray,
    dead_enemies: np.ndarray,
) -> None:
    """Write rewards, ends and infos of all active battles after their game loops.

    Args:
        layout: of the map.
        rule: how steps are rewarded.
        active: bool [N].
        units: [N, U] of :data:`envs.battle.state.UNIT`.
        before: float64 [N, U], see :func:`translate`.
        time: int64 [N], steps so far; one more is counted.
        rewards: float32 [N, 1], overwritten.
        terminated, truncated: bool [N], overwritten.
        battle_won, dead_allies, dead_enemies: float32 [N], overwritten.
    """
    for k in range(active.shape[0]):
        if not active[k]:
            continue
        time[k] += 1
        result = outcome(layout, units[k])
        rewards[k, 0] = reward(rule, layout.n_allies, before[k], units[k], result)
        terminated[k] = result != ONGOING
        truncated[k] = result == ONGOING and time[k] >= layout.limit
        battle_won[k] = result == WON
        dead_allies[k] = 0
        dead_enemies[k] = 0
        for i in range(units.shape[1]):
            if not units[k, i].alive:
                if i < layout.n_allies:
                    dead_allies[k] += 1
                else:
                    dead_enemies[k] += 1


@lean_kernel
def show_all(
    layout: Layout,
    widths: Sizes,
    slots: np.ndarray,
    units: np.ndarray,
    last_actions: np.ndarray,
    time: np.ndarray,
    obs: np.ndarray,
    state: np.ndarray,
    available: np.ndarray,
) -> None:
    """Write observations, state and available actions of the slots where ``slots`` (bool [N]) holds.

    Arguments as in :func:`envs.battle.features.show`, with a first axis of N battles.
    """
    for k in range(slots.shape[0]):
        if slots[k]:
            show(layout, widths, units[k], last_actions[k], time[k], obs[k], state[k], available[k])
