from dataclasses import replace

import numpy as np
import pytest
from particle_tools import make, put, step

from core.errors import UserError
from core.registry import load
from envs import REGISTRY
from envs.baselines import play
from envs.scripted import SCRIPTED, make_player

TEAMS = {
    "spread": ["agents"], "spread_paper": ["agents"],
    "predator_prey": ["predator", "prey"], "simple_tag": ["predator", "prey"],
}  # fmt: skip
FITS = {
    "random": {(env, team) for env, teams in TEAMS.items() for team in teams},
    "noop": {(env, team) for env, teams in TEAMS.items() for team in teams},
    "greedy": {("predator_prey", "predator"), ("simple_tag", "predator")},
    "fleeing": {("predator_prey", "prey"), ("simple_tag", "prey")},
    "nearest": {("spread", "agents"), ("spread_paper", "agents")},
    "assigned": {("spread", "agents"), ("spread_paper", "agents")},
}
CASES = [(name, env, team) for name in FITS for env, teams in TEAMS.items() for team in teams]


def player(name, env, team_index=0):
    names = [key for key, line in REGISTRY.items() if line.endswith(":" + type(env).__name__)]
    return make_player(name, env=names[0], env_args=env.args, team=env.spec.teams[team_index])


def act(who, env, team_index=0, seed=0):
    team = env._time_step.teams[team_index]
    return who.act(team, np.random.default_rng(seed))


@pytest.mark.parametrize(("name", "env", "team"), CASES)
def test_players_play_the_teams_that_they_fit_and_refuse_others(name, env, team):
    world = make(env, 5)
    index = TEAMS[env].index(team)
    if (env, team) not in FITS[name]:
        with pytest.raises(UserError, match=f"'{name}' cannot play the team '{team}' of {env}"):
            player(name, world, index)
        return
    actions = act(player(name, world, index), world, index)
    assert actions.shape == (5, world.spec.teams[index].n_agents)
    assert actions.dtype == np.int64
    assert ((actions >= 0) & (actions < 5)).all()


def test_every_player_is_known_and_others_are_not():
    assert set(FITS) == set(SCRIPTED) - {"attack_nearest", "focus_fire"}  # tests/envs/battle/test_scripted.py
    assert all(load(SCRIPTED, name, "player").__doc__ for name in SCRIPTED)
    env = make("predator_prey")
    with pytest.raises(UserError, match="Did you mean 'fleeing'"):
        player("fleeng", env)


@pytest.mark.parametrize("name", ["random", "noop", "fleeing"])
def test_players_take_available_actions_only(name):
    env = make("predator_prey", 3)
    available = np.zeros((3, 3, 5), bool)
    available[..., 3] = True
    team = replace(env._time_step.teams[1], available=available)
    assert (player(name, env, 1).act(team, np.random.default_rng(0)) == 3).all()


def test_random_is_uniform_over_what_is_available_and_follows_its_generator():
    env = make("spread")
    available = np.ones((40000, 3, 5), bool)
    available[..., 2] = False
    team = replace(env._time_step.teams[0], available=available)
    first, again = (player("random", env).act(team, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    shares = np.bincount(first.ravel(), minlength=5) / first.size
    np.testing.assert_allclose(shares, [0.25, 0.25, 0, 0.25, 0.25], atol=0.006)


# -- spread ----------------------------------------------------------------------------------------------------------

REFERENCE = {  # form, player -> return: an implementation of the same worlds independent of this one, 200 episodes
    3: {"landmarks": (-461, -294, -138, -35), "agents": (-590, -312, -72, -36)},
    4: {"landmarks": (-552, -345, -154, -47), "agents": (-778, -390, -94, -48)},
    5: {"landmarks": (-618, -375, -161, -58), "agents": (-932, -449, -111, -60)},
}


@pytest.mark.parametrize("n_agents", [3, 4, 5])
@pytest.mark.parametrize("form", ["landmarks", "agents"])
def test_returns_agree_with_an_independent_implementation(n_agents, form):
    """Both are means of 200 episodes: within four standard errors of their difference."""
    expected = dict(zip(("random", "noop", "nearest", "assigned"), REFERENCE[n_agents][form], strict=True))
    for name, value in expected.items():
        returns, _ = play(
            "spread_paper", {"agents": name}, 200, n_agents=n_agents, reward_form=form, sight_radius=None,
            n_obstacles=0, collision_penalty=0,
        )  # fmt: skip
        error = returns["agents"].std() / np.sqrt(200) * np.sqrt(2)
        assert abs(returns["agents"].mean() - value) < 4 * error + 0.5, name  # the reference is rounded


def test_nearest_goes_to_the_nearest_landmark_in_sight_and_else_to_the_centre():
    env = make("spread_paper", n_agents=2, n_obstacles=0, sight_radius=0.5)
    put(env, [[0.0, 0.0], [0.2, 0.9], [0.4, 0.1], [-0.1, -0.4]])
    step(env)
    assert act(player("nearest", env), env).tolist() == [[2, 3]]
    put(env, [[0.0, 0.0], [0.2, 0.9], [0.4, 0.1], [-0.1, -0.39]])
    step(env)
    assert act(player("nearest", env), env).tolist() == [[3, 3]]
    put(env, [[0.4, 0.1], [0.2, 0.9], [0.4, 0.1], [9, 9]])
    step(env)
    assert act(player("nearest", env), env).tolist() == [[0, 3]]  # it is there


def test_assigned_shares_what_the_team_sees():
    env = make("spread_paper", n_agents=2, n_obstacles=0, sight_radius=1.0)
    put(env, [[0.0, 0.0], [0.5, 0.0], [0.6, 0.0], [-9.0, 0.0]])  # the second landmark is seen by nobody
    step(env)
    assert act(player("assigned", env), env)[0, 1] in (1, 2)
    put(env, [[0.0, 0.0], [0.5, 0.0], [0.6, 0.05], [0.3, 0.95]])  # the first one's nearest is the second one's, too
    step(env)
    assert act(player("assigned", env), env).tolist() == [[4, 2]]
    put(env, [[-1.2, 3.0], [1.5, 2.5], [1.6, 2.0], [2.0, 2.9]])  # the first sees nothing, but knows from the second
    step(env)
    assert act(player("assigned", env), env).tolist() == [[2, 2]]
    assert act(player("nearest", env), env).tolist() == [[3, 3]]


def test_assigned_covers_all_landmarks():
    _, info = play("spread_paper", {"agents": "assigned"}, 50, n_agents=4, sight_radius=None, n_obstacles=0)
    assert info["occupied_landmarks"].mean() > 3


# -- chases ----------------------------------------------------------------------------------------------------------


def test_greedy_chases_the_nearest_living_prey():
    env = make("predator_prey", n_predators=2, n_preys=2, n_obstacles=0)
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.1, 0.0], [0.0, -0.9]])
    step(env)  # the first prey is captured
    assert act(player("greedy", env), env).tolist() == [[3, 3]]
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.1, 0.0], [0.9, 0.5]])
    step(env)
    assert act(player("greedy", env), env).tolist() == [[2, 3]]


