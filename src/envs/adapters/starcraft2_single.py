"""One game of StarCraft II inside a worker, through SMAC's StarCraft2Env. Must not import torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from envs.workers.global_streams import mix_seed
from envs.workers.shared_block import SingleSpec, Slot

INFO_KEYS = ("battle_won", "dead_allies", "dead_enemies")


class GameCrashed(Exception):
    """The game ended or stopped answering in the middle of an episode."""


class StarCraft2Single:
    """SMAC's environment, made anew after every crash.

    SMAC (commit d6aab33f) restarts a crashed game by itself, but drops the episode without saying so, and counts the
    enemies' health twice in the scale of rewards if it happens in the first episode. Hence the environment is not
    used again: the worker discards whoever raises and builds another one at the next reset.
    """

    def __init__(self, *, game: str, arguments: dict[str, Any]) -> None:
        """Learn the sizes; the game itself starts at the first reset.

        Args:
            game: StarCraft II's folder.
            arguments: of StarCraft2Env.
        """
        os.environ["SC2PATH"] = game
        self._make = self._maker(arguments)
        self._env: Any = None
        self._ended_once = False
        try:
            unused = self._make()
        except KeyError:
            raise UserError(f"SMAC has no map {arguments['map_name']}, though there is a file of that name.") from None
        self._check_version(arguments["game_version"])
        info = unused.get_env_info()
        self._timed = arguments["obs_timestep_number"]
        self._own_state = not arguments["obs_instead_of_state"]
        self.spec = SingleSpec(
            n_agents=info["n_agents"],
            n_actions=info["n_actions"],
            obs_dim=info["obs_shape"],
            state_dim=info["state_shape"] if self._own_state else 0,
            reward_dim=1,
            episode_limit=info["episode_limit"],
            info_keys=INFO_KEYS,
            can_record=True,
        )

    def _maker(self, arguments: dict[str, Any]) -> Callable[..., Any]:
        """Return what makes the package's environment; only the game's seed is left open."""
        try:
            from smac.env import StarCraft2Env
        except ImportError as error:
            raise UserError(f"SMAC cannot be imported: {type(error).__name__}: {error}") from error
        return functools.partial(StarCraft2Env, **arguments)

    def _before_reset(self, seed: int) -> None:
        """Do what an episode's seed can do beside seeding a new game."""

    def _check_version(self, version: str | None) -> None:
        from pysc2 import run_configs

        try:
            run_configs.get(version=version)
        except ValueError as error:
            raise UserError(f"env_args.game_version={version}: {error}") from error

    def reset(self, seed: int, out: Slot) -> None:
        """Start an episode; the seed counts where a game is started for it.

        Raises:
            UserError: the game does not start.
            GameCrashed: it crashed on the way.
        """
        if self._env is not None and not self._ended_once:
            self.close()  # SMAC would start a second game beside this one, whose first episode was left halfway
        if self._env is None:
            self._start_game(seed)
        else:
            self._before_reset(seed)
            self._env.reset()
        self._check_alive()
        self._write(out)

    def _start_game(self, seed: int) -> None:
        from pysc2.lib.remote_controller import ConnectError, RequestError
        from pysc2.lib.sc_process import SC2LaunchError

        self._env = self._make(seed=mix_seed(seed))
        self._ended_once = False
        self._before_reset(seed)
        try:
            self._env.reset()
        except (ConnectError, RequestError, SC2LaunchError) as error:
            raise UserError(f"StarCraft II in {os.environ['SC2PATH']} does not start: {error}") from error

    def step(self, actions: list[int], out: Slot) -> tuple[bool, bool]:
        """Step all agents."""
        timeouts = self._env.timeouts
        reward, ended, info = self._env.step(actions)
        self._check_alive()
        self._write(out)
        out.rewards[0] = reward
        if ended:
            self._ended_once = True
            out.info[:] = [info[key] for key in INFO_KEYS]
        truncated = self._env.timeouts > timeouts  # a battle that is decided in the last step is no time-out
        return ended and not truncated, truncated

    def _check_alive(self) -> None:
        if self._env.force_restarts:
            raise GameCrashed("StarCraft II ended or stopped answering; it is started anew for the next episode")

    def _write(self, out: Slot) -> None:
        for i, observation in enumerate(self._env.get_obs()):
            # SMAC announces one entry for the time, but shows two: one that stays zero, and the time behind it
            out.obs[i] = np.delete(observation, -2) if self._timed else observation
        if self._own_state:
            out.state[:] = self._env.get_state()
        out.available[:] = self._env.get_avail_actions()

    def save_replay(self, folder: str) -> str:
        """Save what was played since the game's start; returns the file."""
        self._env.replay_dir = folder
        self._env.save_replay()
        return str(max(Path(folder).glob("*.SC2Replay"), key=lambda path: path.stat().st_mtime_ns))

    def render(self) -> np.ndarray:
        """Raise: the game draws replays, and SMAC's own pictures fail on Python 3.11."""
        raise RuntimeError("StarCraft II is not drawn here; save_replay=true saves replays for the game to show")

    def close(self) -> None:
        """End the game."""
        env, self._env = self._env, None
        if env is not None:
            env.close()
