"""MPE2's worlds, put into a state and stepped."""

import numpy as np


def mpe2_step(oracle, pos, vel, actions):
    """Put MPE2's world into a state, step it and return its positions, velocities, rewards, observations."""
    world = oracle.world
    for entity, p, v in zip(world.entities, pos, vel, strict=True):
        entity.state.p_pos, entity.state.p_vel = p.copy(), v.copy()
    for action in actions:
        oracle.step(int(action))
    return (
        np.array([entity.state.p_pos for entity in world.entities]),
        np.array([entity.state.p_vel for entity in world.entities]),
        np.array([oracle.rewards[agent.name] for agent in world.agents]),
        [oracle.scenario.observation(agent, world) for agent in world.agents],
    )
