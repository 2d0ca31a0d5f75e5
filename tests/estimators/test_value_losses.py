"""The losses of a state value against closed forms."""

import pytest
import torch

from estimators.value_losses import clipped, squared


@pytest.mark.parametrize(
    ("error", "delta", "loss"), [(3.0, 10.0, 4.5), (12.0, 10.0, 70.0), (-12.0, 10.0, 70.0), (3.0, None, 9.0)]
)
def test_huber_by_hand(error, delta, loss):
    assert float(squared(torch.tensor(error), delta)) == pytest.approx(loss)


def test_clipping_takes_the_larger_loss_and_stops_the_gradient_of_what_has_moved_enough():
    value = torch.tensor(1.5, requires_grad=True)
    loss = clipped(value, torch.tensor(2.0), torch.tensor(1.0), clip_range=0.2, delta=None)
    assert float(loss.detach()) == pytest.approx(0.64)  # max(.25, .64): V_old 1 may come to 1.2
    loss.backward()
    assert value.grad == 0


@pytest.mark.parametrize(("value", "moves"), [(1.1, True), (0.5, True), (1.5, False)])
def test_the_gradient_lives_within_the_range_and_on_the_wrong_side(value, moves):
    v = torch.tensor(value, requires_grad=True)
    clipped(v, torch.tensor(2.0), torch.tensor(1.0), clip_range=0.2, delta=None).backward()
    assert (v.grad != 0) == moves
