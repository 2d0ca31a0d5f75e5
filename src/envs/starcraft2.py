"""StarCraft II micromanagement (SMAC, Samvelyan et al., arXiv 1902.04043): its settings, not yet the game."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import ConfigDict, Field

from core.data import EnvSpec, TimeStep
from core.errors import UserError
from core.settings import Section


class StarCraft2Args(Section):
    """``env_args`` of ``sc2``: SMAC's names; any other key of SMAC's StarCraft2Env is accepted as well."""

    model_config = ConfigDict(extra="allow")

    map_name: str = Field("3m", description="SMAC map")
    difficulty: str = Field("7", description="opponent's strength, 1 to A; 7 is very hard")
    step_mul: int = Field(8, ge=1, description="game loops per step")
    move_amount: float = Field(2, gt=0, description="distance of a move order")
    reward_sparse: bool = Field(False, description="1 for a win, -1 for a defeat, nothing else")
    reward_only_positive: bool = Field(True, description="no penalty for losses of one's own")
    reward_scale: bool = Field(True, description="scale the rewards to a sum of reward_scale_rate")
    reward_scale_rate: float = Field(20, gt=0, description="sum of the rewards of a won episode")
    reward_win: float = Field(200, description="bonus for a win, before scaling")
    reward_defeat: float = Field(0, description="bonus for a defeat, before scaling")
    reward_death_value: float = Field(10, description="bonus per killed enemy, before scaling")
    obs_last_action: bool = Field(False, description="last actions of visible allies in the observation")
    obs_own_health: bool = Field(True, description="own health in the observation")
    obs_pathing_grid: bool = Field(False, description="walkable surroundings in the observation")
    obs_terrain_height: bool = Field(False, description="heights of the surroundings in the observation")
    state_last_action: bool = Field(True, description="last actions in the state")
    replay_dir: str = Field("", description="where the game saves replays")
    replay_prefix: str = Field("", description="how their names start")


class StarCraft2:
    """Placeholder with the real settings: building it says what the real game needs.

    Raises:
        UserError: always, in this version.
    """

    Args = StarCraft2Args
    spec: EnvSpec
    n_envs: int

    def __init__(self, n_envs: int, args: StarCraft2Args) -> None:
        raise UserError(
            f"--env-config=sc2 (map {args.map_name}) does not run yet: StarCraft II arrives in a later version. "
            "It will need the game and its maps (install_sc2.sh) and the package of github.com/oxwhirl/smac; "
            "PyPI's 'smac' is an unrelated package."
        )

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Cannot be reached: it cannot be built."""
        raise NotImplementedError

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Cannot be reached: it cannot be built."""
        raise NotImplementedError

    def render(self, slot: int = 0) -> np.ndarray:
        """Cannot be reached: it cannot be built."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing was started."""
