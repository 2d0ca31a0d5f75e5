"""Plays particle worlds: what the tests of several of them share."""

import numpy as np

from core.registry import load
from envs import REGISTRY


def make(name, n_envs=1, **env_args):
    """An environment with all slots reset."""
    cls = load(REGISTRY, name, "environment")
    env = cls(n_envs, cls.Args(**env_args))
    env.reset(np.arange(n_envs), np.arange(n_envs, dtype=np.uint64))
    return env


def put(env, positions, velocities=0.0):
    """Set up world 0; what the environment shows follows at the next step."""
    env.positions[0] = positions
    env.velocities[0] = velocities


def step(env, *actions):
    """Step world 0 (of one world) with the actions of each team, 0 where none are given."""
    given = dict(enumerate(actions))
    moves = [np.array([given.get(k, [0] * team.n_agents)]) for k, team in enumerate(env.spec.teams)]
    return env.step(moves, np.ones(1, bool))


def random_moves(env, generator):
    """Available actions of every team: int64 [N, A] each."""
    teams = env._time_step.teams
    return [np.where(t.available, generator.random(t.available.shape), -1.0).argmax(-1) for t in teams]
