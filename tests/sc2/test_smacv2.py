"""--env-config=sc2v2: what is missing, the arguments, and the real SMACv2 with the stand-in for the game."""

import importlib.util
import inspect
import os
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from test_package import available, games_of, play, reset

import envs.adapters.starcraft2_needs as needs
from core.errors import UserError
from envs.adapters.smacv2 import SMACv2, SMACv2Args
from envs.adapters.smacv2_single import SMACv2Single
from envs.workers.worker import WorkerArgs

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def make(standin):
    envs = []

    def build(n_envs, n_workers=1, **arguments):
        envs.append(SMACv2(n_envs, SMACv2Args(n_workers=n_workers, **arguments)))
        return envs[-1]

    yield build
    for env in envs:
        env.close()


# -- without the package ---------------------------------------------------------------------------------------------


def test_a_missing_map_is_told_with_where_it_is(standin, monkeypatch, tmp_path):
    place = tmp_path / "game"
    place.mkdir()
    (place / "Versions").symlink_to(standin / "Versions")
    monkeypatch.setenv("SC2PATH", str(place))
    with pytest.raises(UserError, match=r"there is no .*game/Maps/SMAC_Maps/32x32_flat\.SC2Map.*smacv2/releases"):
        SMACv2(1, SMACv2Args())


def test_a_missing_package_is_told_with_the_line_that_installs_it(standin, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "smacv2" else real(name, *rest)
    )
    path = needs.ROOT / "requirements-sc2v2.txt"
    with pytest.raises(UserError) as caught:
        SMACv2(1, SMACv2Args())
    assert "github.com/oxwhirl/smacv2" in str(caught.value)
    assert str(caught.value).endswith(f"{sys.executable} -m pip install --no-deps -r {path}")
    assert "smacv2 @ git+https://github.com/oxwhirl/smacv2.git@" in path.read_text()


def test_names_say_race_and_sizes():
    arguments = SMACv2Args(map_name="terran_10_vs_11").arguments()
    assert arguments["map_name"] == "10gen_terran"
    drawn = arguments["capability_config"]
    assert (drawn["n_units"], drawn["n_enemies"]) == (10, 11)
    assert drawn["team_gen"]["unit_types"] == ["marine", "marauder", "medivac"]
    assert drawn["team_gen"]["exception_unit_types"] == ["medivac"]
    assert sum(drawn["team_gen"]["weights"]) == 1
    assert "n_workers" not in arguments
    own = {"n_units": 3, "n_enemies": 3}
    assert SMACv2Args(capability_config=own).arguments()["capability_config"] == own


@pytest.mark.parametrize("name", ["3m", "protoss_5_vs", "elves_5_vs_5"])
def test_other_names_are_refused(name):
    with pytest.raises(ValidationError, match="<race>_<allies>_vs_<enemies>"):
        SMACv2Args(map_name=name)


def test_what_smacv2_does_not_have_is_refused():
    with pytest.raises(ValidationError, match="obs_instead_of_state unwritten"):
        SMACv2Args(obs_instead_of_state=True)


def test_everything_that_draws_is_seeded():
    """Generators of a distribution and of those within it; equal seeds, equal numbers."""

    class Part:
        def __init__(self):
            self.rng = np.random.default_rng()

    class Whole(Part):
        def __init__(self):
            super().__init__()
            self.inner, self.number = Part(), 3

    single = SMACv2Single.__new__(SMACv2Single)
    drawn = []
    for seed in (5, 5, 6):
        first, second = Whole(), Whole()
        single._env = types.SimpleNamespace(env_key_to_distribution_map={"a": first, "b": second})
        single._before_reset(seed)
        drawn.append([one.rng.random() for one in (first, first.inner, second, second.inner)])
    assert drawn[0] == drawn[1]
    assert len({*drawn[0], *drawn[2]}) == 8


# -- with it ---------------------------------------------------------------------------------------------------------


