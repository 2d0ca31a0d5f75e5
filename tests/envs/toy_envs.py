"""Small environments for the tests of workers and adapters. Workers import this: no torch here."""

import os
import random
import sys
import threading
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import ParallelEnv

from envs.workers.shared_block import SingleSpec

HANG = threading.Event()  # never set


class Toy:
    """SingleEnv of 2 agents, 3 actions, 4 steps; obs are (seed, clock, agent). Odd seeds terminate, even ones truncate.

    With ``reports`` an episode reports its seed, and a third of it where that is whole.
    Action 2 of agent 0 does ``mischief`` ("obs nan" writes that into the observations), and so does every reset
    where ``in_reset``, until the file ``marker`` exists (closing the environment creates it); "obs nan" and its like
    do it in episodes whose seeds 3 divides.
    """

    def __init__(self, *, mischief="", in_reset=False, at_start="", marker="", limit=4, image=False, reports=False):
        if at_start == "raise":
            raise RuntimeError("no luck today")
        if at_start == "exit":
            os._exit(7)
        if at_start == "torch":
            raise RuntimeError(f"torch imported: {'torch' in sys.modules}")
        grown = at_start == "grow" and os.path.exists(marker)
        self.spec = SingleSpec(
            n_agents=2, n_actions=3, obs_dim=5 if grown else 3, state_dim=1, reward_dim=2, episode_limit=limit,
            info_keys=("won",), can_render=image,
        )  # fmt: skip
        self.mischief, self.in_reset, self.marker, self.image = mischief, in_reset, marker, image
        self.reports = reports

    def _misbehave(self):
        if self.mischief == "raise":
            raise ValueError("a deliberate error")
        if self.mischief == "exit":
            os._exit(1)
        if self.mischief == "hang":
            HANG.wait()

    def _spoil(self, out):
        """Write what is no number: agent 1's second entry, the second reward, the state, or the info."""
        what, _, value = self.mischief.partition(" ")
        rows = {"obs": (out.obs, (1, 1)), "state": (out.state, 0), "reward": (out.rewards, 1), "info": (out.info, 0)}
        if what in rows:
            row, index = rows[what]
            with np.errstate(over="ignore"):
                row[index] = np.float64(value)

    def _write(self, out):
        for i in range(2):
            out.obs[i] = (self.seed % 1000, self.clock, i)
        out.state[:] = self.clock
        out.available[:] = True

    def reset(self, seed, out):
        if self.in_reset and not (self.marker and Path(self.marker).exists()):
            self._misbehave()
        self.seed, self.clock = seed, 0
        self._write(out)
        if self.in_reset and seed % 3 == 0:
            self._spoil(out)

    def step(self, actions, out):
        if actions[0] == 2:
            self._misbehave()
        self.clock += 1
        self._write(out)
        out.rewards[:] = (self.clock, actions[1])
        done = self.clock == self.spec.episode_limit
        if done:
            out.info[0] = self.seed % 2
        if done and self.reports:
            out.numbers["seed"] = float(self.seed)
            if self.seed % 3 == 0:
                out.numbers["thirds"] = self.seed / 3
        if actions[0] == 2:
            self._spoil(out)
        return done and self.seed % 2 == 1, done and self.seed % 2 == 0

    def render(self):
        if not self.image:
            raise RuntimeError("nothing to see")
        return np.full((4, 5, 3), self.clock, np.uint8)

    def close(self):
        if self.marker:
            Path(self.marker).touch()


class Gambler:
    """SingleEnv that draws from the global generators, when it is built, reset and stepped, and never the same way.

    Its first observation tells apart how it was built; episodes are 3 to 8 steps long. ``late``: it draws in the
    steps of odd episodes alone.
    """

    spec = SingleSpec(n_agents=2, n_actions=3, obs_dim=4, state_dim=0, reward_dim=1, episode_limit=8)

    def __init__(self, *, late=False):
        self.late = late
        self.built = 0.0 if late else random.random() + np.random.rand()  # noqa: NPY002

    def _draw(self):
        if self.late and not self.odd:
            return [0.0, 0.0, 0.0]
        # gauss and normal make two numbers at once and keep the second
        normal, whole = np.random.normal(), np.random.randint(1000)  # noqa: NPY002
        return [random.random(), random.gauss(0, 1) + normal, float(whole)]

    def reset(self, seed, out):
        self.odd, self.clock = seed % 2, 0
        self.length = 3 + seed % 6 if self.late else random.randint(3, 8)
        out.obs[:] = [self.built, *self._draw()]
        out.available[:] = True

    def step(self, actions, out):
        self.clock += 1
        out.obs[0] = [self.built, *self._draw()]
        out.obs[1] = hash("a1") % 1000  # the same in every process
        out.rewards[0] = sum(self._draw())
        return self.clock == self.length, False

    def close(self):
        pass


