"""Bootstrap intervals, of seeds as of episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    return stratified([values], center)


def stratified(samples: Sequence[np.ndarray], statistic: Callable[..., np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile bootstrap interval of a statistic of several samples, each of which is resampled by itself.

    Args:
        samples: [S_i, K] each, what is resampled first: the seeds of every task (Agarwal et al. 2021).
        statistic: called with the samples and ``axis``.

    Returns:
        low [K] and high [K]; both NaN where a sample has fewer than two rows.
    """
    columns = samples[0].shape[1]
    if min(map(len, samples)) < 2:
        return np.full(columns, np.nan), np.full(columns, np.nan)
    from scipy.stats import bootstrap

    found = bootstrap(
        tuple(samples), statistic, axis=0, vectorized=True, method="percentile", confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES, batch=100, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return found.low, found.high
