"""The controller of mean field Q-learning: networks that read their neighbours' mean action, Boltzmann policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from components.action_selectors import ActionSelector, boltzmann
from components.mean_field import MeanField, NeighbourSettings
from components.schedules import LinearSchedule
from controllers.basic_controller import BasicController, ControllerSettings
from controllers.graphs import Graph, MeanFieldGraph
from core.data import EpisodeBatch, TeamSpec, TeamStep
from core.errors import UserError
from core.kinds import Kind
from core.row_batch import RowBatch


class MeanFieldControllerSettings(NeighbourSettings, ControllerSettings):
    """What the controller of mean field Q-learning reads."""

    action_selector: Literal["boltzmann"] = Field(  # type: ignore[assignment]
        "boltzmann", description="Draws from the softmax of Q / temperature."
    )
    temperature_start: float = Field(1.0, ge=1e-6, description="Temperature of the policy at the start.")
    temperature_finish: float = Field(0.1, ge=1e-6, description="... and after temperature_anneal_time.")
    temperature_anneal_time: int = Field(200_000, ge=0, description="Environment steps of linear annealing.")
    evaluation_temperature: float = Field(0.1, ge=1e-6, description="... in sampled tests.")

    def frozen(self) -> dict[str, float]:
        """The temperature is that of sampled tests too."""
        temperature = self.evaluation_temperature
        return super().frozen() | {"temperature_start": temperature, "temperature_finish": temperature}


class MeanFieldController(BasicController):
    """Agents that read, behind all else, the mean of what their living neighbours did in the step before.

    Args:
        spec, settings, generators, device: see :class:`BasicController`.

    Attributes:
        temperature: its schedule.

    Raises:
        UserError: see :class:`MeanField`.
    """

    Settings = MeanFieldControllerSettings
    FORGOTTEN: ClassVar[frozenset[str]] = BasicController.FORGOTTEN | {"_executed"}
    settings: MeanFieldControllerSettings

    def __init__(
        self,
        spec: TeamSpec,
        settings: MeanFieldControllerSettings,
        *,
        generators: Mapping[str, torch.Generator],
        device: torch.device | str = "cpu",
    ) -> None:
        self.field = MeanField(spec, settings)
        start, finish = settings.temperature_start, settings.temperature_finish
        self.temperature = LinearSchedule(start=start, finish=finish, steps=settings.temperature_anneal_time)
        super().__init__(spec, settings, generators=generators, device=device)

    @property
    def appended(self) -> int:
        """The mean action."""
        return self.spec.n_actions

    @property
    def input_kind(self) -> Kind:
        """Bytes have no room for fractions."""
        return "floats"

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; nobody has acted."""
        super().begin(n_envs)
        self._executed = torch.zeros(n_envs, self.spec.n_agents, self.spec.n_actions, device=self.device)

    @torch.inference_mode()
    def restart(self, slots: np.ndarray) -> None:
        """Forget the history of these slots, and what was done there."""
        super().restart(slots)
        self._executed[torch.from_numpy(slots).to(self.device)] = 0

    def _see(self, step: TeamStep, available: Tensor) -> None:
        super()._see(step, available)
        state = torch.from_numpy(step.state).to(self.device)
        self._inputs[..., -self.appended :] = self.field(self._executed, available, state)

    def _remember(self, actions: Tensor) -> None:
        super()._remember(actions)
        self._executed.zero_().scatter_(-1, actions.unsqueeze(-1), 1.0)

    def _parts(self, batch: EpisodeBatch | RowBatch, group: int | None) -> list[Tensor]:
        assert group is None, "a group's own episodes do not say what the others did"
        return [*super()._parts(batch, group), self.field.of(batch)]

    def _selector(self, t_env: int | None) -> ActionSelector:
        temperature = self.settings.evaluation_temperature if t_env is None else self.temperature(t_env)
        return partial(boltzmann, temperature=temperature)

    def logits_of(self, values: Tensor, t_env: int) -> Tensor:
        """Logits of the Boltzmann policy of these Q-values at ``t_env`` (eq. 12)."""
        return values / self.temperature(t_env)

    def graphs(self) -> list[Graph]:
        """One, of the whole team, in which an agent's input has the others' last actions.

        Raises:
            UserError: who is near follows from the state, which files are not given.
        """
        if self.settings.neighbours != "all":
            raise UserError(
                f"neighbours={self.settings.neighbours}: who is near is read from the state, which files for other "
                "programs are not given. Policies with neighbours=all can be exported."
            )
        layout = replace(self._layout(), mean_action=True)
        memory = self.settings.hidden_dim if self.agents.recurrent else 0
        return [MeanFieldGraph(self.agents, list(range(self.spec.n_agents)), layout, state_size=memory)]
