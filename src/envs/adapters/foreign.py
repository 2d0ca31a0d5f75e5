"""What the adapters of other people's environments have in common, seen from the run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from envs.workers.numbers import Numbers
from envs.workers.worker import WorkerArgs, WorkerVecEnv


class ForeignArgs(WorkerArgs):
    """Settings of the adapters; any other key goes to the environment."""

    model_config = ConfigDict(extra="allow")

    time_limit: int | None = Field(
        None, ge=1, description="steps until truncation; null: the environment's own, which a longer one must replace"
    )
    state: Literal["joint_obs", "env"] = Field(
        "joint_obs", description="global state: all observations in a row, or the environment's own"
    )
    info_keys: list[str] | None = Field(
        None, description="numbers in an episode's last info to log as <name>_mean; null: all that there are, []: none"
    )
    info_limit: int = Field(20, ge=0, description="how many of them info_keys=null logs at most")


class ForeignVecEnv(WorkerVecEnv):
    """N copies of an environment behind an adapter. Raises as :class:`~envs.workers.worker.WorkerVecEnv`."""

    def __init__(self, n_envs: int, args: ForeignArgs, *, key: str, name: str, factory: str) -> None:
        """Start the workers.

        Args:
            n_envs: N.
            args: settings; those of no field are the environment's own arguments.
            key: which environment.
            name: what errors call it.
            factory: "module:Class" of the adapter.
        """
        kwargs: dict[str, Any] = {
            "key": key,
            "arguments": dict(args.model_extra or {}),
            "time_limit": args.time_limit,
            "own_state": args.state == "env",
        }
        numbers = Numbers(n_envs, name=name, wanted=args.info_keys, limit=args.info_limit)
        super().__init__(n_envs, args, name=name, factory=factory, kwargs=kwargs, numbers=numbers)
