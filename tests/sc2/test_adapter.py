"""--env-config=sc2 against a scripted SMAC: ends, crashes, seeds, arguments, replays. No game is involved."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import main
from core.errors import UserError
from envs.adapters.starcraft2 import StarCraft2, StarCraft2Args
from envs.workers.worker import WorkerArgs

CRASH = 3


@pytest.fixture
def make(scripted):
    envs = []

    def build(map_name, n_envs=1, **arguments):
        envs.append(StarCraft2(n_envs, StarCraft2Args(map_name=map_name, n_workers=1, **arguments)))
        return envs[-1]

    yield build
    for env in envs:
        env.close()


def reset(env, slots=None, seed=7):
    slots = np.arange(env.n_envs) if slots is None else np.array(slots)
    return env.reset(slots, (slots + seed).astype(np.uint64))


def step(env, action=1, active=None):
    return env.step([np.full((env.n_envs, 2), action)], np.ones(env.n_envs, bool) if active is None else active)


def play(env):
    """Steps until the end; the last step."""
    for _ in range(10):
        out = step(env)
        if (out.terminated | out.truncated | out.failed).any():
            return out
    raise AssertionError("the episode does not end")


@pytest.mark.parametrize(
    ("map_name", "terminated", "info"),
    [
        ("win", True, (1, 0, 3)),
        ("defeat", True, (0, 2, 0)),
        ("draw", True, (0, 2, 3)),
        ("late", True, (0, 2, 0)),
        ("long", False, (0, 0, 0)),
    ],
)
def test_a_time_limit_truncates_and_a_decision_terminates_even_in_the_last_step(make, map_name, terminated, info):
    env = make(map_name)
    for _ in range(2):
        reset(env)
        out = play(env)
        assert (bool(out.terminated[0]), bool(out.truncated[0])) == (terminated, not terminated)
        assert tuple(out.info[key][0] for key in ("battle_won", "dead_allies", "dead_enemies")) == info


def test_what_smac_says_arrives(make):
    env = make("win", n_envs=2)
    team = env.spec.teams[0]
    assert (team.n_agents, team.n_actions, team.obs_dim, team.state_dim, team.reward_dim) == (2, 4, 3, 2, 1)
    assert env.spec.episode_limit == 4
    assert env.spec.can_record
    assert not env.spec.can_render
    out = reset(env).teams[0]
    assert out.obs[1].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert out.rewards[0] == [0]
    out = step(env, active=np.array([True, False])).teams[0]
    assert out.obs[:, 0, 0].tolist() == [1, 0]
    assert out.state.tolist() == [[-1, -1], [0, 0]]
    assert out.available[0].tolist() == [[False, True, True, False], [False, True, True, False]]
    assert out.rewards.tolist() == [[0.5], [0]]


def test_a_crash_fails_the_slot_and_the_environment_is_made_anew(make, scripted, capfd):
    env = make("win", n_envs=2)
    reset(env)
    out = env.step([np.array([[1, 1], [CRASH, 1]])], np.ones(2, bool))
    assert out.failed.tolist() == [False, True]
    assert not out.terminated.any()
    assert "GameCrashed: StarCraft II ended or stopped answering" in capfd.readouterr().err
    made = [line for line in scripted() if line[0] == "made"]
    assert scripted()[-1] == ["close"]
    out = reset(env, [1])
    assert not out.failed.any()
    assert len([line for line in scripted() if line[0] == "made"]) == len(made) + 2, "one for the sizes, one to play"
    assert out.teams[0].obs[1, 0, 0] == 0, "a fresh game"
    for _ in range(3):
        out = step(env, active=np.array([False, True]))
    assert out.terminated[1]


def test_a_crash_within_a_reset_costs_a_fresh_start(make, scripted):
    """SMAC would go on with the observation of the game that is gone."""
    env = make("fragile")
    reset(env)
    play(env)
    out = reset(env)
    assert not out.failed.any()
    assert out.teams[0].obs[0, 0, 0] == 0, "a fresh game"
    assert play(env).truncated.all()


def test_the_game_takes_the_seed_of_its_first_episode(make, scripted):
    env = make("win", n_envs=2)
    for seed in (2**32 + 5, 50):
        reset(env, seed=seed)
        play(env)
    seeds = [line[1]["seed"] for line in scripted() if line[0] == "made"]
    assert seeds == [None, None, 7, 8], "below 2^31 - 1"


def test_an_unfinished_first_episode_needs_another_game(make, scripted):
    """SMAC would start a second one beside it and lose the first."""
    env = make("win")
    reset(env)
    step(env)
    reset(env, seed=8)
    assert [line[0] for line in scripted()] == ["made", "made", "reset", "close", "made", "reset"]
    play(env)
    reset(env)
    step(env)
    reset(env)
    assert [line[0] for line in scripted()][6:] == ["reset", "reset"], "later ones are restarted in the same game"


def test_arguments_reach_smac_with_its_names(make, scripted):
    make("win", difficulty=3, step_mul=4, reward_sparse=True, game_version="4.10", replay_prefix="mine")
    ((_, given),) = [line for line in scripted() if line[0] == "made"]
    expected = StarCraft2Args(
        map_name="win", difficulty="3", step_mul=4, reward_sparse=True, game_version="4.10", replay_prefix="mine"
    ).model_dump(exclude=set(WorkerArgs.model_fields) | {"replay_dir"})
    assert given == expected | {"seed": None}


@pytest.mark.smac
def test_all_of_smacs_arguments_are_offered_but_three():
    from smac.env import StarCraft2Env

    theirs = inspect.signature(StarCraft2Env).parameters
    ours = set(StarCraft2Args.model_fields) - set(WorkerArgs.model_fields)
    assert set(theirs) - ours == {"seed", "continuing_episode", "debug"}
    assert ours - set(theirs) == set()
    settled = {"map_name": "3m", "game_version": None}
    defaults = {name: theirs[name].default for name in ours} | settled
    assert StarCraft2Args().model_dump(include=ours) == defaults


def test_observations_in_a_row_as_the_state(make):
    env = make("win", obs_instead_of_state=True, obs_timestep_number=True)
    team = env.spec.teams[0]
    assert (team.obs_dim, team.state_dim, team.state_is_joint_obs) == (4, 8, True)
    out = reset(env).teams[0]
    assert out.state[0].tolist() == [0, 0, 0, 0.5, 1, 1, 1, 0.5]


@pytest.mark.parametrize(("map_name", "types"), [("2m_vs_1z", (0, 0)), ("win", ()), ("3m", ())])
def test_types_are_known_on_smacs_own_maps(make, map_name, types):
    """The scripted 3m has two agents: a map of one's own that is only named like SMAC's."""
    assert make(map_name).spec.teams[0].types == types


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game_version": "4.1"}, r"env_args.game_version=4.1: Unknown game version: 4.1.0. Known versions: .*4.10.0"),
        ({"map_name": "nowhere"}, r"SMAC has no map nowhere"),
    ],
)
def test_what_only_the_packages_know_is_told_before_a_game_starts(make, scripted, arguments, message):
    with pytest.raises(UserError, match=message):
        make(**{"map_name": "win", **arguments})
    assert ["reset"] not in scripted()


def test_a_game_that_does_not_start(make):
    env = make("broken")
    with pytest.raises(UserError, match=r"StarCraft II in .*game does not start: the socket stays closed$"):
        reset(env)


@pytest.mark.parametrize("own", [False, True])
def test_a_replay_of_all_that_was_played(make, tmp_path, monkeypatch, own):
    monkeypatch.chdir(tmp_path)
    env = make("win", replay_dir="mine" if own else "")
    for _ in range(3):
        reset(env)
        play(env)
    path = env.save_replay(0, Path("films"))
    assert path == tmp_path / ("mine" if own else "films") / "win.SC2Replay"
    assert path.read_text() == "3 episodes"
    step(env, CRASH)
    with pytest.raises(UserError, match="cannot save a replay: the environment has failed"):
        env.save_replay(0, tmp_path)


def test_it_cannot_be_drawn(make):
    env = make("win")
    with pytest.raises(UserError, match=r"cannot be drawn: .*save_replay"):
        env.render()


def test_close_ends_the_games(make, scripted):
    env = make("win", n_envs=2)
    reset(env)
    env.close()
    assert scripted().count(["close"]) == 2


def test_a_run_ends_with_a_replay(scripted, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = "env_args.map_name=win t_max=12 batch_size_run=2 n_envs=1 test_nepisode=2 save_replay=True hidden_dim=8"
    assert main.main(["--config=qmix", "--env-config=sc2", "with", *words.split()]) == 0
    path = tmp_path / "results" / "replays" / "win.SC2Replay"
    assert path.read_text() == "3 episodes"
    shown = capfd.readouterr()
    assert str(path) in shown.out
    assert "test_battle_won_mean 1" in shown.out
    assert shown.err == ""
