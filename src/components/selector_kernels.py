"""Choices among available actions as one sweep over memory; three operators, and a dozen, take five times as long."""

from __future__ import annotations

import numpy as np

from core.compiling import lean_kernel


@lean_kernel
def best(values: np.ndarray, available: np.ndarray, row: int, n: int) -> int:
    """The first of the greatest of the available ones among the first n values of a row."""
    found, top = -1, np.float32(-np.inf)
    for action in range(n):  # without branches, which nobody could predict
        value = values[row, action]
        better = available[row, action] & ((value > top) | (found < 0))
        found, top = (action, value) if better else (found, top)
    return max(found, 0)


@lean_kernel
def choose_best(values: np.ndarray, available: np.ndarray, out: np.ndarray) -> None:
    """The best available action of every row: float32 and bool [N, U] -> int64 [N]."""
    for row in range(len(out)):
        out[row] = best(values, available, row, available.shape[1])


@lean_kernel
def choose_epsilon_greedy(
    values: np.ndarray, available: np.ndarray, noise: np.ndarray, epsilon: np.float32, out: np.ndarray
) -> None:
    """As :func:`choose_best`; where the last of a row's noise, float32 [N, U+1], is below epsilon, by the others."""
    n_actions = available.shape[1]
    for row in range(len(out)):
        source = noise if noise[row, n_actions] < epsilon else values
        out[row] = best(source, available, row, n_actions)


@lean_kernel
def values_of_best(judged: np.ndarray, values: np.ndarray, available: np.ndarray, out: np.ndarray) -> None:
    """What ``values`` say of :func:`best` by ``judged``: float32 [N, U] twice and bool [N, U] -> float32 [N]."""
    for row in range(len(out)):
        out[row] = values[row, best(judged, available, row, available.shape[1])]
