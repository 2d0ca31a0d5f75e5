"""Scenarios of VMAS in batches; where the package is not installed, what is said then."""

import importlib.util
import random
import sys

import numpy as np
import pytest
import torch

from core.errors import UserError
from envs.adapters.vmas_env import Vmas
from envs.conformance import check_env
from envs.workers.notices import SAID

INSTALLED = importlib.util.find_spec("vmas") is not None
needs_vmas = pytest.mark.skipif(not INSTALLED, reason="vmas is not installed (requirements-vmas.txt)")


@pytest.fixture(autouse=True)
def nothing_said():
    SAID.clear()


def make(n_envs=1, **env_args):
    return Vmas(n_envs, Vmas.Args(**env_args))


def start(env, seed=1):
    slots = np.arange(env.n_envs)
    return env.reset(slots, (slots + seed).astype(np.uint64))


def play(env, steps, seed=1):
    """Random actions in all slots; the observations: [T, N, A, O]."""
    rng, team = np.random.default_rng(seed), env.spec.teams[0]
    seen = [start(env, seed).teams[0].obs.copy()]
    for _ in range(steps):
        out = env.step([rng.integers(0, team.n_actions, (env.n_envs, team.n_agents))], np.ones(env.n_envs, bool))
        seen.append(out.teams[0].obs.copy())
    return np.array(seen)


def test_a_missing_package_is_told_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith("The Python package vmas is not installed.")
    path = str(caught.value).rpartition(" ")[2]
    assert str(caught.value).endswith(f"{sys.executable} -m pip install -r {path}")
    with open(path) as lines:
        assert any(line.startswith("vmas==") for line in lines)


@needs_vmas
@pytest.mark.parametrize("key", ["balance", "wheel", "simple_speaker_listener"])
@pytest.mark.parametrize("batched", [True, False])
def test_conformance(key, batched):
    """wheel has rewards of its own shape, simple_speaker_listener agents of different sizes."""
    with_three, with_two = (make(n, key=key, time_limit=12, batched=batched) for n in (3, 2))
    check_env(with_three, other=with_two, episodes=4)


@needs_vmas
def test_equal_to_vmas_stepped_directly():
    """One world, the same actions; VMAS itself starts from the same random state."""
    import vmas

    env = make(1, key="transport", time_limit=30, n_agents=3)
    out = start(env, seed=5)
    direct = vmas.make_env("transport", num_envs=1, continuous_actions=False, max_steps=30, n_agents=3)
    for ours, theirs in zip(env._worlds[0].env.world.entities, direct.world.entities, strict=True):
        theirs.set_pos(ours.state.pos, batch_index=None)
    rng = np.random.default_rng(0)
    for t in range(1, 31):
        actions = rng.integers(0, 9, (1, 3))
        obs, rewards, done, _ = direct.step([torch.tensor([[action]]) for action in actions[0]])
        out = env.step([actions], np.ones(1, bool))
        np.testing.assert_array_equal(out.teams[0].obs[0], torch.stack(obs)[:, 0])
        if t > 1:  # the first is measured from where the worlds began
            np.testing.assert_array_equal(out.teams[0].rewards[0], torch.stack(rewards)[:, 0])
        assert bool(out.terminated[0] or out.truncated[0]) == bool(done[0])
    assert out.truncated[0]
    assert not out.terminated[0]


@needs_vmas
def test_nothing_else_draws_from_its_streams_and_it_from_no_others():
    first, second = make(2, key="discovery", batched=False), make(2, key="discovery", batched=False)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    alone = play(first, 10)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    rng = np.random.default_rng(1)
    beside = [start(second).teams[0].obs.copy()]
    for _ in range(10):  # the same again, with another simulation drawing between its steps
        out = second.step([rng.integers(0, 9, (2, 5))], np.ones(2, bool))
        beside.append(out.teams[0].obs.copy())
        play(first, 1)
    np.testing.assert_array_equal(alone, beside)


@needs_vmas
def test_sizes_are_padded_and_the_missing_is_not_available():
    env = make(2, key="simple_speaker_listener")
    team = env.spec.teams[0]
    assert (team.n_agents, team.n_actions, team.obs_dim, team.reward_dim) == (2, 27, 11, 2)
    out = start(env)
    assert out.teams[0].available.sum(-1).tolist() == [[27, 9]] * 2
    assert not out.teams[0].obs[:, 0, 3:].any()


@needs_vmas
def test_draws_within_steps_are_told_once(capfd):
    env = make(2, key="football", time_limit=5)
    play(env, 5)
    told = capfd.readouterr().err
    assert told.count("vmas (football) draws random numbers in its steps") == 1
    assert "env_args.batched=false" in told
    for quiet in (make(2, key="football", time_limit=5, batched=False), make(2, key="balance")):
        play(quiet, 2)
    assert capfd.readouterr().err == ""


@needs_vmas
def test_numbers_that_are_not_finite_drop_the_episode_and_many_in_a_row_end_the_run(capfd):
    env = make(3, time_limit=4)
    start(env)
    world = env._worlds[0].env.world
    actions, everybody = [np.zeros((3, 3), np.int64)], np.ones(3, bool)
    world.agents[1].state.pos[2] = torch.nan
    out = env.step(actions, everybody)
    assert out.failed.tolist() == [False, False, True]
    assert np.isfinite(out.teams[0].obs).all()
    assert np.isfinite(out.teams[0].rewards).all()
    assert capfd.readouterr().err == "vmas (balance) gave numbers that are not finite; the episode is dropped.\n"
    out = env.reset(np.array([2]), np.array([9], np.uint64))
    assert not out.failed.any()
    assert np.isfinite(out.teams[0].obs).all(), "a reset mends it"
    for _ in range(3):
        out = env.step(actions, np.array([True, True, False]))
    assert out.truncated[:2].all()
    start(env)
    world.agents[0].state.pos[:] = torch.nan
    assert env.step(actions, everybody).failed.all()
    start(env)
    world.agents[0].state.pos[:] = torch.nan
    with pytest.raises(UserError, match="not finite in 6 episodes, and none was finished in between"):
        env.step(actions, everybody)


@needs_vmas
@pytest.mark.parametrize(
    ("env_args", "words"),
    [
        ({"key": "balanse"}, ["env_args.key=balanse", "Did you mean 'balance'", "navigation"]),
        ({"n_agent": 4}, ["balance does not read", "n_agent", "balance.py"]),
        ({"n_agents": "four"}, ["balance refuses its arguments {'n_agents': 'four'}", "TypeError", "balance.py"]),
    ],
)
def test_wrong_names(env_args, words):
    with pytest.raises(UserError) as caught:
        make(**env_args)
    assert [word for word in words if word not in str(caught.value)] == []


@needs_vmas
def test_epymarls_names_are_read():
    assert Vmas.Args(key="vmas-balance").key == "balance"
    assert make(key="vmas-balance", n_agents=4).spec.teams[0].n_agents == 4


@needs_vmas
def test_no_screen_is_one_message(monkeypatch):
    env = make(2)
    start(env)

    def no_screen(**_arguments):
        raise OSError("Cannot connect to display")

    monkeypatch.setattr(env._worlds[0].env, "render", no_screen)
    with pytest.raises(UserError, match=r"vmas \(balance\) cannot be drawn: OSError: Cannot connect.* xvfb-run"):
        env.render(1)
    env.close()
    env.close()