def test_greedy_brakes_and_leads():
    env = make("predator_prey", n_predators=1, n_preys=1, n_obstacles=0)
    put(env, [[0.0, 0.0], [0.3, 0.0]], [[1.0, 0.0], [0.0, 0.0]])
    step(env)
    assert act(player("greedy", env), env).tolist() == [[1]]  # it would pass the prey
    put(env, [[0.0, 0.0], [0.3, 0.2]], [[0.0, 0.0], [0.0, 1.3]])
    step(env)
    assert act(player("greedy", env), env).tolist() == [[4]]  # the prey will be further up than to the right


def test_fleeing_runs_from_the_nearest_predator_but_not_into_a_wall():
    env = make("predator_prey", n_predators=2, n_preys=1, n_obstacles=0)
    put(env, [[0.0, 0.0], [9.0, 9.0], [0.4, 0.0]])
    step(env)
    assert act(player("fleeing", env, 1), env, 1).tolist() == [[2]]
    put(env, [[2.0, 0.1], [-2.0, -2.0], [2.44, 0.0]])
    step(env)
    assert act(player("fleeing", env, 1), env, 1).tolist() == [[3]]


def test_a_captured_prey_does_nothing():
    env = make("predator_prey", n_predators=1, n_preys=2, n_obstacles=0)
    put(env, [[0.0, 0.0], [0.1, 0.0], [0.0, -0.9]])
    step(env)
    for name in ("fleeing", "random", "noop"):
        assert act(player(name, env, 1), env, 1)[0, 0] == 0


def test_the_greedy_and_the_fleeing_beat_random_ones_at_stock_tag():
    def catch(predator, prey):
        return play("simple_tag", {"predator": predator, "prey": prey}, 200)[1]["contacts"].mean()

    assert catch("greedy", "random") > 3 * catch("random", "random")
    assert catch("random", "fleeing") < catch("random", "random")


@pytest.mark.parametrize("n", [2, 3, 4])
def test_capture_rates_of_scripted_players_tell_policies_apart(n):
    rates = {}
    for predator, prey in (("random", "random"), ("greedy", "fleeing"), ("greedy", "random")):
        players = {"predator": predator, "prey": prey}
        _, info = play("predator_prey", players, 100, seed=n, n_predators=n, n_preys=n)
        rates[predator, prey] = info["capture_rate"].mean()
    assert rates["random", "random"] < 0.3
    assert 0.5 < rates["greedy", "fleeing"] < 0.9
    assert rates["greedy", "random"] > 0.95


def test_it_pays_to_survive_and_to_capture():
    """With centre_weight=1 an early capture is what the preys should seek: their distances to the centre end."""

    def returns(prey, **env_args):
        found, _ = play("predator_prey", {"predator": "greedy", "prey": prey}, 60, **env_args)
        return found["predator"].mean(), found["prey"].mean()

    fleeing, still = returns("fleeing"), returns("noop")
    assert fleeing[1] > 3 * still[1]
    assert fleeing[0] < still[0]
    assert returns("fleeing", centre_weight=1)[1] < returns("noop", centre_weight=1)[1]
