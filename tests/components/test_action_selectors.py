"""Selectors: never an unavailable action, and the distribution that the learner believes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.action_selectors import SELECTORS, epsilon_greedy, greedy, of_greedy, policy_log_probs, soft_policy


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def frequencies(select, values, available, epsilon, n=20_000):
    actions = select(values.expand(n, 1, -1), available.expand(n, 1, -1), epsilon=epsilon, generator=generator())
    return torch.bincount(actions.flatten(), minlength=values.shape[-1]) / n


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    name=st.sampled_from(list(SELECTORS)),
    epsilon=st.sampled_from([0.0, 0.3, 1.0]),
    scale=st.sampled_from([1.0, 100.0, 1e20]),
    n_available=st.integers(1, 5),
)
def test_only_available_actions(seed, name, epsilon, scale, n_available):
    g = generator(seed)
    values = torch.randn(40, 3, 5, generator=g) * scale
    available = torch.rand(40, 3, 5, generator=g).argsort(-1) < n_available
    for actions in (SELECTORS[name](values, available, epsilon=epsilon, generator=g), greedy(values, available)):
        assert actions.dtype == torch.int64
        assert available.gather(-1, actions.unsqueeze(-1)).all()
    log_pi = policy_log_probs(values, available, epsilon)
    assert torch.isfinite(log_pi).all()
    assert (log_pi.exp()[~available] == 0).all()
    torch.testing.assert_close(log_pi.exp().sum(-1), torch.ones(40, 3))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), epsilon=st.sampled_from([0.0, 0.3, 1.0]))
def test_kernels_choose_as_the_operators_do(seed, epsilon):
    """Which do the work in double precision; of equal values the first is taken."""
    g = generator(seed)
    values = torch.randint(0, 3, (5, 4, 3, 6), generator=g).float()[:, 1:, :, ::2]  # with gaps in memory
    available = torch.rand(5, 3, 3, 3, generator=g) < 0.6
    available[..., 1] |= ~available.any(-1)
    assert torch.equal(greedy(values, available), greedy(values.double(), available))
    others = torch.randn(values.shape, generator=g)
    found = of_greedy(values, others, available)
    assert torch.equal(found.double(), of_greedy(values.double(), others.double(), available))
    assert torch.equal(found, others.gather(-1, greedy(values, available).unsqueeze(-1)).squeeze(-1))
    draws = [
        epsilon_greedy(v, available, epsilon=epsilon, generator=generator(seed)) for v in (values, values.double())
    ]
    assert torch.equal(*draws)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), before=st.integers(0, 5), n=st.integers(1, 400))
def test_draws_by_a_kernel_are_those_of_the_operators(seed, before, n):
    """From one stream, wherever in its state the draws begin; beside NaN something available is drawn."""
    g = generator(seed)
    values = torch.randn(n, 3, 8, generator=g)[..., ::2]
    values[0, 0] = torch.nan
    available = torch.rand(n, 3, 4, generator=g) < 0.4
    available[..., 1] |= ~available.any(-1)
    mine, other = generator(seed), generator(seed)
    for stream in (mine, other):
        torch.rand(before, generator=stream)  # single words
    drawn = soft_policy(values, available, epsilon=0.0, generator=mine)
    noise = torch.empty(n, 3, 4).exponential_(generator=other)
    expected = (values - noise.log()).masked_fill(~available, -torch.inf).argmax(-1)
    sound = ~values.isnan().any(-1)
    assert torch.equal(drawn[sound], expected[sound])
    assert available.gather(-1, drawn.unsqueeze(-1)).all()
    assert torch.equal(mine.get_state(), other.get_state())
    assert torch.equal(torch.randn(20, generator=mine), torch.randn(20, generator=other))


VALUES = torch.tensor([0.0, 1.0, 3.0, 2.0])
AVAILABLE = torch.tensor([True, True, False, True])


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_epsilon_greedy_distribution(epsilon):
    """The best available action (3), and epsilon of the uniform draw over the three available ones."""
    expected = torch.tensor([epsilon / 3, epsilon / 3, 0, 1 - epsilon + epsilon / 3])
    assert (frequencies(epsilon_greedy, VALUES, AVAILABLE, epsilon) - expected).abs().max() < 0.015


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_soft_policy_distribution_is_the_one_that_the_learner_believes(epsilon):
    p = torch.softmax(torch.tensor([0.0, 1.0, 2.0]), -1) * (1 - epsilon) + epsilon / 3
    expected = torch.stack([p[0], p[1], torch.tensor(0.0), p[2]])
    believed = policy_log_probs(VALUES, AVAILABLE, epsilon).exp()
    torch.testing.assert_close(believed, expected)
    assert (frequencies(soft_policy, VALUES, AVAILABLE, epsilon) - expected).abs().max() < 0.015


def test_the_floor_keeps_every_available_action_possible_and_trainable():
    values = torch.tensor([1000.0, 0.0, 0.0], requires_grad=True)
    available = torch.tensor([True, True, False])
    log_pi = policy_log_probs(values, available, 0.1)
    torch.testing.assert_close(log_pi.exp(), torch.tensor([0.95, 0.05, 0.0]))
    log_pi[:2].sum().backward()
    assert torch.isfinite(values.grad).all()


def test_epsilon_is_a_share_per_agent_not_per_team():
    values, available = torch.tensor([1.0, 0.0]).expand(20_000, 2, 2), torch.ones(20_000, 2, 2, dtype=torch.bool)
    actions = epsilon_greedy(values, available, epsilon=0.5, generator=generator())
    both = (actions == 1).all(1).float().mean()
    assert both.item() == pytest.approx(0.0625, abs=0.01)  # (.5 / 2)^2


@pytest.mark.parametrize("name", SELECTORS)
def test_reproducible(name):
    values, available = torch.randn(50, 2, 4), torch.ones(50, 2, 4, dtype=torch.bool)
    first, second = (SELECTORS[name](values, available, epsilon=0.5, generator=generator(4)) for _ in range(2))
    assert torch.equal(first, second)
