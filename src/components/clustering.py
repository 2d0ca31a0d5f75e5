"""Which of several things that were each measured a few times are the same."""

from __future__ import annotations

import numpy as np


def clusters(points: np.ndarray, *, threshold: float) -> tuple[int, ...]:
    """Group A things by R measurements of each; any number of groups from 1 to A may come out.

    Measurements of one thing differ by noise alone, so their distances are the scale: average linkage joins the two
    nearest groups while the mean distance between their measurements is at most ``threshold`` times the mean distance
    between two measurements of one thing. Numbers of groups need no search, nothing is random, and with the order of
    the things only the names of the groups change. (An index as Davies and Bouldin's knows no such scale: it can choose
    neither one group nor A, and of few things it prefers groups of one, which have no scatter.)

    Args:
        points: [A, R, D], R at least 2.
        threshold: above 1.

    Returns:
        the number of everything's group; they are numbered by their first members.
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # slow to import, so only when asked for
    from scipy.spatial.distance import cdist, squareform

    n, repeats, _ = points.shape
    if n == 1:
        return (0,)
    flat = points.reshape(n * repeats, -1).astype(np.float64)
    distance = cdist(flat, flat).reshape(n, repeats, n, repeats).sum((1, 3)) / repeats**2
    noise = np.diagonal(distance).mean() * repeats / (repeats - 1)  # those of a measurement to itself do not count
    np.fill_diagonal(distance, 0.0)
    scaled = distance / max(noise, np.finfo(np.float64).tiny)
    names = fcluster(linkage(squareform(scaled, checks=False), "average"), threshold, "distance")
    order = list(dict.fromkeys(names.tolist()))
    return tuple(order.index(name) for name in names.tolist())
