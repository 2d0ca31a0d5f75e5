"""Any multi-agent Gymnasium environment, such as Level-Based Foraging and the robotic warehouse."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from envs.worker import WorkerArgs, WorkerVecEnv


class GymmaArgs(WorkerArgs):
    """``env_args`` of ``gymma``; any other key goes to ``gymnasium.make``."""

    model_config = ConfigDict(extra="allow")

    key: str = Field("lbforaging:Foraging-8x8-2p-3f-v3", description="Gymnasium id, with the package that registers it")
    time_limit: int | None = Field(
        None, ge=1, description="steps until truncation, in place of the environment's own; null: the environment's own"
    )


class Gymma(WorkerVecEnv):
    """Environments whose spaces, observations and rewards are tuples with one entry per agent.

    The time limit, the environment's own included, truncates; only the task's end terminates (LBF 2.0.0 and RWARE
    2.0.0 report both as terminated, so their clocks are stopped and kept here). Rewards are individual, or the team's
    where the environment gives one number. Where all observations are Boxes of uint8 they stay bytes until a network
    reads them (``core.kinds``).

    Raises:
        UserError: unknown id, package or argument, one agent, actions that are not Discrete, observations that
            are not Box, no known length of an episode.
    """

    Args = GymmaArgs

    @staticmethod
    def package(args: GymmaArgs) -> str:
        """Return the name of the package that has the environment."""
        return args.key.partition(":")[0] if ":" in args.key else "gymnasium"

    def __init__(self, n_envs: int, args: GymmaArgs) -> None:
        super().__init__(
            n_envs,
            args,
            name=f"gymma ({args.key})",
            factory="envs.gymma_single:GymmaSingle",
            kwargs={"key": args.key, "arguments": dict(args.model_extra or {}), "time_limit": args.time_limit},
        )
