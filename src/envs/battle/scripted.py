"""Scripted players of battles: nearest enemy, focus fire with kiting.

They read the state, which has everybody's place, health and weapon in SMAC's layout, so that they play ``battle`` and
``sc2`` alike; what they choose is available to the agents.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from core.data import TeamSpec, TeamStep
from core.errors import UserError
from envs.battle.combat import can_attack
from envs.battle.layout import Shown, make_layout, sizes
from envs.battle.maps import SIZE, load_map
from envs.battle.simulator import LOOPS_PER_STEP
from envs.battle.state import make_arena
from envs.battle.units import HEAL, MINIMUM_DAMAGE
from envs.scripted import Fits, Memoryless

STOP, FIRST_MOVE, FIRST_TARGET = 1, 2, 6
_MOVES = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])  # actions 2 to 5
_MELEE = 1.0
"""Longest range of a melee weapon."""
_DANGER = 2.0
"""Gap to a melee enemy from which a shooter steps back."""
_WOUNDED = 0.5
"""Part of its health below which a shooter steps back from shooters, too."""
_NEARLY = 0.5
"""How much farther than its weapon reaches a shooter still counts as a danger."""
_OVERKILL = 1e4
"""Added to the score of an enemy whom others will have killed."""
_RELOADING = 5.0
"""Game loops of reloading that make a step back worth while."""
_SCRATCH = 0.01
"""Less health than this is what rounding leaves of the dead."""


class Seen(NamedTuple):
    """N battles as their states show them; the dead are at (16, 16).

    Attributes:
        own, enemies: places, float64 [N, A, 2] and [N, E, 2].
        standing, living: who of them is alive, bool [N, A] and [N, E].
        health: part of their health that the allies have left, float64 [N, A].
        cooldown: game loops until their weapons are ready, float64 [N, A].
        strength: health and shield of the enemies, float64 [N, E].
        kinds: the enemies' types, as columns of the tables of :class:`BattleScript`, int64 [N, E].
    """

    own: np.ndarray
    enemies: np.ndarray
    standing: np.ndarray
    living: np.ndarray
    health: np.ndarray
    cooldown: np.ndarray
    strength: np.ndarray
    kinds: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """From every enemy to every ally: float64 [N, A, E, 2]."""
        return self.own[:, :, None] - self.enemies[:, None]


class BattleScript(Memoryless):
    """What the players of battles share: reading the state, and how a target becomes an action.

    Raises:
        UserError: the map is not one of SMAC's 23, or the state is something else.
    """

    fits: ClassVar[Fits | None] = frozenset({("battle", "agents"), ("sc2", "agents")})

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        if env_args.obs_instead_of_state:
            raise UserError("Scripted players of battles read the state: give env_args.obs_instead_of_state=False.")
        battle_map = load_map(env_args.map_name)
        shown = Shown(state_last_action=env_args.state_last_action, state_timestep=env_args.state_timestep_number)
        self._layout = make_layout(battle_map, shown=shown, limit=battle_map.limit)
        self._widths = sizes(self._layout)
        self.n_allies, self.n_enemies = battle_map.n_allies, battle_map.n_enemies
        arena = make_arena(battle_map)
        # one of each type of enemy, in the order of the state's type columns
        columns = battle_map.type_columns[self.n_allies :]
        kinds = [self.n_allies + int(np.argmax(columns == column)) for column in range(columns.max() + 1)]
        self.traits = arena.traits[: self.n_allies]
        self.kinds = arena.traits[kinds]
        self.hits = np.array([[can_attack(arena, i, j) for j in kinds] for i in range(self.n_allies)])  # [A, kinds]
        self.damage = arena.damage[self.traits["type"][:, None], self.kinds["type"]]  # [A, kinds]
        self.medivacs = self.traits["effect"] == HEAL

    def see(self, state: np.ndarray) -> Seen:
        """Read states: float32 [N, S]."""
        layout, widths = self._layout, self._widths
        split = self.n_allies * widths.state_ally
        own = state[:, :split].reshape(-1, self.n_allies, widths.state_ally).astype(np.float64)
        rest = state[:, split : split + self.n_enemies * widths.state_enemy]
        enemies = rest.reshape(-1, self.n_enemies, widths.state_enemy).astype(np.float64)
        kinds = np.zeros(enemies.shape[:2], np.int64)
        if layout.n_types:
            kinds = enemies[..., -layout.n_types :].argmax(-1)
        strength = enemies[..., 0] * self.kinds["max_health"][kinds]
        if layout.enemy_shield:
            strength = strength + enemies[..., 3] * self.kinds["max_shield"][kinds]
        return Seen(
            own=own[..., 2:4] * SIZE + SIZE / 2,
            enemies=enemies[..., 1:3] * SIZE + SIZE / 2,
            standing=own[..., 0] > 0,
            living=enemies[..., 0] > 0,
            health=own[..., 0],
            cooldown=own[..., 1] * self.traits["max_cooldown"],
            strength=strength,
            kinds=kinds,
        )

    def possible(self, seen: Seen) -> np.ndarray:
        """Whom each agent has a weapon against among the living: bool [N, A, E]."""
        return seen.living[:, None] & np.moveaxis(self.hits[:, seen.kinds], 0, 1)

    def patients(self, seen: Seen) -> np.ndarray:
        """Return the nearest wounded ally that is no medivac, or -1: int64 [N, A]."""
        distances = np.linalg.norm(seen.own[:, :, None] - seen.own[:, None], axis=-1)
        hurt = seen.standing & (seen.health < 1) & ~self.medivacs
        return _nearest(np.where(hurt[:, None], distances, np.inf))

    def engage(self, seen: Seen, targets: np.ndarray, available: np.ndarray) -> np.ndarray:
        """Act on targets (int64 [N, A], -1 none): attack or heal, or move there along the axis that is farther off."""
        targets = np.where(self.medivacs, self.patients(seen), targets)
        rows, agents = np.indices(targets.shape)
        everybody = np.concatenate([seen.own, seen.enemies], 1)
        goals = everybody[rows, targets + np.where(self.medivacs, 0, self.n_allies)]  # of -1 any; not used below
        reach = np.take_along_axis(available, FIRST_TARGET + np.maximum(targets, 0)[..., None], -1)[..., 0]
        delta = goals - seen.own
        sideways = np.abs(delta[..., 0]) > np.abs(delta[..., 1])
        move = np.where(sideways, 4 + (delta[..., 0] <= 0), FIRST_MOVE + (delta[..., 1] <= 0))
        actions = np.where(reach, FIRST_TARGET + targets, move)
        actions = np.where(targets < 0, STOP, actions)
        return np.where(available[rows, agents, actions], actions, available.argmax(-1))


def _nearest(distances: np.ndarray) -> np.ndarray:
    """Return where the last axis is least, -1 where all is infinite."""
    return np.where(np.isfinite(distances.min(-1)), distances.argmin(-1), -1)


class AttackNearest(BattleScript):
    """SMAC's heuristic restricted to the agents' actions: attack the nearest enemy until it is dead.

    Medivacs heal the nearest wounded ally.
    """

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        self._targets = np.full((n_envs, self.n_allies), -1)

    def restart(self, slots: np.ndarray) -> None:
        """Forget the targets of these slots (int64 [K])."""
        self._targets[slots] = -1

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        seen = self.see(step.state)
        distances = np.where(self.possible(seen), np.linalg.norm(seen.offsets, axis=-1), np.inf)
        kept = (self._targets >= 0) & np.take_along_axis(seen.living, np.maximum(self._targets, 0), 1)
        self._targets = np.where(kept, self._targets, _nearest(distances))
        return self.engage(seen, self._targets, step.available)


class FocusFire(BattleScript):
    """Focus fire with kiting.

    The team waits for enemies that come nearer. Shooters attack the weakest enemy in reach whom the shots of the others
    leave alive, at equal strength the one nearest to the team. While its weapon reloads, a shooter steps back from
    melee enemies that are near, and a wounded one, where its weapon will not be ready in this step, from shooters whose
    nearest it is. Melee units and medivacs act as in
    :class:`AttackNearest`, but do not keep to their targets.
    """

    def __init__(self, env_args: Any, team: TeamSpec) -> None:
        super().__init__(env_args, team)
        hit = np.maximum(self.damage - self.kinds["armor"], MINIMUM_DAMAGE)
        self._damage = hit * self.traits["hits"][:, None]  # [A, kinds]
        self._shooters = (self.traits["range"] > _MELEE) & ~self.medivacs

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        self._apart = np.full(n_envs, math.inf)

    def restart(self, slots: np.ndarray) -> None:
        """Forget how far apart the sides of these slots (int64 [K]) were."""
        self._apart[slots] = math.inf

    def act(self, step: TeamStep, generator: np.random.Generator) -> np.ndarray:
        """See :class:`core.protocols.Script`."""
        seen, available = self.see(step.state), step.available
        possible, distances = self.possible(seen), np.linalg.norm(seen.offsets, axis=-1)
        in_reach = possible & available[..., FIRST_TARGET : FIRST_TARGET + self.n_enemies]
        weakest = self._share_out(seen, in_reach & self._shooters[:, None])
        targets = np.where(weakest >= 0, weakest, _nearest(np.where(possible, distances, np.inf)))
        actions = self.engage(seen, targets, available)
        waits = self._wait(np.where(possible & seen.standing[..., None], distances, np.inf), in_reach)
        actions = np.where(waits[:, None] & seen.standing & ~self.medivacs, STOP, actions)
        return self._step_back(seen, actions, available)

    def _wait(self, distances: np.ndarray, in_reach: np.ndarray) -> np.ndarray:
        """Return where the team waits, bool [N]: nobody is in reach, and the sides are coming nearer."""
        apart = distances.min((1, 2))
        nearer = apart < self._apart - 0.1
        self._apart = apart
        return nearer & ~in_reach.any((1, 2))

    def _share_out(self, seen: Seen, in_reach: np.ndarray) -> np.ndarray:
        """Choose the weakest target for each agent in turn, preferably one whom no other will have killed.

        ``in_reach`` is bool [N, A, E]; returns int64 [N, A], -1 where nobody is in reach.
        """
        weight = seen.standing[..., None] / np.maximum(seen.standing.sum(1), 1)[:, None, None]
        center = (seen.own * weight).sum(1, keepdims=True)
        score = seen.strength + 0.01 * np.linalg.norm(seen.enemies - center, axis=-1)
        left, rows = seen.strength.copy(), np.arange(len(score))
        fires = seen.cooldown < LOOPS_PER_STEP
        targets = np.full(in_reach.shape[:2], -1)
        for agent in range(self.n_allies):
            cost = np.where(in_reach[:, agent], score + np.where(left > _SCRATCH, 0.0, _OVERKILL), np.inf)
            found = np.isfinite(cost.min(-1))
            chosen = cost.argmin(-1)
            targets[found, agent] = chosen[found]
            left[rows, chosen] -= self._damage[agent, seen.kinds[rows, chosen]] * (found & fires[:, agent])
        return targets

    def _step_back(self, seen: Seen, actions: np.ndarray, available: np.ndarray) -> np.ndarray:
        """Replace the actions of reloading shooters in danger by the move that leads farthest from it.

        Melee enemies are a danger when they are near, shooters to a wounded agent that is the nearest to one of them
        and cannot shoot in this step.
        """
        offsets, enemies = seen.offsets, self.kinds[seen.kinds][:, None]  # [N, 1, E]
        distances = np.linalg.norm(offsets, axis=-1)
        gaps = distances - self.traits["radius"][:, None] - enemies["radius"]
        others = np.where(seen.standing[..., None], distances, np.inf)
        aimed_at = (others <= others.min(1, keepdims=True)) & seen.living[:, None] & (gaps < enemies["range"] + _NEARLY)
        wounded = (seen.health < _WOUNDED) & aimed_at.any(-1) & (seen.cooldown >= LOOPS_PER_STEP)
        feared = (gaps < enemies["range"] + _NEARLY) & wounded[..., None]
        danger = seen.living[:, None] & np.where(enemies["range"] <= _MELEE, gaps < _DANGER, feared)
        away = (offsets / np.maximum(gaps, 0.1)[..., None] ** 2 * danger[..., None]).sum(2)  # [N, A, 2]
        gain = np.where(available[..., FIRST_MOVE:FIRST_TARGET], away @ _MOVES.T, -math.inf)
        reloading = seen.cooldown >= _RELOADING
        back = danger.any(-1) & self._shooters & reloading & (gain.max(-1) > 0)
        return np.where(back, FIRST_MOVE + gain.argmax(-1), actions)
