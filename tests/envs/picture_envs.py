"""Environments whose observations are bytes, for both adapters. Workers import this: no torch here."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, Tuple
from pettingzoo import ParallelEnv

SHAPE = (2, 3, 3)
BOXES = {
    "image": Box(0, 255, SHAPE, np.uint8),
    "bytes": Box(0, 9, SHAPE, np.uint8),
    "floats": Box(-1.0, 1.0, (4,), np.float32),
}


def shown(box, clock, promise):
    """What an agent with that space sees; one with bytes may see numbers that are none."""
    value = clock + (0.0 if promise == "kept" else 0.5)
    return np.full(box.shape, value, box.dtype if promise == "kept" else np.float64)


class Pictures(ParallelEnv):
    """2 agents, 3 steps; ``first`` and ``second`` are keys of BOXES."""

    metadata = {"render_modes": [], "name": "pictures"}  # noqa: RUF012

    def __init__(self, first="image", second="image", promise="kept"):
        self.possible_agents, self.max_cycles = ["a", "b"], 3
        self.boxes, self.promise = {"a": BOXES[first], "b": BOXES[second]}, promise
        self.state_space, self.clock = BOXES[first], 0

    def observation_space(self, agent):
        return self.boxes[agent]

    def action_space(self, agent):
        return Discrete(2)

    def state(self):
        return np.full(SHAPE, 200 + self.clock, np.uint8)

    def _show(self):
        return {agent: shown(box, self.clock, self.promise) for agent, box in self.boxes.items()}

    def reset(self, seed=None, options=None):
        self.agents, self.clock = self.possible_agents[:], 0
        return self._show(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.clock += 1
        played, over = self.agents, self.clock == self.max_cycles
        self.agents = [] if over else played
        same, infos = dict.fromkeys(played, 0.0), {agent: {} for agent in played}
        return self._show(), same, dict.fromkeys(played, False), dict.fromkeys(played, over), infos


class Tuples(gymnasium.Env):
    """The same in Gymnasium's tuple form."""

    def __init__(self, first="image", second="image", promise="kept"):
        self.boxes, self.promise = (BOXES[first], BOXES[second]), promise
        self.observation_space, self.action_space = Tuple(self.boxes), Tuple([Discrete(2), Discrete(2)])

    def _show(self):
        return tuple(shown(box, self.clock, self.promise) for box in self.boxes)

    def reset(self, *, seed=None, options=None):
        self.clock = 0
        return self._show(), {}

    def step(self, actions):
        self.clock += 1
        return self._show(), 0.0, False, self.clock == 3, {}


gymnasium.register("Pictures-v0", entry_point=Tuples, max_episode_steps=3)
