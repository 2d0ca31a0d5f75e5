"""Bootstrap intervals, of seeds as of episodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95


def interval(values: np.ndarray, center: Callable[..., np.ndarray] = np.mean) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile bootstrap interval, column by column; the resamples are the same at every call.

    Args:
        values: [S, K], what is resampled (seeds, episodes) first.
        center: the statistic, called with ``axis``.

    Returns:
        low [K] and high [K]; both NaN with fewer than two rows.
    """
    if len(values) < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,), center, axis=0, vectorized=True, method="percentile", confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES, batch=100, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return found.low, found.high
