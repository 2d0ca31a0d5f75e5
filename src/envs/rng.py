"""One random stream per world, inside the kernels: a world's episode depends on its seed alone.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): the state
is one uint64 that grows by a fixed odd number, and every output is a hash of it. Seeds are hashed before
they become states, so that neighbouring seeds start far from one another.
"""

from __future__ import annotations

import numpy as np

from core.compiling import kernel

# NumPy's uint64 everywhere: Numba makes float64 of uint64 + int64.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53


@kernel
def mix(z: np.uint64) -> np.uint64:
    """Hash 64 bits (SplitMix64's output function, a bijection)."""
    z = (z ^ (z >> _S30)) * _FACTOR_1
    z = (z ^ (z >> _S27)) * _FACTOR_2
    return z ^ (z >> _S31)


@kernel
def start_stream(streams: np.ndarray, world: int, seed: np.uint64) -> None:
    """Start the stream of one world; ``streams`` is uint64 [N]."""
    streams[world] = mix(seed + _GAMMA)


@kernel
def uniform(streams: np.ndarray, world: int, low: float, high: float) -> float:
    """Draw from U[low, high) with 53 random bits and advance the world's stream; ``streams`` is uint64 [N]."""
    streams[world] += _GAMMA
    unit = (mix(streams[world]) >> _S11) * _TO_UNIT
    return low + (high - low) * unit
