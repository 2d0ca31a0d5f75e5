"""Observations of bytes stay bytes, through both adapters."""

import numpy as np
import pytest

from core.errors import UserError
from envs.adapters.gymma import Gymma
from envs.adapters.pettingzoo_env import PettingZoo
from envs.conformance import check_env

ADAPTERS = {"pettingzoo": (PettingZoo, "picture_envs:Pictures"), "gymma": (Gymma, "picture_envs:Pictures-v0")}


@pytest.fixture
def make():
    envs = []

    def make(adapter, n_envs=1, **env_args):
        cls, key = ADAPTERS[adapter]
        envs.append(cls(n_envs, cls.Args(key=key, n_workers=1, **env_args)))
        return envs[-1]

    yield make
    for env in envs:
        env.close()


def played(env, n_steps):
    step = env.reset(np.array([0]), np.array([5], np.uint64))
    for _ in range(n_steps):
        step = env.step([np.zeros((1, 2), np.int64)], np.ones(1, bool))
    return step.teams[0]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("kind", ["image", "bytes"])
def test_bytes_stay_bytes(make, adapter, kind):
    env = make(adapter, first=kind, second=kind)
    spec = env.spec.teams[0]
    assert (spec.obs_kind, spec.state_kind, spec.obs_dim, spec.state_dim) == (kind, kind, 18, 36)
    team = played(env, 2)
    assert (team.obs == 2).all()
    assert team.obs.dtype == team.state.dtype == np.uint8
    assert np.shares_memory(team.obs, team.state)
    check_env(env)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("first", "second", "kind"), [("image", "floats", "floats"), ("image", "bytes", "bytes")])
def test_agents_of_two_kinds_have_the_common_one(make, adapter, first, second, kind):
    env = make(adapter, first=first, second=second)
    assert env.spec.teams[0].obs_kind == kind
    team = played(env, 1)
    assert team.obs.dtype == (np.float32 if kind == "floats" else np.uint8)
    assert (team.obs[0, 0] == 1).all()


def test_a_state_of_bytes_stays_bytes(make):
    env = make("pettingzoo", state="env")
    spec = env.spec.teams[0]
    assert (spec.state_kind, spec.state_is_joint_obs, spec.state_dim) == ("image", False, 18)
    team = played(env, 1)
    assert team.state.dtype == np.uint8
    assert (team.state == 201).all()
    check_env(env)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_space_that_is_not_kept_to_is_told(make, adapter):
    """0.5 would be 0 among bytes."""
    env = make(adapter, promise="broken")
    with pytest.raises(UserError, match=r"the observation of agent \w+ is float64 with values.*dtype float32"):
        played(env, 0)
