"""Matrix games with known optima, N at once in process.

climbing and penalty: Claus and Boutilier, "The dynamics of reinforcement learning in cooperative multiagent
systems" (1998). qtran: Son et al., arXiv 1905.05408, table 1. two_step: Rashid et al. (QMIX), arXiv 1803.11485,
section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from core.data import EnvSpec, TeamSpec, TimeStep, allocate_time_step
from core.errors import UserError
from core.registry import did_you_mean
from core.settings import Section
from envs.catalogue import GAMES

CLIMBING = ((11, -30, 0), (-30, 7, 0), (0, 6, 5))
QTRAN = ((8, -12, -12), (-12, 0, 0), (-12, 0, 0))
TWO_STEP_A = ((7, 7), (7, 7))
TWO_STEP_B = ((0, 1), (1, 8))


class MatrixGameArgs(Section):
    """``env_args`` of ``matrix_game``."""

    game: str = Field("climbing", description="climbing, penalty, qtran or two_step; not read where payoff is given")
    k: float = Field(-100.0, le=0, description="penalty of game=penalty")
    payoff: list[Any] | None = Field(
        None, description="a game of your own: nested lists, payoff[a1][a2]...[an], one level per agent"
    )
    episode_length: int = Field(25, ge=1, description="repetitions of the game in an episode (two_step has 2 steps)")

    @field_validator("game")
    @classmethod
    def _known_game(cls, game: str) -> str:
        if game not in GAMES:
            raise ValueError(f"unknown game '{game}'.{did_you_mean(game, GAMES)} Known: {', '.join(GAMES)}")
        return game

    @model_validator(mode="after")
    def _regular_payoff(self) -> MatrixGameArgs:
        if self.payoff is not None:
            try:
                matrix = np.array(self.payoff, np.float64)
            except (TypeError, ValueError):
                raise ValueError("payoff must be nested lists of numbers, of equal length on each level") from None
            if matrix.ndim < 2 or not matrix.size or not np.isfinite(matrix).all():
                raise ValueError("payoff needs finite numbers and at least two levels, one per agent")
        return self


def payoff_matrix(args: MatrixGameArgs) -> np.ndarray:
    """Return the payoffs of a repeated game: float64 [U1, ..., UA]."""
    if args.payoff is not None:
        return np.array(args.payoff, np.float64)
    penalty = ((args.k, 0, 10), (0, 2, 0), (10, 0, args.k))
    return np.array({"climbing": CLIMBING, "penalty": penalty, "qtran": QTRAN}[args.game], np.float64)


class MatrixGame:
    """N copies of one game as a :class:`core.protocols.VecEnv`; the team shares one reward.

    Repeated games: every step plays the same matrix, the observation and the state are the constant 1, and the return
    is the sum of ``episode_length`` payoffs (climbing: 275 at best, EPyMARL's convention). The last step *terminates*:
    the game has a fixed number of rounds and nothing follows, so bootstrapping there would value rounds that are never
    played. (A value function cannot see the time and learns the mean over the rounds left, which is the same baseline
    for all actions.)

    two_step: in the first step agent 1 chooses matrix A (all 7; action 0) or B ([[0, 1], [1, 8]]; action 1) for no
    reward, in the second both play it, and the episode terminates. Observation and state: one-hot of start, A, B.

    Seeds change nothing. Actions that a smaller row of ``payoff`` does not have are never available.
    """

    Args = MatrixGameArgs
    VERSION = 1  # raise when episodes of the same seed change

    def __init__(self, n_envs: int, args: MatrixGameArgs) -> None:
        self.n_envs = n_envs
        two_step = args.payoff is None and args.game == "two_step"
        if two_step:
            self._stages = np.array([np.zeros((2, 2)), TWO_STEP_A, TWO_STEP_B])  # [stage, U1, ..., UA]
        else:
            self._stages = payoff_matrix(args)[None]
        self._n_actions = np.array(self._stages.shape[1:])
        n_stages = len(self._stages)
        self._two_step = two_step
        self._one_hot = np.eye(n_stages, dtype=np.float32)
        team = TeamSpec(
            name="agents",
            n_agents=len(self._n_actions),
            n_actions=int(self._n_actions.max()),
            obs_dim=n_stages,
            state_dim=n_stages,
            reward_dim=1,
        )
        self.spec = EnvSpec(teams=(team,), episode_limit=2 if two_step else args.episode_length)
        self._stage = np.zeros(n_envs, np.int64)
        self._clock = np.zeros(n_envs, np.int64)
        self._time_step = allocate_time_step(self.spec, n_envs)
        self._time_step.teams[0].available[:] = np.arange(team.n_actions) < self._n_actions[:, None]

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new episodes in ``slots`` (int64 [K]); the seeds change nothing."""
        out = self._time_step
        self._stage[slots] = 0
        self._clock[slots] = 0
        self._observe(slots)
        out.teams[0].rewards[slots] = 0.0
        out.terminated[slots] = False
        return out

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Play one round in the slots where ``active`` (bool [N]) holds; ``actions[0]`` is int64 [N, A].

        Raises:
            ValueError: an agent does not have the action.
        """
        out = self._time_step
        slots = np.flatnonzero(active)
        played = actions[0][slots]
        if (played < 0).any() or (played >= self._n_actions).any():
            raise ValueError(
                f"actions must be within 0..n-1 with n = {self._n_actions.tolist()}, not {played.tolist()}"
            )
        out.teams[0].rewards[slots, 0] = self._stages[(self._stage[slots], *played.T)]
        if self._two_step:
            first = self._clock[slots] == 0
            self._stage[slots] = np.where(first, 1 + played[:, 0], self._stage[slots])
        self._clock[slots] += 1
        self._observe(slots)
        out.terminated[slots] = self._clock[slots] >= self.spec.episode_limit
        return out

    def _observe(self, slots: np.ndarray) -> None:
        team, rows = self._time_step.teams[0], self._one_hot[self._stage[slots]]
        team.obs[slots] = rows[:, None]
        team.state[slots] = rows

    def render(self, slot: int = 0) -> np.ndarray:
        """There is nothing to draw. Raises UserError."""
        raise UserError("Matrix games cannot be drawn.")

    def close(self) -> None:
        """There is nothing to give back."""
