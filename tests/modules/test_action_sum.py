"""The first layer of critics of actions as one node."""

import pytest
import torch

from modules.critics.action_critic import ActionCritic
from modules.critics.action_sum import action_sum

P, A, U, H = 7, 3, 2, 5


@pytest.mark.parametrize("n_own", [P, 1])
@pytest.mark.parametrize("changed", [True, False])
@pytest.mark.parametrize("wanted", ["all", "change"])
def test_one_node_equals_the_operators_in_double_precision(n_own, changed, wanted):
    g = torch.Generator().manual_seed(0)
    shapes = [(P, H), (n_own, A, H), *([(P, A, U), (A, U, H)] if changed else [])]
    parts, slope = [torch.randn(shape, generator=g) for shape in shapes], torch.randn(P, A, H, generator=g)
    results = []
    for dtype in (torch.float32, torch.float64):
        xs = [part.to(dtype, copy=True) for part in parts]
        asked = xs if wanted == "all" else xs[2:3] or xs[:1]
        for x in asked:
            x.requires_grad_()
        out = action_sum(*xs)
        results.append([out, *torch.autograd.grad((out * slope.to(dtype)).sum(), asked)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def test_nan_stays():
    assert action_sum(torch.full((1, H), torch.nan), torch.zeros(1, A, H)).isnan().all()


@pytest.mark.parametrize("served", [[0, 1, 2], [2, 0]])
def test_numbers_of_agents_are_read_once_for_all_steps(served):
    """Values and gradients are those of own parts that lie in memory for every step."""
    critic = ActionCritic(shared_dim=4, own_dim=A, n_agents=A, n_actions=U, hidden_dim=H, agents=served)
    own = torch.eye(A)[served].expand(6, 2, -1, -1)
    shared, joint, acting = torch.randn(6, 2, 4), torch.randn(6, 2, A, U), torch.randn(6, 2, A, U)
    for more in ((), (acting,)):
        results = []
        for numbers in (own, own.contiguous()):
            out = critic(numbers, shared, joint, *more)
            results.append([out, *torch.autograd.grad(out.square().sum(), list(critic.parameters()))])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
