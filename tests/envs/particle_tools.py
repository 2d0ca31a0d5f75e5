"""Plays particle worlds: what the tests of several of them share."""

import numpy as np

from core.registry import load
from envs import REGISTRY
from envs.particle.scripted import make_player


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


def play(name, players, episodes, *, seed=0, **env_args):
    """Play whole episodes by scripted players: (returns [teams, episodes], info at the ends)."""
    env, generator = make(name, episodes, **env_args), np.random.default_rng(seed)
    step = env.reset(np.arange(episodes), generator.integers(0, 2**63, episodes).astype(np.uint64))
    acting = [
        make_player(player, env=name, env_args=env.args, team=team)
        for player, team in zip(players, env.spec.teams, strict=True)
    ]
    active, returns = np.ones(episodes, bool), np.zeros((len(players), episodes))
    while active.any():
        actions = [who.act(team.obs, team.available, generator) for who, team in zip(acting, step.teams, strict=True)]
        step = env.step(actions, active)
        for k, team in enumerate(step.teams):
            returns[k, active] += team.rewards[active].sum(1)
        active = active & ~(step.terminated | step.truncated)
    return returns, step.info
