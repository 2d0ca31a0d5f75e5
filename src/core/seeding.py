"""Random streams: one per purpose, none shared between neighbouring seeds.

NumPy's SeedSequence mixes the run's seed with a spawn key, so seeds 1 and 2 have nothing in common
(``seed + i`` would give neighbouring runs the same streams).
"""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = (
    "init",
    "train_env",
    "test_env",
    "explore",
    "test_policy",
    "learner",
    "replay",
    "render",
    "seps_env",
    "seps",
)


def _sequence(seed: int, purpose: str, *path: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *path))


def episode_seed(seed: int, purpose: str, episode: int) -> int:
    """Return the uint64 seed of one episode; the same for every number of environments."""
    return int(_sequence(seed, purpose, episode).generate_state(1, np.uint64)[0])


def torch_generator(seed: int, purpose: str, *path: int, device: str = "cpu") -> torch.Generator:
    """Return a torch generator of its own for a purpose (and e.g. a team's index)."""
    state = _sequence(seed, purpose, *path).generate_state(1, np.uint64)[0]
    return torch.Generator(device=device).manual_seed(int(state) % 2**63)


def numpy_generator(seed: int, purpose: str, *path: int) -> np.random.Generator:
    """Return a NumPy generator of its own for a purpose."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, purpose, *path)))
