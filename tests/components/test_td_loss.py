"""The loss of chosen values as one node."""

import pytest
import torch

from components.td_loss import has_kernel, td_loss

P, A, U = 9, 3, 4


@pytest.mark.parametrize("width", [1, A])
def test_it_equals_its_operators_in_double_precision(width):
    """Values, loss and gradient, of a part of a longer tensor, and of a multiple of the loss."""
    g = torch.Generator().manual_seed(0)
    every = torch.randn(1, P + 2, A, U, generator=g, requires_grad=True)
    actions, target = torch.randint(U, (P, A), generator=g), torch.randn(P, width, generator=g)
    q = every[0, :P]
    assert has_kernel(q, target)
    loss, made = td_loss(q, actions, target)
    (gradient,) = torch.autograd.grad(3 * loss, every)
    exact = every.detach().double().requires_grad_()
    values = exact[0, :P].gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    values = values.sum(-1, keepdim=True) if width == 1 else values
    wanted = ((values - target) ** 2).mean()
    torch.testing.assert_close(made.double(), values.detach(), rtol=1e-6, atol=1e-6)
    assert not made.requires_grad
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient.double(), torch.autograd.grad(3 * wanted, exact)[0], rtol=1e-5, atol=1e-6)


def test_nan_reaches_loss_and_gradient():
    q = torch.zeros(1, 1, 2, requires_grad=True)
    loss, _ = td_loss(q, torch.zeros(1, 1, dtype=torch.int64), torch.full((1, 1), torch.nan))
    assert loss.isnan()
    assert torch.autograd.grad(loss, q)[0].isnan().any()
