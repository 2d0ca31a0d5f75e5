"""Environments as other people write them, for the tests of the adapters. Workers import this: no torch here.

``Line`` (PettingZoo's form) and ``Pair`` (Gymnasium's, one entry per agent) do nothing unusual: two agents, three
actions, the reward is the action, the clock cuts after ``max_cycles`` or ends after ``length`` steps.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, Tuple
from pettingzoo import ParallelEnv


class Line(ParallelEnv):
    metadata = {"render_modes": [], "name": "line"}  # noqa: RUF012

    def __init__(self, max_cycles=6):
        self.possible_agents = ["left", "right"]
        self.max_cycles = max_cycles

    def observation_space(self, agent):
        return Box(-np.inf, np.inf, (2,), np.float32)

    def action_space(self, agent):
        return Discrete(3)

    def show(self, agent):
        return np.full(2, self.t, np.float32)

    def info(self, agent):
        return {}

    def reset(self, seed=None, options=None):
        self.t, self.agents, self.seed = 0, list(self.possible_agents), seed
        return {a: self.show(a) for a in self.agents}, {a: self.info(a) for a in self.agents}

    def ends(self, agent):
        return False, self.t >= self.max_cycles

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.t += 1
        living, flags = list(self.agents), {a: self.ends(a) for a in self.agents}
        self.agents = [a for a in living if not any(flags[a])]
        return (
            {a: self.show(a) for a in living},
            {a: float(actions[a]) for a in living},
            {a: flags[a][0] for a in living},
            {a: flags[a][1] for a in living},
            {a: self.info(a) for a in living},
        )


class Pair(gymnasium.Env):
    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, length=6):
        self.length = length
        self.observation_space = Tuple([Box(-np.inf, np.inf, (2,), np.float32)] * 2)
        self.action_space = Tuple([Discrete(3)] * 2)

    def show(self):
        return tuple(np.full(2, self.t, np.float32) for _ in range(2))

    def info(self):
        return {}

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.show(), self.info()

    def ends(self):
        return self.t >= self.length, False

    def step(self, actions):
        self.t += 1
        return self.show(), [float(a) for a in actions], *self.ends(), self.info()


# clocks


class Early(Pair):
    """Whoever arrives early gets more, by its own clock; it arrives in step 3."""

    def __init__(self, max_steps=4):
        super().__init__(length=3)
        self.max_steps = max_steps

    def ends(self):
        return self.t == 3, self.t >= self.max_steps

    def step(self, actions):
        observations, _, *rest = super().step(actions)
        return observations, 1.0 - 0.9 * self.t / self.max_steps, *rest


class ReadOnly(Pair):
    """Its limit cannot be set."""

    max_steps = property(lambda _self: 5)


class Sealed(Line):
    """No argument changes its limit."""

    def __init__(self):
        super().__init__(max_cycles=np.int64(5))


class Inside:
    """Hides an environment, with its clock, as wrappers do, and wants a reset before ``state``."""

    def __init__(self, env):
        self.env, self.fresh = env, True

    def __getattr__(self, name):
        if name in ("env", "max_cycles", "unwrapped"):
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, seed=None, options=None):
        self.fresh = False
        return self.env.reset(seed=seed, options=options)

    def state(self):
        assert not self.fresh, "reset needs to be called first"
        return np.array([self.env.t, 7.0])


def wrapped(**arguments):
    return Inside(Line(**arguments))


def whole_float():
    return Line(max_cycles=6.0)


class SingleInside(Line):
    """Its limit stands in the spec of an environment inside."""

    def __init__(self):
        super().__init__()
        del self.max_cycles
        self.single_agent_env = Pair()
        self.single_agent_env.spec = gymnasium.envs.registration.EnvSpec("Inside-v0", max_episode_steps=3)
        self.max_cycles_of_mine = 3

    def ends(self, agent):
        return False, self.t >= self.max_cycles_of_mine


# masks, states


def masked(agent, t):
    """Return a mask: all but one action, none at all for agent 1 where ``t`` is 2."""
    return np.zeros(3, np.int8) if (agent, t) == (1, 2) else (np.arange(3) != (t + agent) % 3).astype(np.int8)


class Masked(Pair):
    """Tells the masks in one of several ways; a masked action raises."""

    def __init__(self, way="array"):
        super().__init__()
        self.way = way
        if way == "method":
            self.get_avail_actions = lambda: self.masks().tolist()

    def masks(self):
        return np.stack([masked(i, self.t) for i in range(2)])

    def info(self):
        masks = self.masks()
        return {
            "array": {"action_mask": masks},
            "named": {"avail_actions": {i: masks[i] for i in range(2)}},
            "single": [{"action_mask": mask} for mask in masks],
            "short": {"action_mask": masks[:, :2]},
            "numbers": {"action_mask": [[0, 2, 1], [0, 1, 2]]},
            "long": {"action_mask": [[1, 1, 0, 1]] * 2},
        }.get(self.way, {})

    def step(self, actions):
        for mask, action in zip(self.masks(), actions, strict=True):
            assert mask[action] or not mask.any(), f"masked action in step {self.t}"
        return super().step(actions)


class MaskedLine(Line):
    def __init__(self, way="info"):
        super().__init__()
        self.way = way
        if way == "method":
            self.get_avail_actions = lambda: {a: self.mask(a) for a in self.possible_agents}

    def mask(self, agent):
        return masked(self.possible_agents.index(agent), self.t)

    def info(self, agent):
        return {"action_mask": self.mask(agent)} if self.way == "info" else {}


class Told(Pair):
    """A state in info, or by ``get_state``."""

    def __init__(self, way="info"):
        super().__init__()
        if way == "method":
            self.get_state = lambda: [[self.t, 9]]

    def info(self):
        return {"state": np.array([self.t, 9])}


# ends, numbers


class Mixed(Pair):
    """Agent 0 comes to its end in step 2 (said from then on, or once), agent 1 is cut in step 4."""

    def __init__(self, once=False):
        super().__init__()
        self.once = once

    def ends(self):
        first = self.t == 2 if self.once else self.t >= 2
        return [first, False], np.array([False, self.t >= 4])


class Scored(Pair):
    """``way`` says how the numbers come."""

    def __init__(self, way="plain"):
        super().__init__()
        self.way = way

    def info(self):
        last = {
            "success": self.t >= 6, "time": np.float32(self.t), "path": np.arange(3), "name": "x", "one": np.array([2]),
            "worst": float("nan"), "action_mask": np.ones((2, 3)), "TimeLimit.truncated": False, "deep": {"a": 1},
            "vast": 10**400,
        }  # fmt: skip
        return last if self.way == "plain" else [{"score": 1.0}, {"score": 4, "extra": 5}]


class ScoredLine(Line):
    """ "left" leaves in step 2 with 2 points, "right" is cut in step 6 with 6; ``all`` reports for everybody."""

    def __init__(self, everybody=False):
        super().__init__()
        self.everybody = everybody

    def ends(self, agent):
        return agent == "left" and self.t == 2, self.t >= 6

    def info(self, agent):
        return {"points": self.t, f"of_{agent}": True}

    def step(self, actions):
        out = super().step(actions)
        return (*out[:4], {"won": np.True_}) if self.everybody else out


# drawing


class Window(Line):
    """Refuses what it does not know, as Gymnasium's template does."""

    metadata = {"render_modes": ["human"], "name": "window"}  # noqa: RUF012

    def __init__(self, render_mode=None):
        super().__init__()
        assert render_mode is None or render_mode in self.metadata["render_modes"]
        self.render_mode = render_mode

    def render(self):
        return np.full((2, 3, 3), self.t, np.uint8) if self.render_mode == "rgb_array" else None


