"""Straight-through Gumbel-softmax: worked numbers, exact one-hots, the distribution of draws, unavailable actions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from estimators.gumbel import gumbel_softmax


def test_values_and_gradients_of_a_worked_example():
    """Logits (0, 0), noise (1, 0), temperature 1, payoffs (1, 3)."""
    logits = torch.zeros(2, requires_grad=True)
    y = gumbel_softmax(logits + torch.tensor([1.0, 0.0]), torch.ones(2, dtype=torch.bool), temperature=1.0)
    assert y.tolist() == [1.0, 0.0]
    (y * torch.tensor([1.0, 3.0])).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([-0.3932, 0.3932]), rtol=0, atol=1e-4)


def test_the_temperature_divides():
    logits = torch.tensor([0.0, 0.0], requires_grad=True)
    y = gumbel_softmax(logits + torch.tensor([1.0, 0.0]), torch.ones(2, dtype=torch.bool), temperature=0.5)
    y[0].backward()
    soft = torch.softmax(torch.tensor([2.0, 0.0]), 0)
    torch.testing.assert_close(logits.grad, 2 * soft[0] * soft[1] * torch.tensor([1.0, -1.0]))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.1, 5), n=st.integers(1, 6))
def test_draws_are_exactly_one_hot_and_available(seed, temperature, n):
    g = torch.Generator().manual_seed(seed)
    logits = (torch.randn(4, 3, n, generator=g) * 5).requires_grad_()
    available = torch.rand(4, 3, n, generator=g) < 0.5
    available[..., 0] |= ~available.any(-1)
    y = gumbel_softmax(logits, available, temperature=temperature, generator=g)
    assert ((y == 0) | (y == 1)).all()
    assert (y.sum(-1) == 1).all()
    assert (y[~available] == 0).all()
    (y * torch.randn(y.shape, generator=g)).sum().backward()
    assert (logits.grad[~available] == 0).all()
    assert logits.grad.isfinite().all()
    alone = available.sum(-1) == 1
    assert (logits.grad[alone] == 0).all()


def test_equal_values_give_one_entry():
    y = gumbel_softmax(torch.zeros(5), torch.ones(5, dtype=torch.bool), temperature=1.0)
    assert y.tolist() == [1, 0, 0, 0, 0]


def test_draws_are_from_the_softmax():
    g = torch.Generator().manual_seed(0)
    probs = torch.tensor([0.2, 0.5, 0.3])
    y = gumbel_softmax(probs.log().expand(20_000, 3), torch.ones(3, dtype=torch.bool), temperature=0.7, generator=g)
    torch.testing.assert_close(y.mean(0), probs, rtol=0, atol=0.015)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_draws_do_not_depend_on_how_logits_lie_in_memory(order):
    logits = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    laid = logits.permute(order).contiguous().permute(order)
    every = torch.ones(3, dtype=torch.bool)
    first, second = (
        gumbel_softmax(x, every, temperature=1.0, generator=torch.Generator().manual_seed(2)) for x in (logits, laid)
    )
    assert torch.equal(first, second)
