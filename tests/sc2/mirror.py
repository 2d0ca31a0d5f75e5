"""SMAC's environment and the battle world side by side, over the same units.

The battle world runs as it does in a run, but for the simulator: after every step its units are those that the game
told SMAC. So what differs is what the two make of them: observations, state, available actions, rewards, ends, orders.
"""

from dataclasses import dataclass, field

import numpy as np
from s2clientprotocol import debug_pb2 as d_pb
from smac.env import StarCraft2Env

from envs.battle.battle import Battle
from envs.battle.state import ATTACK, HEAL_UNIT, KEEP, MOVE, STOP

ABILITIES = {STOP: 4, MOVE: 16, ATTACK: 23, HEAL_UNIT: 386}
ALL = np.ones(1, bool)


@dataclass
class Differences:
    """Largest absolute difference of each thing that was compared, and how much was."""

    largest: dict = field(default_factory=dict)
    steps: int = 0
    kills: int = 0
    results: list = field(default_factory=list)

    def note(self, name, theirs, ours):
        theirs, ours = np.asarray(theirs, np.float64), np.asarray(ours, np.float64)
        assert theirs.shape == ours.shape, f"{name}: {theirs.shape} in SMAC, {ours.shape} here"
        gap = float(np.abs(theirs - ours).max(initial=0.0))
        self.largest[name] = max(self.largest.get(name, 0.0), gap)


class SideBySide:
    """One map in both worlds; ``arguments`` are SMAC's."""

    def __init__(self, map_name, *, seed=1, **arguments):
        self.smac = StarCraft2Env(map_name=map_name, seed=seed, **arguments)
        self.battle = Battle(1, Battle.Args(map_name=map_name, **arguments))
        self.battle.simulator.reset = lambda slots, seeds: self._copy_units()
        self.battle.simulator.step = self._play
        self.found = Differences()
        self._rng = np.random.default_rng(seed)
        self._pending = None

    def _copy_units(self):
        rows = self.battle.simulator.units[0]
        units = [*self.smac.agents.values(), *self.smac.enemies.values()]
        assert len(units) == len(rows)
        for row, unit in zip(rows, units, strict=True):
            row["alive"] = unit.health > 0
            row["x"], row["y"] = unit.pos.x, unit.pos.y
            row["health"], row["shield"] = unit.health, unit.shield * row["alive"]
            row["energy"], row["cooldown"] = unit.energy, unit.weapon_cooldown

    def _play(self, orders, active, *, loops):
        """Stands for the simulator's step: SMAC's, with the same actions."""
        sent = []
        controller, send = self.smac._controller, self.smac._controller.actions
        controller.actions = lambda request: sent.extend(request.actions) or send(request)
        tags = [unit.tag for unit in [*self.smac.agents.values(), *self.smac.enemies.values()]]
        self._pending = self.smac.step(self._chosen)
        controller.actions = send
        self._compare_orders(orders[0], sent, tags)
        self._copy_units()

    def _compare_orders(self, orders, sent, tags):
        commands = {action.action_raw.unit_command.unit_tags[0]: action.action_raw.unit_command for action in sent}
        for tag, order in zip(tags, orders, strict=False):
            if order["kind"] == KEEP:
                assert tag not in commands
                continue
            command = commands.pop(tag)
            assert command.ability_id == ABILITIES[int(order["kind"])]
            if order["kind"] in (ATTACK, HEAL_UNIT):
                assert command.target_unit_tag == tags[order["target"]]
            if order["kind"] == MOVE:
                point = command.target_world_space_pos
                self.found.note("orders", [point.x, point.y], [order["x"], order["y"]])
        assert not commands

    def _compare(self, step):
        team = step.teams[0]
        observations = np.stack(self.smac.get_obs())
        if self.smac.obs_timestep_number:  # a zero that SMAC does not announce stands before the time
            assert not observations[:, -2].any()
            observations = np.delete(observations, -2, axis=1)
        self.found.note("observations", observations, team.obs[0])
        self.found.note("state", self.smac.get_state(), team.state[0])
        self.found.note("available actions", self.smac.get_avail_actions(), team.available[0])

    def _choose(self, available):
        """Random actions, mostly targets; every other episode all at the first target that each can reach."""
        if len(self.found.results) % 2:
            return [self._focus(row) for row in available]
        odds = available * np.where(np.arange(available.shape[1]) < 6, 1.0, 8.0)
        return [self._rng.choice(len(row), p=row / row.sum()) for row in odds]

    def _focus(self, available):
        targets = np.flatnonzero(available[6:])
        return 6 + targets[0] if targets.size else self._rng.choice(np.flatnonzero(available))

    def episode(self, victims=None):
        """Play one episode and compare everything in it; ``victims(smac)`` are units that fall before step 6."""
        self.smac.reset()
        start = self.found.steps
        self._compare(self.battle.reset(np.zeros(1, np.int64), np.zeros(1, np.uint64)))
        ended = False
        while not ended:
            if victims and self.found.steps == start + 5:
                kill = d_pb.DebugKillUnit(tag=[unit.tag for unit in victims(self.smac)])
                self.smac._controller.debug([d_pb.DebugCommand(kill_unit=kill)])
            self._chosen = self._choose(np.array(self.smac.get_avail_actions()))
            step = self.battle.step([np.array([self._chosen])], ALL)
            reward, ended, info = self._pending
            self._compare(step)
            self.found.note("reward", reward, step.teams[0].rewards[0, 0])
            assert ended == bool(step.terminated[0] | step.truncated[0])
            self.found.steps += 1
        for key in ("battle_won", "dead_allies", "dead_enemies"):
            assert info[key] == step.info[key][0]
        assert (self.smac.timeouts > self.found.results.count("time limit")) == bool(step.truncated[0])
        self.found.kills += info["dead_allies"] + info["dead_enemies"]
        self.found.results.append("time limit" if step.truncated[0] else "won" if info["battle_won"] else "not won")

    def close(self):
        self.smac.close()
