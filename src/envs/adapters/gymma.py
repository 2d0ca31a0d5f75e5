"""Any multi-agent Gymnasium environment, such as Level-Based Foraging and the robotic warehouse."""

from __future__ import annotations

from pydantic import Field

from envs.adapters.foreign import ForeignArgs, ForeignVecEnv


class GymmaArgs(ForeignArgs):
    """``env_args`` of ``gymma``; any other key goes to ``gymnasium.make``."""

    key: str = Field("lbforaging:Foraging-8x8-2p-3f-v3", description="Gymnasium id, with the package that registers it")


class Gymma(ForeignVecEnv):
    """Environments whose spaces, observations and rewards are tuples with one entry per agent.

    Rewards are individual, or the team's where the environment gives one number. Where all observations are Boxes of
    uint8 they stay bytes until a network reads them (``core.kinds``). Masks, the state and numbers of the last info are
    read by :mod:`envs.adapters.reports`.

    Ends: an episode is over when every agent is terminated or truncated, in this step or before, and *truncated* where
    one is only truncated; or after ``time_limit`` steps (*truncated*). An environment's own clock is left alone, since
    rewards may follow it. LBF 2.0.0 and RWARE 2.0.0 report their time-outs as terminated: their clocks are stopped and
    kept here.

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
            n_envs, args, key=args.key, name=f"gymma ({args.key})", factory="envs.adapters.gymma_single:GymmaSingle"
        )
