"""One game of StarCraft II inside a worker, through SMACv2's StarCraftCapabilityEnvWrapper. Must not import torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from core.errors import UserError
from envs.adapters.starcraft2_single import StarCraft2Single


class SMACv2Single(StarCraft2Single):
    """SMACv2's environment (commit 577ab5a2), which is SMAC's within a wrapper that draws the teams and their places.

    Its distributions have generators of their own without a seed, and its wrapper keeps notes in the configuration that
    it is given: so the former are seeded for every episode, and the latter is copied for every environment.
    """

    def __init__(self, *, game: str, arguments: dict[str, Any]) -> None:
        super().__init__(game=game, arguments=arguments)
        self._timed = False  # it shows the time in one entry, as it announces

    def _maker(self, arguments: dict[str, Any]) -> Callable[..., Any]:
        try:
            from smacv2.env import StarCraftCapabilityEnvWrapper
        except ImportError as error:
            raise UserError(f"SMACv2 cannot be imported: {type(error).__name__}: {error}") from error

        def make(**more: Any) -> Any:
            return StarCraftCapabilityEnvWrapper(**copy.deepcopy(arguments), **more)

        return make

    def _before_reset(self, seed: int) -> None:
        sources = np.random.SeedSequence(seed)
        for distribution in self._env.env_key_to_distribution_map.values():
            for part in _with_generators(distribution):
                part.rng = np.random.default_rng(sources.spawn(1)[0])

    def save_replay(self, folder: str) -> str:
        """Save what was played since the game's start; returns the file."""
        self._env.env.replay_dir = folder
        return super().save_replay(folder)


def _with_generators(distribution: Any) -> Iterator[Any]:
    """A distribution and those that it is made of, as far as they draw from a generator of their own."""
    if isinstance(getattr(distribution, "rng", None), np.random.Generator):
        yield distribution
    for part in vars(distribution).values():
        if type(part).__module__ == type(distribution).__module__:
            yield from _with_generators(part)
