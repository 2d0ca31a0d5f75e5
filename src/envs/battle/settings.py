"""``env_args`` of ``battle``: SMAC's names and meanings, and why some of SMAC's are not there."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from core.settings import Section
from envs.battle.maps import load_map
from envs.battle.simulator import LOOPS_PER_STEP

_ONE_OPPONENT = "the scripted opponent of battle has one strength (docs/battle.md)"
_NO_GAME = "battle runs without the game (--env-config=sc2 runs it)"
REFUSED = {
    "difficulty": _ONE_OPPONENT,
    "game_version": _NO_GAME,
    "window_size_x": _NO_GAME,
    "window_size_y": _NO_GAME,
    "replay_dir": "battle writes films, not replays: give save_replay=True",
    "replay_prefix": "battle writes films, not replays: give save_replay=True",
    "seed": "episodes take their seeds from the run: give seed=... without env_args",
    "continuing_episode": "an episode that reaches its limit is always cut, never ended: its value is bootstrapped",
    "heuristic_ai": "give --team agents=attack_nearest",
    "heuristic_rest": "give --team agents=attack_nearest",
    "debug": "battle has no debug messages",
}
"""SMAC's arguments that mean nothing here -> why."""


class BattleArgs(Section):
    """Settings of battle."""

    map_name: str = Field("3m", description="SMAC map")
    time_limit: int | None = Field(None, ge=1, description="steps of an episode; null: SMAC's limit of the map")
    step_mul: int = Field(LOOPS_PER_STEP, description="game loops per step; battle has SMAC's 8 alone")
    move_amount: float = Field(2, gt=0, le=16, description="distance of a move order")
    obs_all_health: bool = Field(True, description="health and shields of visible units in the observation")
    obs_own_health: bool = Field(True, description="own health in the observation (always, where obs_all_health)")
    obs_last_action: bool = Field(False, description="last actions of visible allies in the observation")
    obs_pathing_grid: bool = Field(False, description="whether eight points around are walkable, in the observation")
    obs_terrain_height: bool = Field(False, description="heights of these points and one's own, in the observation")
    obs_timestep_number: bool = Field(False, description="the part of the time that is over, in the observation")
    obs_instead_of_state: bool = Field(False, description="the state is all observations in a row")
    state_last_action: bool = Field(True, description="last actions in the state")
    state_timestep_number: bool = Field(False, description="the part of the time that is over, in the state")
    reward_sparse: bool = Field(False, description="1 for a win, -1 for a defeat, nothing else (scaled all the same)")
    reward_only_positive: bool = Field(True, description="losses of one's own do not count")
    reward_scale: bool = Field(True, description="scale the rewards to a sum of reward_scale_rate")
    reward_scale_rate: float = Field(20, gt=0, description="sum of the rewards of a won episode")
    reward_win: float = Field(200, description="bonus for a win, before scaling")
    reward_defeat: float = Field(0, description="bonus for a defeat, before scaling")
    reward_death_value: float = Field(10, description="bonus per killed enemy, before scaling")
    reward_negative_scale: float = Field(0.5, description="weight of losses of one's own where they count")

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, values: dict[str, Any]) -> dict[str, Any]:
        reasons = [f"battle has no env_args.{key}: {REFUSED[key]}" for key in values if key in REFUSED]
        if reasons:
            raise ValueError("; ".join(reasons))
        return values

    @field_validator("map_name")
    @classmethod
    def _known_map(cls, name: str) -> str:
        load_map(name)
        return name

    @field_validator("step_mul")
    @classmethod
    def _eight_loops(cls, loops: int) -> int:
        if loops != LOOPS_PER_STEP:
            raise ValueError(f"battle has {LOOPS_PER_STEP} game loops per step, as SMAC has")
        return loops

    @model_validator(mode="after")
    def _scalable(self) -> BattleArgs:
        if self.reward_scale and self.reward_win + self.reward_death_value < 0:
            raise ValueError("reward_scale=True needs reward_win and reward_death_value that are not negative")
        return self
