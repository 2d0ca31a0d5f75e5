"""A scripted player as a controller: it acts in a team's place and never learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.data import TeamStep
from core.protocols import Script


class ScriptedController:
    """Acts by a script, the same in training, in sampled and in greedy tests.

    Args:
        script: the rule.
        generators: random streams "explore" and "test_policy".
    """

    n_policies = 1

    def __init__(self, script: Script, *, generators: Mapping[str, np.random.Generator]) -> None:
        self.script = script
        self.generators = generators

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        self.script.begin(n_envs)

    def restart(self, slots: np.ndarray) -> None:
        """Forget what was kept of these slots (int64 [K])."""
        self.script.restart(slots)

    def act(self, step: TeamStep, *, t_env: int | None, greedy_policy: bool = False) -> np.ndarray:
        """Choose actions for all N slots: int64 [N, A]; ``t_env`` is None in tests."""
        stream = self.generators["test_policy" if t_env is None else "explore"]
        return self.script.act(step, stream)

    def played(self) -> None:
        """It has no sub-policies."""

    def state_dict(self) -> dict[str, Any]:
        """Random streams."""
        return {name: generator.bit_generator.state for name, generator in self.generators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for name, generator in self.generators.items():
            generator.bit_generator.state = state[name]