class Uneven(ParallelEnv):
    """3 agents of different sizes that end one after another.

    Agent "a" ends in step 1, "b" in step 2; "c" is stopped in step 3, by ``end`` = terminate or truncate.
    Rewards are 1, 10, 100 for each step that an agent plays, and ``state`` is the clock.
    """

    metadata = {"render_modes": ["rgb_array"], "name": "uneven"}  # noqa: RUF012

    def __init__(self, end="terminate", together=False, max_cycles=10, masks="info", render_mode=None):
        self.possible_agents = ["a", "b", "c"]
        self.end, self.together, self.max_cycles, self.masks = end, together, max_cycles, masks
        self.sizes = {"a": (1,), "b": (2, 2), "c": (3,)}
        self.actions = {"a": Discrete(2), "b": Discrete(3, start=5), "c": Discrete(4)}
        self.render_mode = render_mode

    def observation_space(self, agent):
        box = Box(-np.inf, np.inf, self.sizes[agent], np.float32)
        if self.masks == "obs":
            return Dict({"observation": box, "action_mask": Box(0, 1, (self.actions[agent].n,), np.int8)})
        return box

    def action_space(self, agent):
        return self.actions[agent]

    def state(self):
        return np.array([self.clock, np.nan if self.end == "nan" else 1.0])

    def _show(self, agents):
        masks = {a: np.arange(self.actions[a].n) != self.clock for a in agents}
        obs = {a: np.full(self.sizes[a], self.seed + self.clock, np.float32) for a in agents}
        if self.end == "nan obs" and self.clock:
            obs["b"][:] = np.nan
        if self.masks == "obs":
            obs = {a: {"observation": obs[a], "action_mask": masks[a].astype(np.int8)} for a in agents}
            return obs, {a: {} for a in agents}
        return obs, {a: {"action_mask": masks[a]} for a in agents}

    def reset(self, seed=None, options=None):
        self.agents, self.clock, self.seed = self.possible_agents[:], 0, float((seed or 0) % 100)
        return self._show(self.agents)

    def step(self, actions):
        assert set(actions) == set(self.agents)
        assert all(self.actions[a].contains(x) for a, x in actions.items())
        self.clock += 1
        played = self.agents
        rewards = {a: {"a": 1.0, "b": 10.0, "c": 100.0}[a] for a in played}
        ending = {"a": 3 if self.together else 1, "b": 3 if self.together else 2, "c": 3}
        over = {a: self.clock >= ending[a] for a in played}
        cut = {a: over[a] and a == "c" and self.end == "truncate" for a in played}
        self.agents = [a for a in played if not over[a]]
        obs, infos = self._show(played)
        return obs, rewards, {a: over[a] and not cut[a] for a in played}, cut, infos

    def render(self):
        return np.full((2, 3, 3), self.clock, np.uint8)


def parallel_env(**kwargs):
    return Uneven(**kwargs)


raw_env = Uneven


class Lonely(Uneven):
    def __init__(self):
        super().__init__()
        self.possible_agents = ["a"]


class Endless(Uneven):
    def __init__(self):
        super().__init__()
        del self.max_cycles


class Continuous(Uneven):
    def action_space(self, agent):
        return Box(-1, 1, (2,))


class Pair(gymnasium.Env):
    """2 agents in Gymnasium's tuple form; terminates in step ``end``; one number as the reward where ``team``."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, end=3, team=False, max_steps=5):
        self.observation_space = gymnasium.spaces.Tuple([Box(-9, 9, (2, 2), np.float32), Box(-9, 9, (3,), np.float32)])
        self.action_space = gymnasium.spaces.Tuple([Discrete(2), Discrete(3)])
        self.end, self.team, self.max_steps = end, team, max_steps

    def _show(self):
        return (np.full((2, 2), self.clock, np.float32), np.full(3, -self.clock, np.float32))

    def reset(self, *, seed=None, options=None):
        self.clock = 0
        return self._show(), {}

    def step(self, actions):
        self.clock += 1
        done = self.clock >= self.end or self.clock >= self.max_steps
        return self._show(), (1.5 if self.team else [1.0, 2.0]), done, False, {}


gymnasium.register("Pair-v0", entry_point=Pair)
gymnasium.register("PairLimit-v0", entry_point=Pair, max_episode_steps=2)
