"""The mean action of an agent's neighbours (Yang et al. 2018, arXiv 1802.05438)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError
from core.row_batch import RowBatch
from core.settings import Section


class NeighbourSettings(Section):
    """Whose actions are averaged."""

    neighbours: Literal["all", "radius", "nearest"] = Field(
        "all",
        description="Living teammates whose last actions make the mean action: all, those within neighbour_radius, or "
        "the neighbour_count nearest.",
    )
    neighbour_radius: float | None = Field(
        None,
        gt=0,
        description="Of neighbours=radius: the farthest, in the world's units, between centres (battle: sight is 9).",
    )
    neighbour_count: int | None = Field(
        None, ge=1, description="How many are neighbours by neighbours=nearest; of equally near ones the first."
    )

    @model_validator(mode="after")
    def _what_is_needed(self) -> NeighbourSettings:
        for kind, key in (("radius", "neighbour_radius"), ("nearest", "neighbour_count")):
            value = getattr(self, key)
            if self.neighbours == kind and value is None:
                raise ValueError(f"neighbours={kind} needs {key}: give {key}=..., or neighbours=all")
            if self.neighbours != kind and value is not None:
                raise ValueError(f"{key}={value} belongs to neighbours={kind}: give both, or leave it out")
        return self


class MeanField:
    """Means of one-hot actions over living neighbours; oneself is none. Who has one action is dead.

    Neighbours are those of the row before which the actions were taken: who lives, and is near, when the mean is read.
    Where no neighbour lives the mean is zeros.

    Args:
        spec: the team's sizes.
        settings: see :class:`NeighbourSettings`.

    Raises:
        UserError: distances are asked for where places are not known.
    """

    def __init__(self, spec: TeamSpec, settings: NeighbourSettings) -> None:
        self.spec, self.settings = spec, settings
        if settings.neighbours != "all" and not spec.positions:
            raise UserError(
                f"neighbours={settings.neighbours}: this environment does not say where its agents are: give "
                "neighbours=all. (TeamSpec.positions of an environment of your own says it.)"
            )

    def __call__(self, last: Tensor, available: Tensor, state: Tensor) -> Tensor:
        """Mean actions [..., A, U] of one-hot last actions [..., A, U] (zeros before the first).

        Args:
            last: float32.
            available: bool [..., A, U].
            state: [..., S]; not read where all are neighbours.
        """
        living = available.sum(-1, keepdim=True) > 1  # [..., A, 1]
        if self.settings.neighbours == "all":
            return mean_of_others(last, living)
        near = self._near(state, living)
        return (near @ last) / near.sum(-1, keepdim=True).clamp(min=1)

    def of(self, batch: EpisodeBatch | RowBatch) -> Tensor:
        """Mean actions before every row of whole episodes: [B, T+1, A, U], or [1, R, A, U]."""
        return self(batch.last_actions("floats"), batch.available, batch.state)

    def _near(self, state: Tensor, living: Tensor) -> Tensor:
        """Who is whose neighbour, float32 [..., A, A]; living bool [..., A, 1]."""
        settings, (x_unit, y_unit) = self.settings, self.spec.position_units
        x, y = zip(*self.spec.positions, strict=True)
        across, along = state[..., list(x)] * x_unit, state[..., list(y)] * y_unit
        square = (across.unsqueeze(-1) - across.unsqueeze(-2)) ** 2 + (along.unsqueeze(-1) - along.unsqueeze(-2)) ** 2
        itself = torch.eye(self.spec.n_agents, dtype=torch.bool, device=state.device)
        square = square.masked_fill(itself | ~living.transpose(-1, -2), torch.inf)
        if settings.neighbour_radius is not None:
            return (square <= settings.neighbour_radius**2).float()
        nearest = square.argsort(stable=True, dim=-1)[..., : settings.neighbour_count]
        return torch.zeros_like(square).scatter_(-1, nearest, 1.0) * square.isfinite()


def mean_of_others(last: Tensor, living: Tensor) -> Tensor:
    """Means over all living others: one-hot [..., A, U] and bool [..., A, 1] -> [..., A, U]."""
    counts = living.float()
    acted = last * counts
    others = counts.sum(-2, keepdim=True) - counts
    return (acted.sum(-2, keepdim=True) - acted) / others.clamp(min=1)
