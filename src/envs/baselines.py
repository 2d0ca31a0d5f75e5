"""What scripted players reach: the numbers that learning is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.registry import load
from envs import REGISTRY
from envs.scripted import make_player


def play(
    name: str, players: Mapping[str, str], episodes: int, *, seed: int = 0, **env_args: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Play whole episodes by scripted players, all at once.

    Args:
        name: of the environment.
        players: team -> name of its player, one for every team.
        episodes: E.
        seed: of the episodes and the players.
        env_args: of the environment.

    Returns:
        team -> undiscounted returns, summed over individual rewards: float64 [E]; and info key -> float32 [E].

    Raises:
        UserError: a player does not fit its team.
    """
    cls = load(REGISTRY, name, "environment")
    env = cls(episodes, cls.Args(**env_args))
    acting = [make_player(players[team.name], env=name, env_args=env.args, team=team) for team in env.spec.teams]
    for who in acting:
        who.begin(episodes)
    generator = np.random.default_rng(seed)
    step = env.reset(np.arange(episodes), generator.integers(0, 2**63, episodes).astype(np.uint64))
    returns = {team.name: np.zeros(episodes) for team in env.spec.teams}
    active = np.ones(episodes, bool)
    while active.any():
        actions = [who.act(team, generator) for who, team in zip(acting, step.teams, strict=True)]
        step = env.step(actions, active)
        for total, team in zip(returns.values(), step.teams, strict=True):
            total[active] += team.rewards[active].sum(1, dtype=np.float64)
        active = active & ~(step.terminated | step.truncated)
    return returns, dict(step.info)