class Picture(Window):
    metadata = {"render_modes": ["human", "rgb_array"], "name": "picture"}  # noqa: RUF012


def hidden_picture(**arguments):
    return Picture(**arguments)


def hidden_window(**arguments):
    return Window(**arguments)


class Drawn(Line):
    """Draws pictures of any form."""

    metadata = {"render_modes": ["rgb_array"], "name": "drawn"}  # noqa: RUF012

    def __init__(self, shape=(2, 3, 3), value=7, dtype="uint8"):
        super().__init__()
        self.picture = np.full(shape, value, dtype)

    def render(self):
        return self.picture


class AlwaysDrawn(Line):
    metadata = {"render_modes": ["rgb_array"], "name": "always"}  # noqa: RUF012

    def render(self):
        return np.full((2, 3, 3), self.t, np.uint8)


class DrawnPair(Pair):
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, length=6, **arguments):
        super().__init__(length)
        self.render_mode = arguments.get("render_mode")

    def render(self):
        return np.full((2, 3, 3), self.t, np.uint8) if self.render_mode == "rgb_array" else None


class OldDrawnPair(Pair):
    def render(self, mode="human"):
        return np.full((2, 3, 3), self.t, np.uint8) if mode == "rgb_array" else None


# older forms, odd types


class Numbered(Line):
    """Agents are numbers, actions begin at -1, flags and rewards are NumPy's, observations are lists and bools."""

    def __init__(self):
        super().__init__()
        self.possible_agents = [7, 3]

    def observation_space(self, agent):
        return Box(-np.inf, np.inf, (2, 1), np.float64) if agent == 7 else Box(0, 1, (3,), np.int8)

    def action_space(self, agent):
        return Discrete(np.int64(3), start=-1)

    def show(self, agent):
        return [[0.5], [self.t]] if agent == 7 else np.array([True, False, True])

    def ends(self, agent):
        return np.False_, np.bool_(self.t >= 6)

    def step(self, actions):
        assert set(actions.values()) <= {-1, 0, 1}
        observations, rewards, *rest = super().step(actions)
        return observations, {a: np.array([r]) for a, r in rewards.items()}, *rest


