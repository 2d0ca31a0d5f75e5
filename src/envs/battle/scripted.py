"""Scripted policies to measure against: random, nearest enemy, focus fire with kiting.

They see the battle itself (:class:`envs.battle.battle.Battle`), not observations, but choose available actions only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from envs.battle.battle import Battle
from envs.battle.combat import can_attack
from envs.battle.simulator import LOOPS_PER_STEP
from envs.battle.units import HEAL, MINIMUM_DAMAGE

STOP, FIRST_MOVE, FIRST_TARGET = 1, 2, 6
_MOVES = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])  # actions 2 to 5
_MELEE = 1.0
"""Longest range of a melee weapon."""
_DANGER = 2.0
"""Gap to a melee enemy from which a shooter steps back."""
_OVERKILL = 1e4
"""Added to the score of an enemy whom others will have killed."""
_RELOADING = 5.0
"""Game loops of reloading that make a step back worth while."""


class Scripted:
    """What the scripted policies share: the battles as [N, A, E] arrays, and how a target becomes an action."""

    def __init__(self, env: Battle) -> None:
        self.env = env
        self.n_allies = env.simulator.battle_map.n_allies
        self.traits: np.ndarray = env.simulator.arena.traits
        arena, units = env.simulator.arena, range(len(self.traits))
        allies, enemies = units[: self.n_allies], units[self.n_allies :]
        self.hits = np.array([[can_attack(arena, i, j) for j in enemies] for i in allies])  # [A, E]
        self.medivacs = self.traits["effect"][: self.n_allies] == HEAL

    def restart(self, slots: np.ndarray) -> None:
        """Forget what was remembered of these slots (int64 [K])."""

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the allies' and the enemies' places: [N, A, 2], [N, E, 2]."""
        units = self.env.simulator.units
        both = np.stack([units["x"], units["y"]], -1)
        return both[:, : self.n_allies], both[:, self.n_allies :]

    def _alive(self) -> tuple[np.ndarray, np.ndarray]:
        alive = self.env.simulator.units["alive"]
        return alive[:, : self.n_allies], alive[:, self.n_allies :]

    def _patients(self) -> np.ndarray:
        """Return the nearest wounded ally that is no medivac, or -1: int64 [N, A]."""
        units, n_allies = self.env.simulator.units, self.n_allies
        places, _ = self._places()
        wounded = (units["health"][:, :n_allies] < self.traits["max_health"][:n_allies]) & ~self.medivacs
        wounded &= self._alive()[0]
        distances = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
        distances = np.where(wounded[:, None], distances, np.inf)
        return np.where(np.isfinite(distances.min(-1)), distances.argmin(-1), -1)

    def _engage(self, targets: np.ndarray, available: np.ndarray) -> np.ndarray:
        """Act on targets (int64 [N, A], -1 none): attack or heal, or move there along the axis that is farther off."""
        own, enemies = self._places()
        rows, agents = np.indices(targets.shape)
        everybody = np.concatenate([own, enemies], 1)
        goals = everybody[rows, targets + np.where(self.medivacs, 0, self.n_allies)]  # of -1 any; not used below
        reach = np.take_along_axis(available, FIRST_TARGET + np.maximum(targets, 0)[..., None], -1)[..., 0]
        delta = goals - own
        sideways = np.abs(delta[..., 0]) > np.abs(delta[..., 1])
        move = np.where(sideways, 4 + (delta[..., 0] <= 0), FIRST_MOVE + (delta[..., 1] <= 0))
        actions = np.where(reach, FIRST_TARGET + targets, move)
        actions = np.where(targets < 0, STOP, actions)
        return np.where(available[rows, agents, actions], actions, available.argmax(-1))


class RandomPolicy(Scripted):
    """Uniform among the available actions."""

    def __init__(self, env: Battle, seed: int = 0) -> None:
        super().__init__(env)
        self._rng = np.random.default_rng(seed)

    def act(self, available: np.ndarray) -> np.ndarray:
        """Choose actions: int64 [N, A]; ``available`` is bool [N, A, U]."""
        return np.where(available, self._rng.random(available.shape, np.float32), -1.0).argmax(-1)


