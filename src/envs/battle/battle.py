"""Battle: the 23 maps of SMAC in a simulator of our own, N battles at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.data import EnvSpec, TeamSpec, TimeStep, allocate_time_step
from envs.battle.layout import Shown, make_layout, places, sizes
from envs.battle.maps import SIZE, load_map
from envs.battle.outcome import RewardRule, largest_return
from envs.battle.picture import draw
from envs.battle.settings import BattleArgs
from envs.battle.simulator import Simulator
from envs.battle.steps import bad_action, finish_step, show_all, translate


class Battle:
    """N battles on one map as one :class:`core.protocols.VecEnv` with one team, the allies.

    Observations float32 [N, A, O], state float32 [N, S], available actions bool [N, A, 6 + E], agent order, team
    reward [N, 1], limits and ends are SMAC's (see :mod:`envs.battle.features` and :mod:`envs.battle.outcome`); the
    battle itself is not StarCraft II's (docs/battle.md). A battle that reaches its limit is truncated. At an
    episode's end ``info`` has ``battle_won``, ``dead_allies`` and ``dead_enemies``.

    Attributes:
        simulator: the battles; its units are writable, to set up a situation.

    Raises:
        ValueError: there is no battle, actions, slots or seeds do not have the right shape or range, or an agent of an
            active slot takes an action that is not available.
    """

    Args = BattleArgs
    VERSION = 1  # raise when episodes of the same seed change

    def __init__(self, n_envs: int, args: BattleArgs) -> None:
        battle_map = load_map(args.map_name)
        limit = args.time_limit or battle_map.limit
        self.args = args
        self.n_envs = n_envs
        self.simulator = Simulator(battle_map, n_envs)
        self.layout = make_layout(battle_map, shown=_shown(args), move_amount=args.move_amount, limit=limit)
        self.widths = sizes(self.layout)
        self._rule = _rule(args, largest_return(self.layout, death_value=args.reward_death_value, win=args.reward_win))
        n_allies, joint = battle_map.n_allies, args.obs_instead_of_state
        team = TeamSpec(
            name="agents",
            n_agents=n_allies,
            n_actions=self.layout.n_actions,
            obs_dim=self.widths.obs,
            state_dim=n_allies * self.widths.obs if joint else self.widths.state,
            reward_dim=1,
            state_is_joint_obs=joint,
            types=battle_map.ally_types,
            positions=() if joint else places(self.layout),
            position_units=(SIZE, SIZE),
        )
        self.spec = EnvSpec(
            teams=(team,),
            episode_limit=limit,
            info_keys=("battle_won", "dead_allies", "dead_enemies"),
            can_render=True,
        )
        self._orders = self.simulator.no_orders()
        self._last_actions = np.full((n_envs, n_allies), -1, np.int64)
        self._time = np.zeros(n_envs, np.int64)
        self._before = np.zeros((n_envs, battle_map.n_units))
        self._out = allocate_time_step(self.spec, n_envs)
        # a state that is the joint observation lies in the same memory and is not written a second time
        self._state = np.zeros((n_envs, 0), np.float32) if joint else self._out.teams[0].state

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new battles in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]); other slots are left alone."""
        slots = np.ascontiguousarray(slots, np.int64)
        self.simulator.reset(slots, seeds)
        self._time[slots] = 0
        self._last_actions[slots] = -1
        out = self._out
        for array in (out.teams[0].rewards, out.terminated, out.truncated, out.failed):
            array[slots] = 0
        chosen = np.zeros(self.n_envs, bool)
        chosen[slots] = True
        self._show(chosen)
        return out

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step the battles where ``active`` (bool [N]) holds; ``actions[0]`` is int64 [N, A]."""
        given = np.ascontiguousarray(actions[0], np.int64)
        active = np.ascontiguousarray(active, np.bool_)
        out, units = self._out, self.simulator.units
        team = out.teams[0]
        if given.shape != self._last_actions.shape or active.shape != (self.n_envs,):
            raise ValueError(
                f"actions must be {self._last_actions.shape} and active {(self.n_envs,)}, "
                f"not {given.shape} and {active.shape}"
            )
        slot, agent = bad_action(given, active, team.available)
        if slot >= 0:
            raise ValueError(f"slot {slot}: agent {agent} cannot take action {given[slot, agent]}, it is not available")
        translate(self.layout, given, active, units, self._orders, self._last_actions, self._before)
        self.simulator.step(self._orders, active, loops=self.args.step_mul)
        finish_step(
            self.layout,
            self._rule,
            active,
            units,
            self._before,
            self._time,
            team.rewards,
            out.terminated,
            out.truncated,
            out.info["battle_won"],
            out.info["dead_allies"],
            out.info["dead_enemies"],
        )
        self._show(active)
        return out

    def _show(self, slots: np.ndarray) -> None:
        team = self._out.teams[0]
        units = self.simulator.units
        actions = self._last_actions
        show_all(self.layout, self.widths, slots, units, actions, self._time, team.obs, self._state, team.available)

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one battle: uint8 [H, W, 3]."""
        return draw(self.simulator, slot, step=int(self._time[slot]), limit=self.layout.limit)

    def close(self) -> None:
        """Nothing to give back."""


def _shown(args: BattleArgs) -> Shown:
    return Shown(
        all_health=args.obs_all_health,
        own_health=args.obs_own_health,
        last_action=args.obs_last_action,
        pathing_grid=args.obs_pathing_grid,
        terrain_height=args.obs_terrain_height,
        timestep=args.obs_timestep_number,
        state_last_action=args.state_last_action,
        state_timestep=args.state_timestep_number,
    )


def _rule(args: BattleArgs, largest: float) -> RewardRule:
    return RewardRule(
        sparse=args.reward_sparse,
        only_positive=args.reward_only_positive,
        death_value=args.reward_death_value,
        negative_scale=args.reward_negative_scale,
        win=args.reward_win,
        defeat=args.reward_defeat,
        divisor=largest / args.reward_scale_rate if args.reward_scale else 1.0,
    )
