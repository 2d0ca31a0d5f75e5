"""Running moments of targets."""

import pytest
import torch

from components.value_norm import ValueNorm


def seen(*rows):
    targets = torch.tensor(rows)[:, None, :]  # [B, 1, A]
    return targets, torch.ones(targets.shape, dtype=torch.bool)


def moments(norm):
    zero, one = (norm.denormalise(torch.full((1, 1), x))[0, 0].item() for x in (0.0, 1.0))
    return zero, (one - zero) ** 2


def test_two_updates_by_hand():
    norm = ValueNorm(1)
    assert moments(norm) == (0, 1)
    norm.update(*seen([1.0, 3.0]))
    assert moments(norm) == pytest.approx((2, 1), rel=1e-4)
    norm.update(*seen([5.0, 7.0, 9.0]))
    assert moments(norm) == pytest.approx((4.5, 8.0833), rel=1e-3)


def test_normalised_values_come_back():
    norm, x = ValueNorm(2), torch.randn(4, 3, 2)
    norm.update(100 + 10 * x, torch.ones(x.shape, dtype=torch.bool))
    torch.testing.assert_close(norm.denormalise(norm.normalise(x)), x, atol=1e-4, rtol=1e-4)
    assert float(norm.normalise(100 + 10 * x).std()) == pytest.approx(1, abs=0.1)


def test_what_does_not_count_has_no_influence():
    x, weights = torch.randn(4, 3, 2), torch.rand(4, 3, 2) < 0.5
    weights[0] = True
    first, second = ValueNorm(2), ValueNorm(2)
    first.update(x, weights)
    second.update(x.masked_fill(~weights, 1e9), weights)
    assert torch.equal(first.moments, second.moments)
    for k in range(2):
        assert float(first.moments[0, k] / first.moments[2, k]) == pytest.approx(
            float(x[..., k][weights[..., k]].mean())
        )


def test_an_agent_without_decisions_keeps_its_moments():
    norm = ValueNorm(2)
    norm.update(torch.ones(1, 1, 2), torch.tensor([[[True, False]]]))
    assert norm.moments[2, 0] > 0
    assert norm.moments[2, 1] == 0
    assert float(norm.denormalise(torch.zeros(1, 2))[0, 1]) == 0


def test_state_comes_back():
    first, second = ValueNorm(1), ValueNorm(1)
    first.update(*seen([1.0, 3.0]))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.moments, second.moments)
