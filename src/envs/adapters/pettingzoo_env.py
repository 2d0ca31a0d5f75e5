"""Any PettingZoo environment with the parallel API (https://pettingzoo.farama.org/api/parallel/)."""

from __future__ import annotations

from pydantic import Field

from envs.adapters.foreign import ForeignArgs, ForeignVecEnv


class PettingZooArgs(ForeignArgs):
    """``env_args`` of ``pettingzoo``; any other key goes to the environment's constructor."""

    key: str = Field("mpe2.simple_spread_v3", description="module with a parallel_env, or package.module:Class")


class PettingZoo(ForeignVecEnv):
    """All agents in one team, "agents", with individual rewards.

    Smaller observations are padded with zeros, missing actions are never available. Where all observations are Boxes of
    uint8 they stay bytes until a network reads them (``core.kinds``). Masks, the state and numbers of the last info are
    read by :mod:`envs.adapters.reports`.

    Ends: an agent that is out (or not there yet) observes zeros, can only choose action 0 and gets no reward;
    the reward of its last step counts. The episode ends when nobody is left, or after ``time_limit`` steps. It is
    *truncated* where at least one agent was stopped by the clock in that step, since what this agent would still have
    gained counts in the bootstrap, and *terminated* where everybody left had come to a true end. Agents that
    end together with the episode keep their last observation.

    Raises:
        UserError: unknown module or argument, one agent, actions that are not Discrete, observations that are
            not Box, no known length of an episode.
    """

    Args = PettingZooArgs

    @staticmethod
    def package(args: PettingZooArgs) -> str:
        """Return the name of the package that has the environment."""
        return args.key.partition(".")[0]

    def __init__(self, n_envs: int, args: PettingZooArgs) -> None:
        super().__init__(
            n_envs,
            args,
            key=args.key,
            name=f"pettingzoo ({args.key})",
            factory="envs.adapters.pettingzoo_single:PettingZooSingle",
        )
