"""Reductions that see real steps only, and policies that see available actions only."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from estimators import surrogates
from estimators.masked import masked_log_softmax, masked_mean, mean_square


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    trailing=st.sampled_from([(), (3,), (2, 4)]),
    padding=st.sampled_from([1e12, -np.inf, np.nan]),
)
def test_the_mean_equals_numpys_over_the_kept_entries(seed, trailing, padding):
    rng = np.random.default_rng(seed)
    x, mask = rng.normal(size=(3, 5, *trailing)), rng.random((3, 5)) < 0.5
    mask[0, 0] = True
    rubbish = np.where(mask.reshape(3, 5, *(1,) * len(trailing)), x, padding)
    got = masked_mean(torch.from_numpy(rubbish), torch.from_numpy(mask))
    np.testing.assert_allclose(got, x[mask].mean(), rtol=1e-9, atol=1e-12)


def test_nothing_real_gives_zero():
    assert masked_mean(torch.ones(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool)) == 0


def test_no_gradient_reaches_padding():
    x = torch.randn(2, 3, 2, requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    masked_mean(x**2, mask).backward()
    assert (x.grad[~mask] == 0).all()
    torch.testing.assert_close(x.grad[mask], 2 * x.detach()[mask] / 6)


@pytest.mark.parametrize("width", [1, 3])
def test_the_mean_square_of_rows_without_padding_is_that_of_padded_ones(width):
    """Value and gradient; a target may be for all of a row's values."""
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    y, mask = torch.randn(2, 5, width, dtype=torch.float64), torch.ones(2, 5, dtype=torch.bool)
    results = []
    for of in (None, mask):
        loss = mean_square(x, y, of)
        results.append((loss, torch.autograd.grad(loss, x)[0]))
    torch.testing.assert_close(*results)


def test_log_softmax_over_the_available_actions():
    logits = torch.tensor([[1.0, 5.0, 2.0, -1.0]])
    available = torch.tensor([[True, False, True, True]])
    probs = masked_log_softmax(logits, available).exp()
    assert probs[0, 1] == 0
    torch.testing.assert_close(probs[0, [0, 2, 3]], torch.softmax(logits[0, [0, 2, 3]], -1))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1.0, 100.0, 1e6, 1e20]), n_available=st.integers(1, 5))
def test_values_and_gradients_stay_finite(seed, scale, n_available):
    g = torch.Generator().manual_seed(seed)
    logits = (torch.randn(1, 7, 5, generator=g) * scale).requires_grad_()
    available = torch.rand(1, 7, 5, generator=g).argsort(-1) < n_available
    log_pi = masked_log_softmax(logits, available)
    other = masked_log_softmax(torch.randn(1, 7, 5, generator=g), available)
    entropy, kl = surrogates.entropy(log_pi), surrogates.kl(other, log_pi)
    (entropy.sum() + kl.clamp(max=1e6).sum() + (log_pi * available).clamp(min=-1e6).sum()).backward()
    for x in (log_pi, entropy, kl, logits.grad):
        assert torch.isfinite(x).all()
    assert (log_pi.exp()[~available] == 0).all()
    torch.testing.assert_close(log_pi.exp().sum(-1), torch.ones(1, 7))
    assert (logits.grad[~available] == 0).all()
    assert (entropy >= -1e-6).all()


def test_a_single_available_action_is_certain_and_has_no_gradient():
    logits = torch.randn(4, requires_grad=True)
    available = torch.tensor([False, False, True, False])
    log_pi = masked_log_softmax(logits, available)
    assert log_pi[2] == 0
    assert surrogates.entropy(log_pi) == 0
    (log_pi[2] + surrogates.entropy(log_pi)).backward()
    assert (logits.grad == 0).all()
