"""Groups by the noise of repeated measurements: the right number of them, from one to as many as there are things."""

import numpy as np
import pytest

from components.clustering import clusters


def measured(centres, *, noise=1.0, repeats=4, dim=10, seed=0):
    """Points [A, R, D] around centres, which are numbers or places."""
    rng = np.random.default_rng(seed)
    places = np.zeros((len(centres), 1, dim))
    places[..., 0] = np.reshape(centres, (-1, 1))
    return places + noise * rng.normal(size=(len(centres), repeats, dim))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n", [2, 4, 6, 8, 12, 27])
def test_two_types(n, seed):
    """Of 40 such draws the reference's index finds 0 with 4 agents, 29 with 6, 33 with 8, 31 with 12."""
    types = tuple(k * 2 // n for k in range(n))
    assert clusters(measured(15.0 * np.array(types), seed=seed), threshold=2.0) == types


@pytest.mark.parametrize("seed", range(10))
def test_three_types_one_of_them_of_one_agent(seed):
    types = (0, 0, 1, 1, 1, 1, 2)
    assert clusters(measured(12.0 * np.array(types), seed=seed), threshold=2.0) == types


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n", [1, 2, 3, 5, 12, 27])
def test_alike(n, seed):
    assert clusters(measured([0.0] * n, seed=seed), threshold=2.0) == (0,) * n


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_all_different(n):
    assert clusters(measured(15.0 * np.arange(n)), threshold=2.0) == tuple(range(n))


def test_groups_of_one_are_not_preferred():
    """The example that the reference's index splits into three."""
    assert clusters(measured([0.0, 0.1, 5.0, 5.1], noise=0.2, dim=2), threshold=2.0) == (0, 0, 1, 1)


def test_without_noise():
    assert clusters(np.zeros((3, 2, 4)), threshold=2.0) == (0, 0, 0)
    assert clusters(measured([1.0, 2.0, 1.0], noise=0.0), threshold=2.0) == (0, 1, 0)


def test_the_order_of_agents_changes_names_alone():
    rng = np.random.default_rng(0)
    types = np.array([0, 1, 0, 2, 2, 1, 0])
    points = measured(12.0 * types)
    for _ in range(5):
        order = rng.permutation(len(types))
        names = {old: new for new, old in enumerate(dict.fromkeys(types[order].tolist()))}
        assert clusters(points[order], threshold=2.0) == tuple(names[kind] for kind in types[order].tolist())


def test_the_threshold_is_a_multiple_of_the_noise():
    points = measured([0.0, 10.0], dim=1, repeats=200)
    ratio = 10 / (2 / np.sqrt(np.pi))  # mean distance of two standard normal numbers
    assert clusters(points, threshold=0.9 * ratio) == (0, 1)
    assert clusters(points, threshold=1.1 * ratio) == (0, 0)
    assert clusters(3 * points, threshold=0.9 * ratio) == (0, 1)
