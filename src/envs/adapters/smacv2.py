"""StarCraft II with teams and places drawn anew for every episode: the package SMACv2 (Ellis et al., 2212.07489)."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from envs.adapters.starcraft2 import StarCraft2, StarCraft2Args
from envs.adapters.starcraft2_needs import check_needs_of_v2
from envs.workers.worker import WorkerArgs, WorkerVecEnv

_TEAMS: dict[str, dict[str, Any]] = {
    "protoss": {"unit_types": ["stalker", "zealot", "colossus"], "weights": [0.45, 0.45, 0.1]},
    "terran": {
        "unit_types": ["marine", "marauder", "medivac"],
        "weights": [0.45, 0.45, 0.1],
        "exception_unit_types": ["medivac"],
    },
    "zerg": {
        "unit_types": ["zergling", "baneling", "hydralisk"],
        "weights": [0.45, 0.1, 0.45],
        "exception_unit_types": ["baneling"],
    },
}
_NAME = re.compile(r"^(protoss|terran|zerg)_(\d+)_vs_(\d+)$")
_PLACES = {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32}


class SMACv2Args(StarCraft2Args):
    """``env_args`` of ``sc2v2``: SMACv2's arguments with SMACv2's names; the values are those of its experiments."""

    map_name: str = Field("protoss_5_vs_5", description="<protoss, terran or zerg>_<allies>_vs_<enemies>")
    obs_own_pos: bool = Field(True, description="own place in the observation")
    obs_starcraft: bool = Field(True, description="anything but the time in the observation")
    conic_fov: bool = Field(False, description="agents see within a cone, and choose where to look")
    num_fov_actions: int = Field(12, ge=1, description="directions to look in")
    use_unit_ranges: bool = Field(True, description="sight and range of the unit's own type")
    min_attack_range: float = Field(2, ge=0, description="least range of an attack order")
    kill_unit_step_mul: int = Field(2, ge=1, description="game loops of a step that follow on deaths by capability")
    fully_observable: bool = Field(False, description="agents see everything")
    prob_obs_enemy: float = Field(1.0, ge=0, le=1, description="chance to see an enemy that another has seen first")
    action_mask: bool = Field(True, description="attacks are available within range alone")
    capability_config: dict[str, Any] | None = Field(
        None, description="distributions of teams, places, ..., as SMACv2 takes them; null: by map_name"
    )

    @field_validator("map_name")
    @classmethod
    def _known(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(
                f"'{name}' is no <race>_<allies>_vs_<enemies>, e.g. terran_10_vs_11; SMAC's own maps are those of sc2"
            )
        return name

    @field_validator("obs_instead_of_state")
    @classmethod
    def _own_state(cls, asked: bool) -> bool:
        if asked:
            raise ValueError("SMACv2 has left obs_instead_of_state unwritten (it raises NotImplementedError)")
        return asked

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of SMACv2's environment, without the seed."""
        race, allies, enemies = _NAME.match(self.map_name).groups()  # type: ignore[union-attr]  # it was validated
        teams = {"dist_type": "weighted_teams", "observe": True, **_TEAMS[race]}
        drawn = {"n_units": int(allies), "n_enemies": int(enemies), "team_gen": teams, "start_positions": _PLACES}
        given = self.model_dump(exclude=set(WorkerArgs.model_fields))
        return given | {"map_name": f"10gen_{race}", "capability_config": self.capability_config or drawn}


class SMACv2(StarCraft2):
    """N games as in :class:`~envs.adapters.starcraft2.StarCraft2`; teams and places depend on the episode's seed.

    Whether a shot fails, where ``capability_config`` has ``attack``, does not: SMACv2 draws that from the machine's
    entropy.

    Raises:
        UserError: game, map or packages are missing or do not fit together; says what mends it.
    """

    Args = SMACv2Args

    @staticmethod
    def package(args: StarCraft2Args) -> str:
        """Return the name of the package that has the environment."""
        return "smacv2"

    def __init__(self, n_envs: int, args: SMACv2Args) -> None:
        folder = check_needs_of_v2()
        arguments = args.arguments()
        self._replay_dir = arguments.pop("replay_dir")
        WorkerVecEnv.__init__(
            self,
            n_envs,
            args,
            name=f"sc2v2 ({args.map_name})",
            factory="envs.adapters.smacv2_single:SMACv2Single",
            kwargs={"game": str(folder), "arguments": arguments},
        )
