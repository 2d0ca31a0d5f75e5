"""The random streams that kernels draw from."""

import numpy as np

from envs import rng


def test_random_stream_is_splitmix64():
    assert rng.mix(np.uint64((1234567 + 0x9E3779B97F4A7C15) % 2**64)) == 6457827717110365317
    streams = np.array([1234567, 1234567], np.uint64)
    assert rng.uniform(streams, 1, 0.0, 1.0) == (6457827717110365317 >> 11) / 2**53
    assert rng.uniform(streams, 1, 0.0, 1.0) == (3203168211198807973 >> 11) / 2**53
    assert streams[0] == 1234567


def test_streams_of_neighbouring_seeds_are_uniform_and_uncorrelated():
    streams = np.zeros(2, np.uint64)
    firsts = np.zeros((2000, 2))
    for seed in range(2000):
        rng.start_stream(streams, 0, np.uint64(seed))
        firsts[seed] = rng.uniform(streams, 0, -1.0, 1.0), rng.uniform(streams, 0, -1.0, 1.0)
    assert np.abs(firsts.mean(axis=0)).max() < 0.05
    assert np.abs(firsts.var(axis=0) - 1 / 3).max() < 0.02
    assert abs(np.corrcoef(firsts[:-1, 0], firsts[1:, 0])[0, 1]) < 0.08
    assert abs(np.corrcoef(firsts[:, 0], firsts[:, 1])[0, 1]) < 0.08
