import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import UserError
from envs.conformance import check_env
from envs.matrix_game import MatrixGame


def make(n_envs=1, **env_args):
    return MatrixGame(n_envs, MatrixGame.Args(**env_args))


def total(env, *joint):
    """Return the team's return where the joint actions are played over and over, until the episode ends."""
    out = env.reset(np.array([0]), np.array([0], np.uint64))
    rewards = []
    for t in range(env.spec.episode_limit):
        assert not out.terminated[0]
        out = env.step([np.array([joint[t % len(joint)]])], np.ones(1, bool))
        rewards.append(float(out.teams[0].rewards[0, 0]))
    assert out.terminated[0]
    assert not out.truncated[0]
    return sum(rewards)


@pytest.mark.parametrize(
    ("env_args", "joint", "expected"),
    [
        ({"game": "climbing"}, (0, 0), 275),
        ({"game": "climbing"}, (1, 1), 175),
        ({"game": "climbing"}, (0, 1), -750),
        ({"game": "climbing"}, (2, 1), 150),
        ({"game": "climbing"}, (1, 2), 0),
        ({"game": "penalty", "k": -25}, (0, 0), -625),
        ({"game": "penalty", "k": -25}, (2, 0), 250),
        ({"game": "penalty", "k": 0}, (2, 2), 0),
        ({"game": "penalty"}, (1, 1), 50),
        ({"game": "qtran", "episode_length": 1}, (0, 0), 8),
        ({"game": "qtran", "episode_length": 1}, (0, 2), -12),
        ({"payoff": [[1, 2, 3], [4, 5, 6]], "episode_length": 2}, (1, 2), 12),
    ],
)
def test_returns(env_args, joint, expected):
    assert total(make(**env_args), joint) == expected


@pytest.mark.parametrize(("joint", "expected"), [((0, 0), 7), ((0, 1), 7), ((1, 0), 1), ((1, 1), 8)])
def test_two_step(joint, expected):
    env = make(game="two_step")
    assert env.spec.episode_limit == 2
    assert total(env, (joint[0], 0), joint) == expected


def test_two_step_shows_where_it_is():
    env = make(3, game="two_step")
    out = env.reset(np.arange(3), np.zeros(3, np.uint64))
    assert out.teams[0].state.tolist() == [[1, 0, 0]] * 3
    out = env.step([np.array([[0, 1], [1, 0], [1, 1]])], np.array([True, True, False]))
    assert out.teams[0].state.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert out.teams[0].obs[1].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert not out.teams[0].rewards.any()


@given(st.data())
def test_any_payoff(data):
    shape = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
    matrix = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-9, 9, shape)
    env = make(payoff=matrix.tolist(), episode_length=1)
    available = env.reset(np.array([0]), np.array([0], np.uint64)).teams[0].available[0]
    assert available.sum(-1).tolist() == shape
    for joint in itertools.product(*map(range, shape)):
        assert total(env, joint) == matrix[joint]


@pytest.mark.parametrize("game", ["climbing", "penalty", "qtran", "two_step"])
def test_conformance(game):
    check_env(make(3, game=game), other=make(1, game=game))


@pytest.mark.parametrize(
    ("env_args", "reason"),
    [
        ({"game": "climbin"}, "Did you mean 'climbing'"),
        ({"game": "penalty", "k": 1}, "less than or equal to 0"),
        ({"payoff": [[1, 2], [3]]}, "equal length"),
        ({"payoff": [1, 2]}, "at least two levels"),
        ({"payoff": [["a", 2], [3, 4]]}, "numbers"),
        ({"episode_length": 0}, "greater than or equal to 1"),
        ({"episode_lengt": 5}, "Extra inputs"),
    ],
)
def test_what_the_user_can_mend(env_args, reason):
    with pytest.raises(ValidationError, match=reason):
        MatrixGame.Args(**env_args)


def test_an_action_that_is_not_there():
    env = make()
    env.reset(np.array([0]), np.array([0], np.uint64))
    with pytest.raises(ValueError, match="actions must be within"):
        env.step([np.array([[0, 3]])], np.ones(1, bool))
    with pytest.raises(UserError, match="cannot be drawn"):
        env.render()
