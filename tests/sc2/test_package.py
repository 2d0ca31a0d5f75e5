"""The real SMAC and PySC2, unmodified, with the stand-in behind ``--env-config=sc2``: whole runs, crashes, replays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from server import REPLAY_MARK

from envs.adapters.starcraft2 import StarCraft2, StarCraft2Args

pytestmark = pytest.mark.smac

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def make(standin):
    envs = []

    def build(n_envs, n_workers, **arguments):
        envs.append(StarCraft2(n_envs, StarCraft2Args(n_workers=n_workers, **arguments)))
        return envs[-1]

    yield build
    for env in envs:
        env.close()


def games_of(env):
    """Process ids of the stand-ins that the workers of an environment have started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rsplit(")", 1)[1].split()
            command = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if words[0] != "Z" and int(words[2]) in env.worker_pids and b"standin/server.py" in command:
            found.append(int(path.parent.name))
    return sorted(found)


def available(out, rng):
    """A random available action for everybody: [N, A]."""
    odds = rng.random(out.teams[0].available.shape) * out.teams[0].available
    return odds.argmax(-1)


def first_target(out):
    """Attack the first enemy within reach, or wait; the dead do nothing: [N, A]."""
    choices = out.teams[0].available.copy()
    choices[..., 2:6] = False
    return np.where(choices[..., 6:].any(-1), 6 + choices[..., 6:].argmax(-1), choices.argmax(-1))


def play(env, out, rng, active=None):
    """Steps until all have ended; the returns and how they ended: float [N], [(terminated, truncated, failed)]."""
    active = np.ones(env.n_envs, bool) if active is None else active.copy()
    returns, ends = np.zeros(env.n_envs), [None] * env.n_envs
    while active.any():
        out = env.step([available(out, rng)], active)
        returns[active] += out.teams[0].rewards[active, 0]
        for k in np.flatnonzero(active & (out.terminated | out.truncated | out.failed)):
            ends[k] = (bool(out.terminated[k]), bool(out.truncated[k]), bool(out.failed[k]))
            active[k] = False
    return returns, ends


def reset(env, slots, seed=1):
    slots = np.array(slots)
    return env.reset(slots, (slots + seed).astype(np.uint64))


def test_several_games_a_killed_one_and_its_recovery(make, tmp_path, capfd):
    env, rng = make(3, 2, map_name="3m"), np.random.default_rng(0)
    out = reset(env, [0, 1, 2])
    games = games_of(env)
    assert len(games) == 3
    returns, ends = play(env, out, rng)
    assert [failed for *_, failed in ends] == [False] * 3
    assert (returns < 20.01).all()

    out = reset(env, [0, 1, 2])
    assert games_of(env) == games, "a soft restart"
    out = env.step([available(out, rng)], np.ones(3, bool))
    os.kill(games[0], signal.SIGKILL)
    _, ends = play(env, out, rng)
    assert [failed for *_, failed in ends].count(True) == 1
    assert "GameCrashed" in capfd.readouterr().err

    out = reset(env, [0, 1, 2])
    assert len(games_of(env)) == 3
    assert games[0] not in games_of(env)
    _, ends = play(env, out, rng)
    assert [failed for *_, failed in ends] == [False] * 3

    path = env.save_replay(1, tmp_path)
    assert path.parent == tmp_path
    assert path.name.startswith("3m_")
    assert path.read_bytes().startswith(REPLAY_MARK + b": 3m, ")
    env.close()
    assert games_of(env) == []


def test_a_crash_in_the_first_episode_leaves_the_scale_of_rewards_alone(make):
    """SMAC's own recovery would count the enemies' health twice: 365 would be 500, and a win 14.6."""
    env = make(1, 1, map_name="3m", reward_win=200)
    out = reset(env, [0])
    os.kill(games_of(env)[0], signal.SIGKILL)
    out = env.step([available(out, np.random.default_rng(0))], np.ones(1, bool))
    assert out.failed[0]
    out = reset(env, [0])
    enemies = slice(3 * 4, 3 * 4 + 3 * 3, 3)  # health, behind 4 entries of each ally
    before, gained = out.teams[0].state[0, enemies].copy(), 0.0
    while not out.terminated[0]:
        out = env.step([first_target(out)], np.ones(1, bool))
        gained += out.teams[0].rewards[0, 0]
    lost = 45 * (before - out.teams[0].state[0, enemies]).sum()
    assert lost > 0
    bonus = 10 * out.info["dead_enemies"][0] + 200 * out.info["battle_won"][0]
    assert gained == pytest.approx((lost + bonus) * 20 / 365, abs=1e-4)


def test_games_with_the_same_seed_begin_alike(make):
    first, second = make(2, 2, map_name="3s5z"), make(2, 1, map_name="3s5z")
    states = [reset(env, [0, 1], seed=9).teams[0].state.copy() for env in (first, second)]
    assert np.array_equal(*states)
    assert not np.array_equal(states[0][0], states[0][1])


@pytest.mark.parametrize("option", ["obs_timestep_number", "obs_instead_of_state", "heuristic_ai"])
def test_options_whose_sizes_or_actions_are_special(make, option):
    env, rng = make(1, 1, map_name="2s3z", **{option: True}), np.random.default_rng(0)
    out = reset(env, [0])
    for step in range(1, 4):
        out = env.step([available(out, rng)], np.ones(1, bool))
        assert np.isfinite(out.teams[0].obs).all()
        if option == "obs_timestep_number":
            assert out.teams[0].obs[0, :, -1] == pytest.approx(step / 120)
        if option == "obs_instead_of_state":
            assert np.array_equal(out.teams[0].state[0], out.teams[0].obs[0].ravel())


def test_the_headline_command_trains_and_saves_a_replay(standin, tmp_path):
    """Through the stand-in; a few episodes."""
    words = (
        "--config=asae --env-config=sc2 with env_args.map_name=3m seed=1 t_max=200 batch_size_run=2 "
        "test_nepisode=2 save_replay=True replay_episodes=1 hidden_dim=8"
    )
    done = subprocess.run(
        [sys.executable, SOURCE / "main.py", *words.split()],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "battle_won_mean" in done.stdout
    assert len(list((tmp_path / "results" / "replays").glob("3m_*.SC2Replay"))) == 1
    assert "COMPLETED" in done.stdout