class OldLine(Line):
    """No seed, no infos, ``done`` in place of two flags."""

    def reset(self):
        return super().reset(seed=3)[0]

    def step(self, actions):
        observations, rewards, _, cut, infos = super().step(actions)
        return observations, {a: np.array([r]) for a, r in rewards.items()}, cut, infos


class OldPair(Pair):
    """The same, with the seed in a method of its own."""

    def seed(self, seed):
        self.seeded = seed

    def reset(self):
        self.t = 0
        return self.show()

    def step(self, actions):
        observations, rewards, done, _, _ = super().step(actions)
        return observations, [np.array([r]) for r in rewards], done, {"TimeLimit.truncated": self.seeded % 2 == 1}


# what is wrong


class Shrinking(Line):
    """Something is wrong in step 3: an observation too small or too large, or none."""

    def __init__(self, wrong="small"):
        super().__init__()
        self.wrong = wrong

    def show(self, agent):
        size = {"small": 1, "large": 3}.get(self.wrong, 2) if self.t == 3 else 2
        return np.ones(size, np.float32)

    def step(self, actions):
        out = super().step(actions)
        if self.wrong == "none" and self.t == 3:
            del out[0]["left"]
        return out


class ShrinkingPair(Pair):
    """The same in Gymnasium's form; "fewer": for one agent alone."""

    def __init__(self, wrong="small"):
        super().__init__()
        self.wrong = wrong

    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        if self.t == 3:
            observations = {"small": ([1.0], [1.0]), "fewer": observations[:1]}.get(self.wrong, observations)
            rewards = rewards[:1] if self.wrong == "rewards" else rewards
        return observations, rewards, *rest


class Lingering(Line):
    """ "left" ends in step 2 and stays in ``agents``, its flag set; "right" is cut in step 6."""

    def step(self, actions):
        assert self.t < 2 or "left" not in actions, f"left acted in step {self.t + 1}"
        self.t += 1
        agents = self.possible_agents
        ended = {a: a == "left" and self.t >= 2 for a in agents}
        return (
            {a: self.show(a) for a in agents},
            {a: float(a in actions) for a in agents},
            ended,
            {a: a == "right" and self.t >= 6 for a in agents},
            {a: {} for a in agents},
        )


class Unfounded(Line):
    """Needs a package that is not there, when it is built or at its first reset."""

    def __init__(self, late=False):
        super().__init__()
        self.late = late
        if not late:
            import package_that_is_not_there.part  # noqa: F401

    def reset(self, seed=None, options=None):
        import package_that_is_not_there  # noqa: F401


class Vast(Line):
    """A reward beyond float32, and an observation whose square is."""

    def show(self, agent):
        return np.full(2, 1e30, np.float64)

    def step(self, actions):
        out = super().step(actions)
        out[1]["left"] = 1e300 if self.t == 3 else 1e30
        return out


for kind in (Early, ReadOnly, Masked, Told, Mixed, Scored, DrawnPair, OldDrawnPair, OldPair, ShrinkingPair):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind)
gymnasium.register("Registered-v0", entry_point=Pair, max_episode_steps=4)
