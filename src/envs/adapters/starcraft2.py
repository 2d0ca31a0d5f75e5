"""StarCraft II micromanagement: the package SMAC (Samvelyan et al., arXiv 1902.04043) and the game itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from envs.adapters.starcraft2_needs import check_needs
from envs.battle.maps import load_map, map_names
from envs.workers.worker import WorkerArgs, WorkerVecEnv
from envs.workers.worker_process import REPLAY


class StarCraft2Args(WorkerArgs):
    """``env_args`` of ``sc2``: the arguments of SMAC's StarCraft2Env, with its names and values.

    Three are not offered: ``seed`` (every game gets one of its own from the run's seed), ``continuing_episode`` (a time
    limit is always told apart from an end) and ``debug``.
    """

    map_name: str = Field("3m", description="SMAC map")
    difficulty: str = Field("7", pattern="^[1-9A]$", description="opponent's strength, 1 to 9 and A; 7 is very hard")
    game_version: str | None = Field(None, description="version of the game, e.g. 4.10; null: the newest one there")
    step_mul: int = Field(8, ge=1, description="game loops per step")
    move_amount: float = Field(2, gt=0, description="distance of a move order")
    obs_all_health: bool = Field(True, description="health of visible units in the observation")
    obs_own_health: bool = Field(True, description="own health in the observation, also without obs_all_health")
    obs_last_action: bool = Field(False, description="last actions of visible allies in the observation")
    obs_pathing_grid: bool = Field(False, description="walkable surroundings in the observation")
    obs_terrain_height: bool = Field(False, description="heights of the surroundings in the observation")
    obs_instead_of_state: bool = Field(False, description="all observations in a row as the state")
    obs_timestep_number: bool = Field(False, description="share of the time limit that is over, in the observation")
    state_last_action: bool = Field(True, description="last actions in the state")
    state_timestep_number: bool = Field(False, description="share of the time limit that is over, in the state")
    reward_sparse: bool = Field(False, description="1 for a win, -1 for a defeat, nothing else")
    reward_only_positive: bool = Field(True, description="no penalty for losses of one's own")
    reward_negative_scale: float = Field(0.5, description="weight of that penalty")
    reward_scale: bool = Field(True, description="scale the rewards to a sum of reward_scale_rate")
    reward_scale_rate: float = Field(20, gt=0, description="sum of the rewards of a won episode")
    reward_win: float = Field(200, description="bonus for a win, before scaling")
    reward_defeat: float = Field(0, description="bonus for a defeat, before scaling")
    reward_death_value: float = Field(10, description="bonus per killed enemy, before scaling")
    heuristic_ai: bool = Field(False, description="SMAC's heuristic plays in place of the agents (to measure it)")
    heuristic_rest: bool = Field(False, description="hold that heuristic to the agents' available actions")
    window_size_x: int = Field(1920, ge=1, description="width of the game's window (not on Linux)")
    window_size_y: int = Field(1200, ge=1, description="height of the game's window (not on Linux)")
    replay_dir: str = Field("", description="where replays are saved; empty: results/replays")
    replay_prefix: str = Field("", description="how their names start; empty: the map")


class StarCraft2(WorkerVecEnv):
    """N games in worker processes, each started at its slot's first reset.

    The time limit truncates, the end of the battle terminates. A game that crashes costs its episode (``failed``) and
    is started anew at the next reset, together with SMAC's environment. A game takes its seed when it is started:
    later episodes of the slot go on in the same game and depend on what was played before.

    Raises:
        UserError: game, maps or packages are missing or do not fit together; says what mends it.
    """

    Args: ClassVar[type[StarCraft2Args]] = StarCraft2Args

    @staticmethod
    def package(args: StarCraft2Args) -> str:
        """Return the name of the package that has the environment."""
        return "smac"

    def __init__(self, n_envs: int, args: StarCraft2Args) -> None:
        folder = check_needs(args.map_name)
        arguments = args.model_dump(exclude=set(WorkerArgs.model_fields))
        self._replay_dir = arguments.pop("replay_dir")
        super().__init__(
            n_envs,
            args,
            name=f"sc2 ({args.map_name})",
            factory="envs.adapters.starcraft2_single:StarCraft2Single",
            kwargs={"game": str(folder), "arguments": arguments},
        )
        types = load_map(args.map_name).ally_types if args.map_name in map_names() else ()
        (team,) = self.spec.teams
        if len(types) == team.n_agents:  # else a map of one's own, even if it is named like one of SMAC's
            self.spec = replace(self.spec, teams=(replace(team, types=types),))

    def save_replay(self, slot: int, folder: Path) -> Path:
        """Save a replay, in the game's format, of all that a slot's game has played.

        Args:
            slot: its number.
            folder: where, if ``env_args.replay_dir`` does not say.

        Raises:
            UserError: the game cannot do it.
        """
        where = Path(self._replay_dir or folder).absolute()
        saved = self._ask(slot, REPLAY, str(where), failure="cannot save a replay")
        return Path(saved)
