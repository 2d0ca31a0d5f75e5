"""One kernel for the value loss, against PyTorch's operators in double precision."""

import pytest
import torch

from components.value_loss import value_loss
from estimators.masked import masked_mean
from estimators.value_losses import clipped, squared


def some():
    g = torch.Generator().manual_seed(0)
    value, target, old = (2 * torch.randn(4, 6, 3, generator=g, dtype=torch.float64) for _ in range(3))
    old[:2] = value[:2] + 0.1 * torch.randn(2, 6, 3, generator=g, dtype=torch.float64)
    return value, target, old, torch.rand(4, 6, 3, generator=g) < 0.7


@pytest.mark.parametrize("delta", [None, 0.5, 10.0])
@pytest.mark.parametrize("clip_range", [None, 0.2])
def test_loss_and_gradient(clip_range, delta):
    value, target, old, weights = some()
    x, y = value.float().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_(), value.clone().requires_grad_()
    single = value_loss(x, target.float(), old.float(), weights, clip_range=clip_range, delta=delta)
    each = squared(y - target, delta) if clip_range is None else clipped(y, target, old, clip_range=0.2, delta=delta)
    double = masked_mean(each, weights)
    (3 * single).backward()
    (3 * double).backward()
    assert single.item() == pytest.approx(double.item(), rel=1e-5)
    torch.testing.assert_close(x.grad.double(), y.grad, atol=1e-6, rtol=1e-5)
    same = value_loss(value, target, old, weights, clip_range=clip_range, delta=delta)
    assert same == double


def test_what_does_not_count_has_no_influence_and_not_a_number_shows():
    value, target, old, weights = (x.float() if x.is_floating_point() else x for x in some())
    known = value_loss(value, target, old, weights, clip_range=0.2, delta=1.0)
    for x in (value, target, old):
        x[~weights] = torch.nan
    assert value_loss(value, target, old, weights, clip_range=0.2, delta=1.0) == known
    assert value_loss(value, target, old, torch.zeros_like(weights), clip_range=0.2, delta=1.0) == 0
    counted = tuple(weights.nonzero()[0])
    for x in (value, target, old):
        before = x[counted].clone()
        x[counted] = torch.nan
        assert value_loss(value, target, old, weights, clip_range=0.2, delta=1.0).isnan()
        x[counted] = before
