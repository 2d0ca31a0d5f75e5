"""The checker passes every registered environment and catches each defect of deliberately broken ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import yaml

from core.data import EnvSpec, TeamSpec, TimeStep, allocate_time_step
from core.errors import UserError
from core.registry import load
from core.settings import CONFIG_DIR
from envs import REGISTRY
from envs.conformance import ConformanceError, check_env


class Walk:
    """A sound little environment: agents step along a line; ``defect`` spoils one promise."""

    def __init__(self, n_envs: int, defect: str = "") -> None:
        team = TeamSpec(
            name="agents", n_agents=2, n_actions=2, obs_dim=2, state_dim=4, reward_dim=2, state_is_joint_obs=True
        )
        if defect == "reward size":
            team = replace(team, reward_dim=3)
        if defect == "types":
            team = replace(team, types=(0, 1, 1))
        if defect == "positions":
            team = replace(team, positions=((0, 1), (2, 300)))
        if defect == "state size":
            team = replace(team, state_dim=5)
        limit = n_envs + 3 if defect == "spec" else 5
        self.spec = EnvSpec(teams=(team,), episode_limit=limit, info_keys=("far",))
        self.n_envs, self.defect = n_envs, defect
        self.out = allocate_time_step(self.spec, n_envs)
        self.clock = np.zeros(n_envs, np.int64)

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        self.clock[slots] = 0
        team = self.out.teams[0]
        team.obs[slots] = (seeds % np.uint64(97)).astype(np.float32)[:, None, None]
        team.rewards[slots] = 1.0 if self.defect == "reward after reset" else 0.0
        for flag in (self.out.terminated, self.out.truncated, self.out.failed):
            flag[slots] = False
        if self.defect == "slot":
            team.obs[slots] += slots[:, None, None]
        if self.defect == "unseeded":
            team.obs[slots] += np.random.default_rng().random((len(slots), 2, 2))
        if self.defect == "number":
            team.obs[slots] += self.n_envs
        if self.defect == "stale flag" and self.out.terminated.sum() == 0:
            self.out.terminated[slots[0]] = True
        return self.out

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        team, out = self.out.teams[0], self.out
        team.obs[active] += actions[0][active][..., None]
        team.rewards[active] = actions[0][active]
        self.clock[active] += 1
        out.truncated[active] = self.clock[active] >= 5
        out.info["far"][active] = team.obs[active].sum((1, 2))
        return self.spoil(actions, active) if self.defect else out

    def spoil(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        team, out = self.out.teams[0], self.out
        match self.defect:
            case "nan":
                team.obs[active] = np.nan
            case "infinite reward":
                team.rewards[active] = np.inf
            case "no action":
                team.available[active, 1] = False
            case "both flags":
                out.terminated[active] = out.truncated[active]
            case "too long":
                out.truncated[active] = False
            case "resting slot":
                team.obs[~active] += 1
            case "new buffer":
                return replace(out, teams=(replace(team, rewards=team.rewards.copy()),))
            case "dtype":
                return replace(out, terminated=out.terminated.astype(np.int8))
            case "double":
                return replace(out, teams=(replace(team, rewards=team.rewards.astype(np.float64)),))
            case "shape":
                return replace(out, teams=(replace(team, rewards=team.rewards[:, :1]),))
            case "state":
                return replace(out, teams=(replace(team, state=np.ones_like(team.state)),))
            case "info":
                return replace(out, info={})
            case "actions":
                actions[0][:] = 0
                actions[0][:, 0] = 1
            case "failed":
                out.failed[active] = True
            case "length":
                out.truncated[active] |= np.random.default_rng().random(int(active.sum())) < 0.3
        return out

    def render(self, slot: int = 0) -> np.ndarray:
        raise UserError("nothing to draw")

    def close(self) -> None:
        pass


def test_a_sound_environment_passes():
    check_env(Walk(3), other=Walk(1))
    check_env(Walk(1), other=Walk(4))


@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        ("reward size", "reward_dim is 3"),
        ("types", "3 types for 2 agents"),
        ("positions", r"the columns \[0, 1, 2, 300\] of positions of 2 agents"),
        ("state size", "state_dim is 5"),
        ("spec", "spec depends on the number of environments"),
        ("nan", r"obs is not finite"),
        ("infinite reward", r"rewards is not finite"),
        ("no action", "no available action"),
        ("both flags", "both terminated and truncated"),
        ("too long", r"goes on after spec.episode_limit = 5"),
        ("resting slot", "neither reset nor stepped"),
        ("new buffer", "overwrite its buffers in place"),
        ("dtype", "terminated is int8"),
        ("double", "rewards is float64"),
        ("shape", r"rewards has the shape \(3, 1\)"),
        ("state", "not the joint observation"),
        ("info", r"info has the keys \[\]"),
        ("actions", "changed the actions"),
        ("failed", "failed"),
        ("reward after reset", "not zero after a reset"),
        ("stale flag", "terminated is set after a reset"),
        ("slot", "differs when"),
        ("unseeded", "differs when"),
        ("length", "differs when|steps when"),
        ("number", "differs among 2 instead of 3"),
    ],
)
def test_every_defect_is_caught(defect, reason):
    with pytest.raises(ConformanceError, match=reason):
        check_env(Walk(3, defect), other=Walk(2, defect))


@pytest.mark.parametrize("name", sorted(REGISTRY.keys() - {"sc2", "sc2v2"}))  # a game: tests/sc2
def test_registered_environments_with_their_own_config(name):
    config = yaml.safe_load((CONFIG_DIR / "envs" / f"{name}.yaml").read_text())
    assert config["env"] == name
    cls = load(REGISTRY, name, "environment")
    # in a batch, VMAS's worlds have a say in each other's contacts; alone, they take long
    words = {"batched": False, "time_limit": 30} if name == "vmas" else {}
    args = cls.Args(**config["env_args"] | words)
    assert all(field.description for field in cls.Args.model_fields.values())
    env, other = cls(3, args), cls(2, args)
    try:
        check_env(env, other=other, episodes=4)
    finally:
        env.close()
        other.close()
