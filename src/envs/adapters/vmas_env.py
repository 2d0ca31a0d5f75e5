"""VMAS, the vectorised multi-agent simulator (Bettini et al., arXiv 2207.03530), simulated here in batches."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, Field, field_validator
from torch import Tensor

from core.data import EnvSpec, TeamSpec, TimeStep, allocate_time_step
from core.errors import UserError
from core.registry import did_you_mean
from core.settings import Section
from envs.workers.notices import SAID

_REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements-vmas.txt"
MAX_FAILURES_IN_A_ROW = 5
_DRAWS = (
    "draws random numbers in its steps, for all environments at once: an episode depends on those beside it. "
    "env_args.batched=false makes each depend on its seed alone, slower."
)
_UNUSED = "Scenario kwargs: "  # how VMAS begins to say that a scenario does not read an argument


class VmasArgs(Section):
    """``env_args`` of ``vmas``; any other key goes to the scenario, e.g. ``env_args.n_agents=5``."""

    model_config = ConfigDict(extra="allow")

    key: str = Field("balance", description="scenario of VMAS (EPyMARL's vmas-<scenario> is read too)")
    time_limit: int = Field(100, ge=1, description="steps until truncation")
    batched: bool = Field(
        True, description="one simulation of all environments; false: one for each, slower, whatever a scenario draws"
    )

    @field_validator("key")
    @classmethod
    def _without_prefix(cls, key: str) -> str:
        return key.removeprefix("vmas-")


def _import_vmas() -> Any:
    """Import VMAS without the greeting of gym 0.26, which it needs, and without gym's environment variables."""
    if importlib.util.find_spec("vmas") is None:
        raise UserError(f"The Python package vmas is not installed. Mend it: {sys.executable} -m pip install -r "
                        f"{_REQUIREMENTS}")  # fmt: skip
    if "gym" not in sys.modules:
        import gym_notices.notices

        before = dict(os.environ)
        gym_notices.notices.notices.clear()
        import gym  # noqa: F401

        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
    import vmas

    return vmas


def _scenario_file(vmas: Any, key: str) -> Path:
    files = {path.stem: path for path in sorted(Path(vmas.__file__).parent.glob("scenarios/**/*.py"))}
    files.pop("__init__")
    if key not in files:
        raise UserError(f"Unknown scenario env_args.key={key}.{did_you_mean(key, files)} Known: {', '.join(files)}.")
    return files[key]


def _random_states(seed: int) -> list[Any]:
    """States of the three global streams that VMAS draws from (torch, NumPy, random), all from one seed."""
    numpy_stream = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    return [
        torch.Generator().manual_seed(seed).get_state(),
        numpy_stream.get_state(),
        random.Random(seed).getstate(),
    ]


class _Worlds:
    """One of VMAS's simulations: some worlds in a batch, with random states that nothing else draws from.

    VMAS keeps the states of all its simulations in one list of its class, swaps them with the global ones for the
    length of every call, and so leaves the global ones alone.
    """

    def __init__(self, vmas: Any, n: int, args: VmasArgs) -> None:
        self._shared = vmas.simulator.environment.Environment.vmas_random_state
        self._states = _random_states(0)
        self.env = self._call(
            lambda: vmas.make_env(
                args.key, num_envs=n, device="cpu", continuous_actions=False, max_steps=args.time_limit,
                terminated_truncated=True, **(args.model_extra or {}),
            )
        )  # fmt: skip

    def _call(self, ask: Any) -> Any:
        self._shared[:] = self._states
        try:
            return ask()
        finally:
            self._states = list(self._shared)

    def restart(self, k: int, seed: int) -> None:
        """Begin an episode in world ``k``."""
        self._states = _random_states(seed)
        self._call(lambda: self.env.reset_at(k, return_observations=False))

    def observe(self) -> list[Tensor]:
        """Observations of all worlds after a restart: per agent [n, O]."""
        (observations,) = self._call(lambda: self.env.get_from_scenario(True, False, False, False))
        return [_flat(one) for one in observations]

    def step(self, actions: np.ndarray) -> tuple[list[Tensor], Tensor, Tensor, Tensor, bool]:
        """Step all worlds with actions [n, A]: observations per agent, rewards [n, A], both ends, whether it drew."""
        before = self._states[0]
        given = [torch.from_numpy(column).unsqueeze(-1) for column in np.ascontiguousarray(actions.T)]
        observations, rewards, terminated, truncated, _ = self._call(lambda: self.env.step(given))
        drew = not torch.equal(before, self._states[0])
        rewards = torch.stack([one.reshape(-1) for one in rewards], -1)  # some scenarios give [n], others [n, 1]
        return [_flat(one) for one in observations], rewards, terminated, truncated, drew


def _flat(observation: Any) -> Tensor:
    """An agent's observation as [n, O]; VMAS's dictionaries (goal, sensors, ...) in their own order."""
    parts = list(observation.values()) if isinstance(observation, dict) else [observation]
    return torch.cat([part.reshape(len(part), -1) for part in parts], -1)


