"""The sum that is the first layer of a critic of actions, with its ReLU, as one sweep over memory each way."""

from __future__ import annotations

import numpy as np

from core.compiling import summing_kernel

ZERO = np.float32(0)  # a plain number would turn single precision into double


@summing_kernel
def sum_forward(base: np.ndarray, own: np.ndarray, change: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """relu(base + own + sum_u change_u columns_u) of every agent.

    Args:
        base: float32 [P, H], what a step's agents share.
        own: float32 [P, A, H], or [1, A, H] of all steps.
        change: float32 [P, A, U]; or [0, A, U], none.
        columns: float32 [A, U, H].
        out: float32 [P, A, H], is written.
    """
    n_agents, n_actions, size = columns.shape
    for row in range(len(base)):
        shared, place = base[row], row if len(own) > 1 else 0
        for agent in range(n_agents):
            mine, to = own[place, agent], out[row, agent]
            for k in range(size):
                to[k] = shared[k] + mine[k]
            if len(change) > 0:
                for action in range(n_actions):
                    much, column = change[row, agent, action], columns[agent, action]
                    for k in range(size):
                        to[k] += much * column[k]
            for k in range(size):
                to[k] = ZERO if to[k] < ZERO else to[k]  # NaN stays NaN


@summing_kernel
def sum_backward(
    out: np.ndarray,
    change: np.ndarray,
    columns: np.ndarray,
    grad: np.ndarray,
    of_base: np.ndarray,
    of_own: np.ndarray,
    of_change: np.ndarray,
    of_columns: np.ndarray,
    g: np.ndarray,
) -> None:
    """Gradients of :func:`sum_forward`.

    Args:
        out, change, columns: as there.
        grad: float32 [P, A, H], of ``out``.
        of_base: as ``base``, is written.
        of_own: as ``own``, zero on entry; [0, A, H] where it is not wanted.
        of_change: as ``change``, is written.
        of_columns: as ``columns``, zero on entry; [0, U, H] where it is not wanted.
        g: float32 [H], used up.
    """
    n_agents, n_actions, size = columns.shape
    for row in range(len(of_base)):
        shared, place = of_base[row], row if len(of_own) > 1 else 0
        for k in range(size):
            shared[k] = ZERO
        for agent in range(n_agents):
            o, given = out[row, agent], grad[row, agent]
            for k in range(size):
                g[k] = given[k] if o[k] > ZERO else ZERO
            for k in range(size):
                shared[k] += g[k]
            if len(of_own) > 0:
                mine = of_own[place, agent]
                for k in range(size):
                    mine[k] += g[k]
            if len(change) > 0:
                for action in range(n_actions):
                    column, total = columns[agent, action], ZERO
                    for k in range(size):
                        total += g[k] * column[k]
                    of_change[row, agent, action] = total
            if len(change) > 0 and len(of_columns) > 0:
                for action in range(n_actions):
                    much, to = change[row, agent, action], of_columns[agent, action]
                    for k in range(size):
                        to[k] += much * g[k]