class NearestPolicy(Scripted):
    """SMAC's heuristic restricted to an agent's own actions: attack the nearest enemy until it is dead.

    Medivacs heal the nearest wounded ally.
    """

    def __init__(self, env: Battle) -> None:
        super().__init__(env)
        self._targets = np.full((env.n_envs, self.n_allies), -1)

    def restart(self, slots: np.ndarray) -> None:
        """Forget the targets of these slots (int64 [K])."""
        self._targets[slots] = -1

    def act(self, available: np.ndarray) -> np.ndarray:
        """Choose actions: int64 [N, A]; ``available`` is bool [N, A, U]."""
        own, enemies = self._places()
        living = self._alive()[1]
        distances = np.linalg.norm(own[:, :, None] - enemies[:, None], axis=-1)
        distances = np.where(living[:, None] & self.hits, distances, np.inf)
        nearest = np.where(np.isfinite(distances.min(-1)), distances.argmin(-1), -1)
        kept = (self._targets >= 0) & np.take_along_axis(living, np.maximum(self._targets, 0), 1)
        self._targets = np.where(kept, self._targets, nearest)
        return self._engage(np.where(self.medivacs, self._patients(), self._targets), available)


class FocusPolicy(Scripted):
    """Focus fire with kiting.

    The team waits for enemies that come nearer. Shooters attack the weakest enemy in reach whom the shots of the others
    leave alive, at equal strength the one nearest to the team, and step back while their weapon reloads and a melee
    enemy is near. Melee units and medivacs act as in :class:`NearestPolicy`, but do not keep to their targets.
    """

    def __init__(self, env: Battle) -> None:
        super().__init__(env)
        self._apart = np.full(env.n_envs, math.inf)
        arena, types = env.simulator.arena, self.traits["type"]
        hit = arena.damage[types[: self.n_allies, None], types[self.n_allies :]] - self.traits["armor"][self.n_allies :]
        self._damage = np.maximum(hit, MINIMUM_DAMAGE) * self.traits["hits"][: self.n_allies, None]  # [A, E]

    def restart(self, slots: np.ndarray) -> None:
        """Forget how far apart the sides of these slots (int64 [K]) were."""
        self._apart[slots] = math.inf

    def _wait(self, distances: np.ndarray, in_reach: np.ndarray) -> np.ndarray:
        """Return where the team waits, bool [N]: nobody is in reach, and the sides are coming nearer."""
        apart = distances.min((1, 2))
        nearer = apart < self._apart - 0.1
        self._apart = apart
        return nearer & ~in_reach.any((1, 2))

    def _share_out(self, in_reach: np.ndarray, strength: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Choose the target of least ``score`` for each agent in turn, preferably one whom no other will have killed.

        ``in_reach`` is bool [N, A, E], ``strength`` (health and shield) and ``score`` are float64 [N, E]; returns
        int64 [N, A], -1 where nobody is in reach.
        """
        left, rows = strength.copy(), np.arange(len(strength))
        fires = self.env.simulator.units["cooldown"][:, : self.n_allies] < LOOPS_PER_STEP
        targets = np.full(in_reach.shape[:2], -1)
        for agent in range(self.n_allies):
            cost = np.where(in_reach[:, agent], score + np.where(left > 0, 0.0, _OVERKILL), np.inf)
            found = np.isfinite(cost.min(-1))
            chosen = cost.argmin(-1)
            targets[found, agent] = chosen[found]
            left[rows, chosen] -= self._damage[agent, chosen] * (found & fires[:, agent])
        return targets

    def act(self, available: np.ndarray) -> np.ndarray:
        """Choose actions: int64 [N, A]; ``available`` is bool [N, A, U]."""
        units, n_allies = self.env.simulator.units, self.n_allies
        own, enemies = self._places()
        standing, living = self._alive()
        distances = np.linalg.norm(own[:, :, None] - enemies[:, None], axis=-1)
        possible = living[:, None] & self.hits
        nearest = np.where(possible, distances, np.inf)
        weight = standing[..., None] / np.maximum(standing.sum(1), 1)[:, None, None]
        center = (own * weight).sum(1, keepdims=True)
        strength = (units["health"] + units["shield"])[:, n_allies:]
        score = strength + 0.01 * np.linalg.norm(enemies - center, axis=-1)
        shooter = (self.traits["range"][:n_allies] > _MELEE) & ~self.medivacs
        in_reach = possible & available[..., FIRST_TARGET : FIRST_TARGET + living.shape[1]]
        weakest = self._share_out(in_reach & shooter[:, None], strength, score)
        targets = np.where(weakest >= 0, weakest, nearest.argmin(-1))
        targets = np.where(np.isfinite(nearest.min(-1)), targets, -1)
        actions = self._engage(np.where(self.medivacs, self._patients(), targets), available)
        waits = self._wait(np.where(standing[..., None], nearest, np.inf), in_reach)
        actions = np.where(waits[:, None] & standing & ~self.medivacs, STOP, actions)
        return self._step_back(actions, available, own, enemies, living, shooter)

    def _step_back(
        self,
        actions: np.ndarray,
        available: np.ndarray,
        own: np.ndarray,
        enemies: np.ndarray,
        living: np.ndarray,
        shooter: np.ndarray,
    ) -> np.ndarray:
        """Replace the actions of reloading shooters near melee enemies by the move that leads farthest from them."""
        n_allies, traits = self.n_allies, self.traits
        offset = own[:, :, None] - enemies[:, None]  # [N, A, E, 2]
        gaps = np.linalg.norm(offset, axis=-1) - traits["radius"][:n_allies, None] - traits["radius"][n_allies:]
        close = living[:, None] & (traits["range"][n_allies:] <= _MELEE) & (gaps < _DANGER)
        away = (offset / np.maximum(gaps, 0.1)[..., None] ** 2 * close[..., None]).sum(2)  # [N, A, 2]
        gain = np.where(available[..., FIRST_MOVE:FIRST_TARGET], away @ _MOVES.T, -math.inf)
        reloading = self.env.simulator.units["cooldown"][:, :n_allies] >= _RELOADING
        back = close.any(-1) & shooter & reloading & (gain.max(-1) > 0)
        return np.where(back, FIRST_MOVE + gain.argmax(-1), actions)


POLICIES: dict[str, Callable[[Battle], RandomPolicy | NearestPolicy | FocusPolicy]] = {
    "random": RandomPolicy,
    "nearest": NearestPolicy,
    "focus": FocusPolicy,
}


def play(env: Battle, name: str, seeds: np.ndarray) -> dict[str, np.ndarray]:
    """Play one episode per seed (uint64 [E]) with a scripted policy.

    Returns:
        "battle_won", "dead_allies", "dead_enemies", "return" and "length": float64 [E] each, in the order of the seeds.
    """
    policy = POLICIES[name](env)
    keys = (*env.spec.info_keys, "return", "length")
    results = {key: np.zeros(len(seeds)) for key in keys}
    episode = np.full(env.n_envs, -1)
    started, step = 0, None
    while step is None or (episode >= 0).any() or started < len(seeds):
        free = np.flatnonzero(episode < 0)[: len(seeds) - started]
        if free.size:
            episode[free] = np.arange(started, started + free.size)
            step = env.reset(free, seeds[episode[free]])
            policy.restart(free)
            started += free.size
        assert step is not None
        running = episode >= 0
        step = env.step((policy.act(step.teams[0].available),), running)
        results["return"][episode[running]] += step.teams[0].rewards[running, 0]
        results["length"][episode[running]] += 1
        for slot in np.flatnonzero(running & (step.terminated | step.truncated)):
            for key in env.spec.info_keys:
                results[key][episode[slot]] = step.info[key][slot]
            episode[slot] = -1
    return results