@pytest.mark.smacv2
def test_all_of_smacv2s_arguments_are_offered_but_three():
    from smacv2.env import StarCraft2Env

    theirs = inspect.signature(StarCraft2Env).parameters
    ours = set(SMACv2Args.model_fields) - set(WorkerArgs.model_fields)
    assert set(theirs) - ours == {"seed", "continuing_episode", "debug"}
    assert ours - set(theirs) == set()
    of_its_experiments = {"obs_own_pos": True, "use_unit_ranges": True}
    settled = {"map_name": "protoss_5_vs_5", "capability_config": None}
    defaults = {name: theirs[name].default for name in ours} | settled | of_its_experiments
    assert SMACv2Args().model_dump(include=ours) == defaults


@pytest.mark.smacv2
@pytest.mark.parametrize("race", ["protoss", "terran", "zerg"])
def test_episodes_of_every_race(make, race):
    env, rng = make(2, 2, map_name=f"{race}_5_vs_6"), np.random.default_rng(0)
    team = env.spec.teams[0]
    assert (team.n_agents, team.n_actions) == (5, 6 + 6)
    assert env.spec.episode_limit == 200
    for _ in range(2):
        out = reset(env, [0, 1])
        assert np.isfinite(out.teams[0].obs).all()
        assert out.teams[0].obs.any((1, 2)).all()
        returns, ends = play(env, out, rng)
        assert [failed for *_, failed in ends] == [False] * 2
        assert (returns <= 20.01).all()
    assert len(games_of(env)) == 2


@pytest.mark.smacv2
def test_teams_and_places_depend_on_the_episodes_seed(make):
    """Also in a later episode of a game that has played others; SMACv2 itself draws them from the machine's entropy."""
    first, second = make(2, map_name="zerg_10_vs_10"), make(2, map_name="zerg_10_vs_10")
    states = {}
    for seeds, env in (((1, 2), first), ((2, 1), second)):
        for _ in range(2):
            out = env.reset(np.arange(2), np.array(seeds, np.uint64))
            for slot, seed in enumerate(seeds):
                # health, cooldown, place, kind; the place after a loop, as the game has moved the units by then
                states.setdefault(seed, []).append(np.round(out.teams[0].state[slot, :70], 1))
            play(env, out, np.random.default_rng(0))
    kinds = {seed: [np.sort(state.reshape(10, 7)[:, 4:], 0) for state in seen] for seed, seen in states.items()}
    assert all(np.array_equal(kinds[1][0], kind) for kind in kinds[1])
    assert all(np.array_equal(kinds[2][0], kind) for kind in kinds[2])
    assert not np.array_equal(states[1][0], states[2][0])


@pytest.mark.smacv2
def test_a_killed_game_costs_its_episode_and_a_replay_is_saved(make, tmp_path):
    env, rng = make(1), np.random.default_rng(0)
    out = reset(env, [0])
    os.kill(games_of(env)[0], signal.SIGKILL)
    out = env.step([available(out, rng)], np.ones(1, bool))
    assert out.failed[0]
    out = reset(env, [0])
    _, ends = play(env, out, rng)
    assert not ends[0][2]
    path = env.save_replay(0, tmp_path)
    assert path.parent == tmp_path
    assert path.name.startswith("10gen_protoss_")


@pytest.mark.smacv2
@pytest.mark.parametrize(
    "option", [{"conic_fov": True}, {"obs_timestep_number": True},
               {"prob_obs_enemy": 0.5, "action_mask": False}],
    ids=str,
)  # fmt: skip
def test_options_whose_sizes_are_special(make, option):
    env, rng = make(1, **option), np.random.default_rng(0)
    out = reset(env, [0])
    for step in range(1, 4):
        out = env.step([available(out, rng)], np.ones(1, bool))
        assert np.isfinite(out.teams[0].obs).all()
        if "obs_timestep_number" in option:
            assert out.teams[0].obs[0, :, -1] == pytest.approx(step / 200)
