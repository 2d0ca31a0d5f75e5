"""Mean actions of neighbours against a loop, and the numbers of Yang et al.'s definition by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mean_field import MeanField, NeighbourSettings
from core.data import TeamSpec, one_hots
from core.errors import UserError
from core.settings import validate

U, S = 3, 9
UNITS = (2.0, 0.5)


def spec_of(n_agents, *, known=True):
    """Places in columns that are not in order: agent k has y before x, one column between them."""
    positions = tuple((2 * k + 2, 2 * k) for k in range(n_agents)) if known else ()
    sizes = {"n_agents": n_agents, "n_actions": U, "obs_dim": 2, "state_dim": 2 * n_agents + 1, "reward_dim": 1}
    return TeamSpec(name="agents", positions=positions, position_units=UNITS, **sizes)


def hot(actions):
    """One-hot, zeros for -1."""
    return torch.stack([torch.nn.functional.one_hot(torch.tensor(max(u, 0)), U) * (u >= 0) for u in actions]).float()


def lives(living):
    available = torch.zeros(len(living), U, dtype=torch.bool)
    available[:, 0] = True
    available[torch.tensor(living)] = True
    return available


def by_hand(spec, options, actions, living, state):
    """Of every agent, by loops over the others."""
    means = []
    for i in range(spec.n_agents):
        others = []
        for j in range(spec.n_agents):
            if j == i or not living[j]:
                continue
            gaps = [
                (float(state[spec.positions[j][k]]) - float(state[spec.positions[i][k]])) * UNITS[k] for k in (0, 1)
            ]
            others.append((gaps[0] ** 2 + gaps[1] ** 2, j))
        if options.neighbours == "radius":
            others = [(square, j) for square, j in others if square <= options.neighbour_radius**2]
        if options.neighbours == "nearest":
            others = sorted(others)[: options.neighbour_count]
        total = np.zeros(U)
        for _, j in others:
            if actions[j] >= 0:
                total[actions[j]] += 1
        means.append(total / max(len(others), 1))
    return torch.tensor(np.array(means), dtype=torch.float32)


CHOICES = [
    NeighbourSettings(),
    NeighbourSettings(neighbours="radius", neighbour_radius=2.0),
    NeighbourSettings(neighbours="nearest", neighbour_count=2),
    NeighbourSettings(neighbours="nearest", neighbour_count=50),
]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 6), st.sampled_from(CHOICES), st.data())
def test_means_equal_a_loop(n_agents, options, data):
    spec = spec_of(n_agents)
    actions = data.draw(st.lists(st.integers(-1, U - 1), min_size=n_agents, max_size=n_agents))
    living = data.draw(st.lists(st.booleans(), min_size=n_agents, max_size=n_agents))
    # halves: distances and ties are exact, so that the radius' rim is the same here and there
    size = spec.state_dim
    state = torch.tensor(data.draw(st.lists(st.integers(-4, 4), min_size=size, max_size=size))) / 2
    found = MeanField(spec, options)(hot(actions), lives(living), state)
    torch.testing.assert_close(found, by_hand(spec, options, actions, living, state))


def test_by_hand():
    field = MeanField(spec_of(3, known=False), NeighbourSettings())
    last, state = hot([0, 2, 2]), torch.zeros(7)
    assert field(last, lives([True] * 3), state).tolist() == [[0, 0, 1], [0.5, 0, 0.5], [0.5, 0, 0.5]]
    assert field(last, lives([True, True, False]), state)[:2].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert field(last, lives([True, False, False]), state)[0].tolist() == [0, 0, 0]
    assert (field(hot([-1, -1, -1]), lives([True] * 3), state) == 0).all()
    alone = MeanField(spec_of(1), NeighbourSettings())
    assert alone(hot([1]), lives([True]), torch.zeros(3)).tolist() == [[0, 0, 0]]


def test_between_two_it_is_the_others_action_and_sums_over_neighbours_are_exact():
    """Q(u) = mean_k q(u_i, u_k) is what a head that is linear in the mean action gives."""
    two = MeanField(spec_of(2), NeighbourSettings())
    assert torch.equal(two(hot([0, 2]), lives([True] * 2), torch.zeros(5)), hot([2, 0]))
    q = torch.randn(U, U, generator=torch.Generator().manual_seed(0))
    field, every = MeanField(spec_of(4), NeighbourSettings()), torch.cartesian_prod(*[torch.arange(U)] * 4)
    last = one_hots(U, "floats", torch.device("cpu"))[every]  # [81, A, U]
    means = field(last, torch.ones(last.shape, dtype=torch.bool), torch.zeros(len(every), 9))
    linear = torch.einsum("nau,nav,uv->na", last, means, q)
    pairs = torch.stack([
        torch.stack([q[every[:, i], every[:, k]] for k in range(4) if k != i]).mean(0) for i in range(4)
    ], 1)  # fmt: skip
    torch.testing.assert_close(linear, pairs)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"neighbours": "radius"}, "neighbours=radius needs neighbour_radius"),
        ({"neighbours": "nearest"}, "neighbours=nearest needs neighbour_count"),
        ({"neighbours": "all", "neighbour_radius": 1.0}, "neighbour_radius=1.0 belongs to neighbours=radius"),
        ({"neighbours": "radius", "neighbour_radius": 1.0, "neighbour_count": 2}, "belongs to neighbours=nearest"),
    ],
)
def test_what_belongs_together_is_asked_for(values, what):
    with pytest.raises(UserError, match=what):
        validate(NeighbourSettings, values, {})


@pytest.mark.parametrize("options", CHOICES[1:3], ids=lambda options: options.neighbours)
def test_distances_need_places(options):
    with pytest.raises(UserError, match=f"neighbours={options.neighbours}: .* does not say where .* neighbours=all"):
        MeanField(spec_of(3, known=False), options)
