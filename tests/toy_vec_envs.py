"""A small environment whose episodes follow from their seeds, for tests of runners and learners.

Every agent sees a one-hot hint of the action that is right for it now; right actions pay. It checks its callers: an
unavailable action, a step of a finished slot or a reset of a running one is an AssertionError.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from core.data import EnvSpec, TeamSpec, allocate_time_step
from core.kinds import UNIT, Kind
from core.settings import Section
from envs.scripted import Memoryless

N_ACTIONS = 4


class ToyArgs(Section):
    limit: int = Field(5, ge=1)
    n_agents: int = Field(3, ge=1)
    n_teams: int = Field(1, ge=1, le=2)
    ends: Literal["terminated", "truncated", "mixed"] = "mixed"
    heavy_mask: bool = False
    individual_rewards: bool = False
    joint_obs: bool = False
    kind: Kind = "floats"
    rounded: bool = False
    fail_every: int = 0
    kinds: int = 0


class ToyVecEnv:
    """Lengths 1..limit; "mixed": short episodes terminate, those that reach the limit are truncated.

    With two teams the second has one agent fewer, and its reward is minus the first team's. ``rounded`` floats are what
    networks read of an image. With ``kinds`` agents are of so many
    types, by turns: those of one are hinted alike; otherwise all differ.
    """

    Args = ToyArgs

    def __init__(self, n_envs, args):
        self.n_envs, self.args = n_envs, args
        obs_dim = N_ACTIONS + 2
        teams = []
        for k, name in enumerate(("agents",) if args.n_teams == 1 else ("red", "blue")):
            n = args.n_agents - k
            teams.append(
                TeamSpec(
                    name=name,
                    n_agents=n,
                    n_actions=N_ACTIONS,
                    obs_dim=obs_dim,
                    state_dim=n * obs_dim if args.joint_obs else n * N_ACTIONS + 1,
                    reward_dim=n if args.individual_rewards else 1,
                    state_is_joint_obs=args.joint_obs,
                    obs_kind=args.kind,
                    state_kind=args.kind,
                )
            )
        self.spec = EnvSpec(teams=tuple(teams), episode_limit=args.limit, info_keys=("hits",), can_render=True)
        self.out = allocate_time_step(self.spec, n_envs)
        self.seed = np.zeros(n_envs, np.uint64)
        self.time = np.zeros(n_envs, np.int64)
        self.hits = np.zeros(n_envs)
        self.running = np.zeros(n_envs, bool)
        self.seeds_seen, self.closed, self.n_steps = [], 0, 0

    def length(self, seed):
        return 1 + int(seed) % self.args.limit

    def fails(self, seed):
        return self.args.fail_every > 0 and (int(seed) // 7) % self.args.fail_every == 0

    def right_actions(self, seed, time, team):
        """Hash of everything: int64 [A]."""
        agents = np.arange(self.spec.teams[team].n_agents)
        agents = agents % self.args.kinds if self.args.kinds else agents
        return (int(seed) % 1009 + 31 * time * (time + 1) + 17 * agents + 5 * team + agents * time) % N_ACTIONS

    def _observe(self, slot):
        seed, time = self.seed[slot], self.time[slot]
        for k, team in enumerate(self.out.teams):
            right = self.right_actions(seed, time, k)
            obs = np.zeros((len(right), N_ACTIONS + 2), np.float32)
            obs[np.arange(len(right)), right] = 1
            obs[:, -2] = time / self.args.limit
            obs[:, -1] = self.hits[slot] / 10
            team.obs[slot] = self._kept(obs)
            if not self.args.joint_obs:
                team.state[slot] = self._kept(np.append(obs[:, :N_ACTIONS], np.float32(time / self.args.limit)))
            available = np.ones((len(right), N_ACTIONS), bool)
            available[np.arange(len(right)), (right + 1 + time) % N_ACTIONS] = False
            if self.args.heavy_mask:
                available[1:] = False
            available[np.arange(len(right)), right] = True
            team.available[slot] = available

    def _kept(self, numbers):
        if self.args.kind == "bytes":
            return np.round(numbers * 10)
        if self.args.kind == "image":
            return np.round(numbers * UNIT["image"])
        return np.round(numbers * UNIT["image"]) / UNIT["image"] if self.args.rounded else numbers

    def reset(self, slots, seeds):
        for slot, seed in zip(slots, seeds, strict=True):
            assert not self.running[slot], "reset of a running slot"
            self.seed[slot], self.time[slot], self.hits[slot], self.running[slot] = seed, 0, 0, True
            self.seeds_seen.append(int(seed))
            self._observe(slot)
            for team in self.out.teams:
                team.rewards[slot] = 0
            for flags in (self.out.terminated, self.out.truncated, self.out.failed):
                flags[slot] = False
        return self.out

    def step(self, actions, active):
        assert (active == self.running).all(), "finished slots must not be stepped, running ones must"
        for slot in np.flatnonzero(active):
            seed, time = self.seed[slot], int(self.time[slot])
            self.n_steps += 1
            if self.fails(seed) and time == min(1, self.length(seed) - 1):
                self._fail(slot)
                continue
            hits = []
            for k, team in enumerate(self.out.teams):
                chosen = actions[k][slot]
                assert team.available[slot][np.arange(len(chosen)), chosen].all(), "unavailable action"
                hits.append((chosen == self.right_actions(seed, time, k)).astype(np.float32))
            self.hits[slot] += hits[0].sum()
            self.time[slot] += 1
            self._observe(slot)
            for k, team in enumerate(self.out.teams):
                mine = hits[k] if self.args.individual_rewards else hits[k].sum()
                team.rewards[slot] = mine - sum(h.sum() for j, h in enumerate(hits) if j != k)
            over = time + 1 == self.length(seed)
            cut = self.args.ends == "truncated" or (self.args.ends == "mixed" and time + 1 == self.args.limit)
            self.out.terminated[slot], self.out.truncated[slot] = over and not cut, over and cut
            self.out.info["hits"][slot] = self.hits[slot] if over else np.nan
            self.running[slot] = not over
        return self.out

    def _fail(self, slot):
        """What a dead environment leaves: rubbish everywhere, but something to choose."""
        for team in self.out.teams:
            rubbish = 1e30 if self.args.kind == "floats" else 255
            team.obs[slot], team.rewards[slot] = rubbish, 1e30
            if not self.args.joint_obs:
                team.state[slot] = rubbish
            team.available[slot] = True
        self.out.failed[slot], self.out.terminated[slot], self.out.truncated[slot] = True, False, False
        self.out.info["hits"][slot] = 1e30
        self.running[slot] = False

    def render(self, slot=0):
        return np.zeros((4, 4, 3), np.uint8)

    def close(self):
        self.closed += 1


class Hinted(Memoryless):
    """A scripted player that does what it is told."""

    fits = frozenset({("toy", "agents"), ("toy", "red"), ("toy", "blue")})

    def __init__(self, env_args, team):
        assert isinstance(env_args, ToyArgs)
        assert team.n_actions == N_ACTIONS

    def act(self, step, generator):
        return step.obs[..., :N_ACTIONS].argmax(-1)


class MortalArgs(ToyArgs):
    grave: str = ""
    deaths: int = 2


class MortalVecEnv(ToyVecEnv):
    """Ends its process in its second step, ``deaths`` times in all: each leaves a mark in the file ``grave``."""

    Args = MortalArgs

    def step(self, actions, active):
        grave = Path(self.args.grave) if self.args.grave else None
        if grave and self.n_steps and (not grave.exists() or grave.stat().st_size < self.args.deaths):
            with grave.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(actions, active)


class Drawing:
    """Draws as controllers do: for all slots, whatever they do."""

    def __init__(self):
        self.generator = np.random.default_rng(7)

    def begin(self, n_envs):
        self.time = np.zeros(n_envs)

    def restart(self, slots):
        self.time[slots] = 0

    def played(self):
        return None

    def act(self, step, *, t_env, greedy_policy=False):
        self.time += 1
        noise = self.generator.random(step.available.shape) + step.obs[..., :4] + np.sin(self.time)[:, None, None]
        return np.where(step.available, noise, -9.0).argmax(-1)

    def state_dict(self):
        return self.generator.bit_generator.state

    def load_state_dict(self, state):
        self.generator.bit_generator.state = state