class Vmas:
    """N worlds of a VMAS scenario as a :class:`core.protocols.VecEnv`, with discrete actions.

    All agents are in one team, "agents", with individual rewards. Smaller observations are padded with zeros, missing
    actions are never available; an action is a direction per axis (and a word, where agents speak). The state is all
    observations in a row. ``time_limit`` truncates, the scenario's own end terminates.

    Every episode starts from a random state of its own seed. It depends on that and the actions alone where ``batched``
    is false. In a batch VMAS looks for contacts in all worlds at once, and a scenario that draws in its steps too
    (noise, targets that come anew) draws for all, so an episode depends on its neighbours as well.

    An episode in which a world gives numbers that are not finite is dropped (``failed``).

    Raises:
        UserError: VMAS is missing, unknown scenario or argument; more than ``MAX_FAILURES_IN_A_ROW`` episodes failed
            without a finished one between them.
    """

    Args = VmasArgs

    @staticmethod
    def package(args: VmasArgs) -> str:
        """Return the name of the package that has the environment."""
        return "vmas"

    def __init__(self, n_envs: int, args: VmasArgs) -> None:
        vmas = _import_vmas()
        source = _scenario_file(vmas, args.key)
        self.n_envs = n_envs
        self._key = args.key
        self._batched = args.batched
        self._failures = 0
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=_UNUSED)
            try:
                count, size = (1, n_envs) if args.batched else (n_envs, 1)
                self._worlds = [_Worlds(vmas, size, args) for _ in range(count)]
            except UserWarning as unused:
                raise UserError(f"{args.key} does not read all of its env_args: {unused} See {source}.") from None
            except (TypeError, ValueError, AssertionError, IndexError, RuntimeError) as error:
                given, why = dict(args.model_extra or {}), f"{type(error).__name__}: {error}"
                raise UserError(f"{args.key} refuses its arguments {given}: {why}. See {source}.") from error
        self._size = size
        env = self._worlds[0].env
        self._n_actions = np.array([space.n for space in env.action_space.spaces])
        self._obs_dims = [one.shape[1] for one in self._worlds[0].observe()]
        n_agents, obs_dim = len(self._n_actions), max(self._obs_dims)
        team = TeamSpec(
            name="agents",
            n_agents=n_agents,
            n_actions=int(self._n_actions.max()),
            obs_dim=obs_dim,
            state_dim=n_agents * obs_dim,
            reward_dim=n_agents,
            state_is_joint_obs=True,
        )
        self.spec = EnvSpec(teams=(team,), episode_limit=args.time_limit, can_render=True)
        self._time_step = allocate_time_step(self.spec, n_envs)
        self._time_step.teams[0].available[:] = np.arange(team.n_actions) < self._n_actions[:, None]

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new episodes in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K])."""
        out = self._time_step
        for slot, seed in zip(slots.tolist(), seeds.tolist(), strict=True):
            self._worlds[slot // self._size].restart(slot % self._size, seed)
        for group in np.unique(slots // self._size).tolist():
            rows = slots[slots // self._size == group]
            self._observe(rows, self._worlds[group].observe())
        out.teams[0].rewards[slots] = 0.0
        for flag in (out.terminated, out.truncated, out.failed):
            flag[slots] = False
        return out

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step the slots where ``active`` (bool [N]) holds; ``actions[0]`` is int64 [N, A].

        The other worlds of a batch are stepped along, unseen: a slot that rests is reset before it goes on.
        """
        out, slots = self._time_step, np.flatnonzero(active)
        obs, reward = out.teams[0].obs, out.teams[0].rewards
        given = np.where(active[:, None], actions[0], 0)
        for group in np.unique(slots // self._size).tolist():
            first = group * self._size
            worlds = given[first : first + self._size]
            observations, rewards, terminated, truncated, drew = self._worlds[group].step(worlds)
            rows = slots[slots // self._size == group]
            self._observe(rows, observations)
            reward[rows] = rewards.numpy()[rows - first]
            out.terminated[rows] = terminated.numpy()[rows - first]
            out.truncated[rows] = truncated.numpy()[rows - first] & ~out.terminated[rows]
            if drew and self._batched and self.n_envs > 1:
                self._tell(_DRAWS)
        out.failed[slots] = ~(np.isfinite(obs[slots]).all((1, 2)) & np.isfinite(reward[slots]).all(1))
        self._count(slots)
        return out

    def _count(self, slots: np.ndarray) -> None:
        """Empty the rows of worlds that failed, and end a run in which no episode is finished any more."""
        out = self._time_step
        if (out.terminated | out.truncated)[slots].any():
            self._failures = 0
        failed = slots[out.failed[slots]]
        for array in (out.teams[0].obs, out.teams[0].rewards, out.terminated, out.truncated):
            array[failed] = 0
        self._failures += len(failed)
        if self._failures > MAX_FAILURES_IN_A_ROW:
            raise UserError(
                f"vmas ({self._key}) gave numbers that are not finite in {self._failures} episodes, and none was "
                "finished in between."
            )
        if len(failed):
            self._tell("gave numbers that are not finite; the episode is dropped.")

    def _observe(self, rows: np.ndarray, observations: list[Tensor]) -> None:
        for i, (observation, size) in enumerate(zip(observations, self._obs_dims, strict=True)):
            self._time_step.teams[0].obs[rows, i, :size] = observation.numpy()[rows % self._size]

    def _tell(self, what: str) -> None:
        text = f"vmas ({self._key}) {what}"
        if text not in SAID:
            SAID.add(text)
            print(text, file=sys.stderr)

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one environment: uint8 [H, W, 3].

        Raises:
            UserError: there is no screen to draw on.
        """
        env = self._worlds[slot // self._size].env
        try:
            image = env.render(mode="rgb_array", env_index=slot % self._size)
        except Exception as error:  # pyglet's and OpenGL's, of many kinds
            raise UserError(
                f"vmas ({self._key}) cannot be drawn: {type(error).__name__}: {error}. VMAS draws by OpenGL; on a "
                "machine without a screen start the command with xvfb-run (Debian and Ubuntu: apt install xvfb)."
            ) from error
        return np.ascontiguousarray(image, np.uint8)

    def close(self) -> None:
        """Close the window, where one was opened."""
        for worlds in self._worlds:
            viewer, worlds.env.viewer = worlds.env.viewer, None
            if viewer is not None:
                viewer.close()
