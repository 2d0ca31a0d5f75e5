"""What SMAC shows and rewards, written down slowly, unit by unit, for comparison.

Written from the definitions of oxwhirl/smac (commit d6aab33f): see envs/battle/features.py.
"""

import math

import numpy as np

from envs.battle.units import UNIT_TYPES

MAX_COOLDOWN = {
    "marine": 15,
    "marauder": 25,
    "medivac": 200,
    "stalker": 35,
    "zealot": 22,
    "colossus": 24,
    "hydralisk": 10,
    "zergling": 11,
    "baneling": 1,
}
MAX_SHIELD = {"stalker": 80, "zealot": 50, "colossus": 150}
TYPES = {  # unit types in the order of the one-hot columns: allies, enemies
    "2s3z": (("stalker", "zealot"), ("zealot", "stalker")),
    "3s5z": (("stalker", "zealot"), ("zealot", "stalker")),
    "3s5z_vs_3s6z": (("stalker", "zealot"), ("zealot", "stalker")),
    "1c3s5z": (("colossus", "stalker", "zealot"),) * 2,
    "MMM": (("marauder", "marine", "medivac"),) * 2,
    "MMM2": (("marauder", "marine", "medivac"),) * 2,
    "bane_vs_bane": (("baneling", "zergling"),) * 2,
}


class Reference:
    """SMAC's view of one battle: ``units`` [U], ``last`` the last actions or None."""

    def __init__(self, battle_map, units, last, time, shown, limit, move_amount=2):
        self.map, self.time, self.shown, self.limit, self.ma = battle_map, time, shown, limit, move_amount
        split = battle_map.n_allies
        self.allies, self.enemies = units[:split], units[split:]
        self.names = [UNIT_TYPES[t].name for t in battle_map.types]
        self.ally_names, self.enemy_names = self.names[:split], self.names[split:]
        self.n_actions = 6 + len(self.enemies)
        self.last = np.zeros((split, self.n_actions))
        if last is not None:
            self.last[np.arange(split), last] = 1
        self.ally_types, self.enemy_types = TYPES.get(battle_map.name, ((), ()))
        self.ally_shield = any(name in MAX_SHIELD for name in self.ally_names)
        self.enemy_shield = any(name in MAX_SHIELD for name in self.enemy_names)

    def walkable(self, x, y, outside):
        inside = 0 <= x < 32 and 0 <= y < 32
        return self.map.walkable[x, y] if inside else outside

    def available(self, i):
        row, me = [0] * self.n_actions, self.allies[i]
        if not me["alive"]:
            row[0] = 1
            return row
        row[1] = 1
        m = self.ma / 2
        for action, (dx, dy) in {2: (0, m), 3: (0, -m), 4: (m, 0), 5: (-m, 0)}.items():
            x = int(me["x"] + dx) if dx else int(me["x"])
            y = int(me["y"] + dy) if dy else int(me["y"])
            row[action] = int(self.walkable(x, y, False))
        heals = self.ally_names[i] == "medivac"
        for j, other in enumerate(self.allies if heals else self.enemies):
            if heals and self.ally_names[j] == "medivac":
                continue
            if other["alive"] and math.hypot(other["x"] - me["x"], other["y"] - me["y"]) <= 6:
                row[6 + j] = 1
        return row

    def seen(self, i, first, other, name, types, with_shield, last=None):
        me = self.allies[i]
        distance = math.hypot(other["x"] - me["x"], other["y"] - me["y"])
        visible = other["alive"] and distance < 9
        row = [first, distance / 9, (other["x"] - me["x"]) / 9, (other["y"] - me["y"]) / 9]
        if self.shown.all_health:
            row += self.health(other, name, with_shield)
        row += self.one_hot(name, types)
        row += list(last) if last is not None else []
        return row if visible else [0] * len(row)

    def health(self, unit, name, with_shield):
        kind = next(kind for kind in UNIT_TYPES if kind.name == name)
        return [unit["health"] / kind.health] + ([unit["shield"] / MAX_SHIELD[name]] if with_shield else [])

    def one_hot(self, name, types):
        return [float(name == kind) for kind in types]

    def surroundings(self, i):
        x, y, ma = int(self.allies[i]["x"]), int(self.allies[i]["y"]), self.ma
        points = [(x, y + 2 * ma), (x, y - 2 * ma), (x + 2 * ma, y), (x - 2 * ma, y)]
        points += [(x + ma, y + ma), (x - ma, y - ma), (x + ma, y - ma), (x - ma, y + ma)]
        row = [float(self.walkable(a, b, True)) for a, b in points] if self.shown.pathing_grid else []
        if self.shown.terrain_height:
            for a, b in [*points, (x, y)]:
                row.append(self.map.height[a, b] if 0 <= a < 32 and 0 <= b < 32 else 1.0)
        return row

    def obs(self, i):
        available = self.available(i)
        row = [float(v) for v in available[2:6]] + self.surroundings(i)
        for j, enemy in enumerate(self.enemies):
            row += self.seen(i, available[6 + j], enemy, self.enemy_names[j], self.enemy_types, self.enemy_shield)
        for j, ally in enumerate(self.allies):
            if j != i:
                last = self.last[j] if self.shown.last_action else None
                row += self.seen(i, 1, ally, self.ally_names[j], self.ally_types, self.ally_shield, last)
        if self.shown.own_health or self.shown.all_health:
            row += self.health(self.allies[i], self.ally_names[i], self.ally_shield)
        row += self.one_hot(self.ally_names[i], self.ally_types)
        if not self.allies[i]["alive"]:
            row = [0.0] * len(row)
        return row + ([self.time / self.limit] if self.shown.timestep else [])

    def state(self):
        row = []
        for unit, name in zip(self.allies, self.ally_names, strict=True):
            busy = unit["energy"] if name == "medivac" else unit["cooldown"]
            part = [self.health(unit, name, False)[0], busy / MAX_COOLDOWN[name]]
            part += [(unit["x"] - 16) / 32, (unit["y"] - 16) / 32]
            part += self.health(unit, name, True)[1:] if self.ally_shield else []
            part += self.one_hot(name, self.ally_types)
            row += part if unit["alive"] else [0] * len(part)
        for unit, name in zip(self.enemies, self.enemy_names, strict=True):
            part = [self.health(unit, name, False)[0], (unit["x"] - 16) / 32, (unit["y"] - 16) / 32]
            part += self.health(unit, name, True)[1:] if self.enemy_shield else []
            part += self.one_hot(name, self.enemy_types)
            row += part if unit["alive"] else [0] * len(part)
        row += list(self.last.ravel()) if self.shown.state_last_action else []
        return row + ([self.time / self.limit] if self.shown.state_timestep else [])


def reward(before, after, n_allies, *, only_positive, death_value, negative_scale):
    """SMAC's reward of a step before the end's bonus and scaling; ``before`` and ``after`` are units [U]."""
    enemy, ally, deaths = 0.0, 0.0, 0.0
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if not old["alive"]:
            continue
        had = old["health"] + old["shield"]
        has = new["health"] + new["shield"] if new["alive"] else 0.0
        if i >= n_allies:
            enemy += had - has
            deaths += death_value * (not new["alive"])
        else:
            ally += negative_scale * (had - has)
            deaths -= 0 if only_positive else death_value * negative_scale * (not new["alive"])
    return abs(enemy + deaths) if only_positive else enemy + deaths - ally
