"""The behaviour of SMAC's StarCraft2Env (commit d6aab33f) around the ends of episodes, without a game.

The map is the script: ``win`` (and two of SMAC's names), ``defeat`` and ``draw`` end in step 3 of at most 4; ``late``
is lost in step 4 itself; ``long`` never ends; ``fragile`` crashes in every reset but the first, and ``broken`` does not
even start. Action 3 of the first agent, which is never available, crashes any game. Everything that happens is a line
of the file SCRIPTED_LOG.
"""

import json
import os
from pathlib import Path

import numpy as np
from pysc2.lib.remote_controller import ConnectError

MAPS = {"win": 3, "3m": 3, "2m_vs_1z": 3, "defeat": 3, "draw": 3, "late": 4}
MAPS |= dict.fromkeys(("long", "fragile", "broken"))
LIMIT = 4
CRASH = 3


class StarCraft2Env:
    def __init__(self, seed=None, replay_dir="", **arguments):
        self.end = MAPS[arguments["map_name"]]
        self.arguments, self.replay_dir = {**arguments, "seed": seed}, replay_dir
        self.timeouts = self.force_restarts = 0
        self.episodes = -1
        self.clock = 0
        self._log("made", self.arguments)

    def _log(self, *what):
        with Path(os.environ["SCRIPTED_LOG"]).open("a") as file:
            file.write(json.dumps(what) + "\n")

    def get_env_info(self):
        size = 3 + self.arguments["obs_timestep_number"]
        return {"n_agents": 2, "n_actions": 4, "obs_shape": size, "state_shape": 2, "episode_limit": LIMIT}

    def reset(self):
        self._log("reset")
        if self.arguments["map_name"] == "broken":
            raise ConnectError("the socket stays closed")
        self.clock = 0
        self.episodes += 1
        if self.arguments["map_name"] == "fragile" and self.episodes:
            self.force_restarts += 1
        return self.get_obs(), self.get_state()

    def step(self, actions):
        if actions[0] == CRASH:
            self.force_restarts += 1
            return 0, True, {}
        self.clock += 1
        over = self.clock == self.end
        kind = self.arguments["map_name"]
        dead = {"dead_allies": 2 * (kind != "win") * over, "dead_enemies": 3 * (kind in ("win", "draw")) * over}
        info = {"battle_won": over and kind == "win", **dead}
        if not over and self.clock >= LIMIT:
            self.timeouts += 1
        return self.clock / 2, over or self.clock >= LIMIT, info

    def get_obs(self):
        time = [0, 0.5] if self.arguments["obs_timestep_number"] else []  # one more than announced
        return [np.array([*[10 * self.episodes + self.clock + i] * 3, *time], np.float32) for i in range(2)]

    def get_state(self):
        return np.full(2, -self.clock, np.float32)

    def get_avail_actions(self):
        return [[0, 1, 1, 0], [0, 1, self.clock % 2, 0]]

    def save_replay(self):
        Path(self.replay_dir).mkdir(parents=True, exist_ok=True)
        (Path(self.replay_dir) / f"{self.arguments['map_name']}.SC2Replay").write_text(f"{self.episodes + 1} episodes")

    def close(self):
        self._log("close")
