"""A state value's loss and its gradient in one sweep."""

from __future__ import annotations

import numpy as np

from core.compiling import vector_kernel

ZERO, ONE, HALF, TWO = np.float32(0), np.float32(1), np.float32(0.5), np.float32(2)  # plain ones would be doubles


@vector_kernel
def value_loss(
    value: np.ndarray,
    target: np.ndarray,
    old: np.ndarray,
    weights: np.ndarray,
    clip_range: np.float32,
    delta: np.float32,
    grad: np.ndarray,
    means: np.ndarray,
) -> None:
    """Mean over the entries that count of what ``estimators.value_losses`` has.

    Args:
        value, target, old: float32 [N].
        weights: bool [N], what counts.
        clip_range: negative where nothing is clipped.
        delta: Huber's; negative for squares.
        grad: float32 [N], is written: gradient of the value, times the number that counts.
        means: float64 [2], is written: the loss, and how many entries count.
    """
    total, n = 0.0, 0
    for k in range(len(value)):
        if not weights[k]:
            grad[k] = ZERO
            continue
        loss, slope = _of_error(value[k] - target[k], delta)
        if clip_range >= ZERO:
            moved = value[k] - old[k]
            inside = -clip_range <= moved <= clip_range
            near = old[k] + (moved if inside or moved != moved else (clip_range if moved > ZERO else -clip_range))
            other, of_other = _of_error(near - target[k], delta)
            if not other <= loss:  # NaN is the greatest
                loss, slope = other, of_other if inside else ZERO
        total, n = total + loss, n + 1
        grad[k] = slope
    means[0], means[1] = total / max(n, 1), max(n, 1)


@vector_kernel
def _of_error(error: np.float32, delta: np.float32) -> tuple[np.float32, np.float32]:
    """Loss and slope of one error."""
    if delta < ZERO:
        return error * error, TWO * error
    size = abs(error)
    if size <= delta:
        return HALF * error * error, error
    return delta * (size - HALF * delta), delta if error > ZERO else (-delta if error < ZERO else error)
