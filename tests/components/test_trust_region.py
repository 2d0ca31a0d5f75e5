"""Natural gradient steps: against matrices that are written out."""

import pytest
import torch
from torch import nn

from components.trust_region import Fisher, FlatParameters, conjugate_gradient, line_search, natural_step
from modules.agents.rnn_agent import RNNAgent


def dense(parameters, log_pi, weights):
    """J^T D J from every row of the Jacobian."""
    rows = torch.stack([parameters.gradient(entry, keep=True) for entry in log_pi.flatten()])
    d = (log_pi.exp() * (weights / weights.sum()).unsqueeze(-1)).detach().flatten()
    return rows.t() @ (d.unsqueeze(-1) * rows)


def test_the_product_is_fishers_of_a_linear_softmax():
    """F = E[x x^T (diag p - p p^T)] in closed form."""
    g = torch.Generator().manual_seed(0)
    x, theta = torch.randn(6, 2, generator=g), nn.Parameter(torch.randn(2, 3, generator=g))
    weights = torch.tensor([True, True, False, True, True, False])
    fisher = Fisher(FlatParameters([theta]), lambda: torch.log_softmax(x @ theta, -1), weights, damping=0.1)
    p = torch.softmax(x @ theta, -1).detach()
    inner = torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)
    exact = torch.einsum("n,ni,nj,nab->iajb", weights / 4, x, x, inner).reshape(6, 6) + 0.1 * torch.eye(6)
    before = theta.detach().clone()
    for _ in range(3):
        v = torch.randn(6, generator=g)
        torch.testing.assert_close(fisher(v), exact @ v, atol=2e-4, rtol=2e-3)
    assert torch.equal(theta, before)
    assert (fisher(torch.zeros(6)) == 0).all()


@pytest.mark.parametrize("use_rnn", [True, False])
def test_the_product_of_the_agents_networks(use_rnn):
    """The GRU's backward pass can be run, but not differentiated."""
    torch.manual_seed(0)
    net = RNNAgent(4, 3, hidden_dim=5, use_rnn=use_rnn)
    x, weights = torch.randn(2, 3, 2, 4), torch.rand(2, 3, 2) < 0.7
    parameters = FlatParameters(net.parameters())
    fisher = Fisher(parameters, lambda: torch.log_softmax(net(x), -1), weights, damping=0.0)
    exact = dense(parameters, fisher.log_pi, weights)
    for _ in range(3):
        v = torch.randn(len(exact))
        expected = exact @ v
        assert (fisher(v) - expected).norm() < 0.01 * expected.norm()


def test_conjugate_gradient_solves_five_equations_in_five_steps():
    g = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=g, dtype=torch.float64)
    matrix, b = root @ root.t() + torch.eye(5), torch.randn(5, generator=g, dtype=torch.float64)
    x = conjugate_gradient(lambda v: matrix @ v, b, steps=5, tolerance=0.0)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, b), atol=1e-6, rtol=0)


def test_a_natural_step_has_the_length_that_was_asked_for():
    matrix, g = torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([1.0, 1.0])
    step = natural_step(lambda v: matrix @ v, g, bound=0.02, steps=5)
    assert (0.5 * step @ matrix @ step).item() == pytest.approx(0.02)
    torch.testing.assert_close(step / step[0], torch.tensor([1.0, 0.25]))


@pytest.mark.parametrize("matrix", [torch.eye(2), -torch.eye(2), torch.zeros(2, 2), torch.full((2, 2), torch.nan)])
def test_where_there_is_no_way_up_there_is_no_step(matrix):
    g = torch.zeros(2) if torch.equal(matrix, torch.eye(2)) else torch.ones(2)
    assert (natural_step(lambda v: matrix @ v, g, bound=0.02, steps=5) == 0).all()


@pytest.mark.parametrize(("wanted", "tried"), [(1.0, 0), (0.25, 2), (0.1, None)])
def test_the_line_search_takes_the_first_that_is_accepted_or_nothing(wanted, tried):
    theta = nn.Parameter(torch.tensor([0.1, 0.7]))
    before, step = theta.detach().clone(), torch.tensor([0.3, -0.2])
    parameters = FlatParameters([theta])
    assert line_search(parameters, step, lambda share: share <= wanted, tries=3, factor=0.5) == tried
    assert torch.equal(theta, before if tried is None else before + wanted * step)
