"""Agents with several sub-policies each; one is drawn for every agent and episode (Lowe et al. 2017, section 4.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from controllers.basic_controller import EVERY, BasicController, ControllerSettings
from controllers.graphs import Graph
from core.data import EpisodeBatch, TeamStep
from core.errors import UserError
from modules.ensemble import Ensemble


class EnsembleSettings(ControllerSettings):
    """What a controller of ensembles reads."""

    policy_ensemble: int = Field(
        1, ge=1, le=1000, description="Sub-policies of every agent; each draws one at the start of an episode."
    )


class EnsembleController(BasicController):
    """As :class:`BasicController`, with ``policy_ensemble`` sub-policies for each agent, tests included."""

    Settings = EnsembleSettings
    FORGOTTEN = BasicController.FORGOTTEN | {"_played", "_fresh"}
    settings: EnsembleSettings

    @property
    def n_policies(self) -> int:  # type: ignore[override]
        """K."""
        return self.settings.policy_ensemble

    def make_agents(self) -> Any:
        """One sub-policy is as :class:`BasicController` has it."""
        if self.n_policies == 1:
            return super().make_agents()
        return Ensemble(self.make_networks, self.n_policies).to(self.device)

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        super().begin(n_envs)
        self._played = torch.zeros(n_envs, self.spec.n_agents, dtype=torch.int64, device=self.device)
        self._fresh = np.ones(n_envs, bool)

    def restart(self, slots: np.ndarray) -> None:
        """Forget the history of these slots; their agents draw anew."""
        super().restart(slots)
        self._fresh[slots] = True

    def act(self, step: TeamStep, *, t_env: int | None, greedy_policy: bool = False) -> np.ndarray:
        """See :meth:`BasicController.act`; in the first step of an episode every agent draws its sub-policy."""
        if self.n_policies > 1 and self._fresh.any():
            generator = self.generators["test_policy" if t_env is None else "explore"]
            drawn = torch.randint(self.n_policies, self._played.shape, generator=generator, device=self.device)
            fresh = torch.from_numpy(self._fresh).to(self.device).unsqueeze(-1)
            self._played = torch.where(fresh, drawn, self._played)
            self._fresh[:] = False
        return super().act(step, t_env=t_env, greedy_policy=greedy_policy)

    def played(self) -> np.ndarray | None:
        """The sub-policies of the present episodes, int64 [N, A]; None where every agent has one."""
        return None if self.n_policies == 1 else self._played.cpu().numpy()

    def _choose(self, available: Tensor, select: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        if self.n_policies == 1:
            return super()._choose(available, select)
        values, self._hidden = self.agents.step(self._inputs, self._hidden, self._played)
        return select(values, available)

    def values(self, agents: Any, inputs: Tensor, batch: EpisodeBatch, rows: slice = EVERY) -> Tensor:
        """See :meth:`BasicController.values`; of the sub-policies that were played."""
        if self.n_policies == 1:
            return super().values(agents, inputs, batch, rows)
        assert batch.policies is not None, "the runner keeps what was played"
        packing = batch.packing if rows == EVERY else batch.step_packing
        return agents(inputs[:, rows], batch.policies, packing=packing)

    def known_policy(self, batch: EpisodeBatch, *, t_env: int) -> Tensor:
        """See :meth:`BasicController.known_policy`; the mean of all sub-policies, of which each is drawn as often."""
        if self.n_policies == 1:
            return super().known_policy(batch, t_env=t_env)
        inputs = self.inputs(batch)
        each = [
            self.acting_policy(batch, t_env=t_env, values=member(inputs, packing=batch.packing))
            for member in self.agents.members
        ]
        return torch.stack(each).logsumexp(0) - math.log(self.n_policies)

    def graphs(self) -> list[Graph]:
        """As :meth:`BasicController.graphs`.

        Raises:
            UserError: several sub-policies.
        """
        if self.n_policies > 1:
            raise UserError(
                f"policy_ensemble={self.n_policies}: every agent draws one of {self.n_policies} policies at the start "
                "of an episode, which a single graph cannot: export a run with policy_ensemble=1."
            )
        return super().graphs()
