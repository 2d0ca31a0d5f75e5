"""The squared error of values that were chosen, and its gradient, in one sweep."""

from __future__ import annotations

import numpy as np

from core.compiling import summing_kernel

TWO = np.float32(2)  # a plain number would turn single precision into double


@summing_kernel
def squared_errors(q: np.ndarray, actions: np.ndarray, target: np.ndarray, made: np.ndarray, of_q: np.ndarray) -> float:
    """Sum of (value - target)^2; a row's value is the sum over agents where it has one target, else every agent's own.

    Args:
        q: float32 [P, A, U].
        actions: int64 [P, A].
        target: float32 [P, 1] or [P, A].
        made: as ``target``, the values are written.
        of_q: float32 [P, A, U], zero on entry; the gradient of the mean is written.
    """
    n_rows, n_agents, _ = q.shape
    summed, total = target.shape[1] < n_agents, 0.0
    scale = TWO / np.float32(target.size)
    for row in range(n_rows):
        if summed:
            value = np.float32(0)
            for agent in range(n_agents):
                value += q[row, agent, actions[row, agent]]
            made[row, 0] = value
        for agent in range(n_agents):
            place, action = 0 if summed else agent, actions[row, agent]
            if not summed:
                made[row, agent] = q[row, agent, action]
            error = made[row, place] - target[row, place]
            of_q[row, agent, action] = scale * error
            if agent == place:
                total += np.float64(error * error)
    return total
