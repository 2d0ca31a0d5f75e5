"""SMAClite through gymma, as docs/more_environments.md says; where it is not installed, what is said then."""

import importlib.util

import numpy as np
import pytest

from core.errors import UserError
from envs.adapters.gymma import Gymma
from envs.conformance import check_env

INSTALLED = importlib.util.find_spec("smaclite") is not None
needs_smaclite = pytest.mark.skipif(not INSTALLED, reason="smaclite is not installed (requirements-smaclite.txt)")


@pytest.fixture
def make():
    envs = []

    def build(n_envs=1, **env_args):
        envs.append(Gymma(n_envs, Gymma.Args(key="smaclite:smaclite/2s3z-v0", n_workers=1, **env_args)))
        return envs[-1]

    yield build
    for env in envs:
        env.close()


@pytest.mark.skipif(INSTALLED, reason="smaclite is installed")
def test_a_missing_package_is_told_with_the_line_that_installs_it(make):
    with pytest.raises(UserError, match=r"'smaclite' is not installed.* --no-deps -r requirements-smaclite\.txt"):
        make(time_limit=10)


@needs_smaclite
def test_conformance(make):
    """Masks among it: an action that is not available is an error in SMAClite."""
    check_env(make(2, time_limit=20, state="env"), other=make(1, time_limit=20, state="env"), episodes=3)


@needs_smaclite
def test_masks_state_and_result_are_its_own(make):
    import gymnasium
    import smaclite  # noqa: F401

    env = make(time_limit=60, state="env")
    direct = gymnasium.make("smaclite/2s3z-v0", disable_env_checker=True).unwrapped
    out = env.reset(np.array([0]), np.array([1], np.uint64))  # after the trial step of the adapter
    direct.reset(seed=1)
    team = env.spec.teams[0]
    assert (team.n_agents, team.n_actions, team.obs_dim, team.state_dim, team.reward_dim) == (5, 11, 80, 120, 1)
    rng = np.random.default_rng(0)
    for _ in range(60):
        np.testing.assert_array_equal(out.teams[0].available[0], np.array(direct.get_avail_actions()))
        np.testing.assert_array_equal(out.teams[0].state[0], direct.get_state())
        choices = out.teams[0].available[0]
        actions = (rng.random(choices.shape) * choices).argmax(-1)
        out = env.step([actions[None]], np.ones(1, bool))
        _, reward, ended, _, info = direct.step(actions.tolist())
        assert out.teams[0].rewards[0, 0] == pytest.approx(reward, abs=1e-6)
        assert bool(out.terminated[0]) == ended
        if ended or out.truncated[0]:
            break
    assert out.info["battle_won"][0] == info["battle_won"]
