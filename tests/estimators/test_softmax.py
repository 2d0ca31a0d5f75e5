"""By columns or by rows: what PyTorch says."""

import pytest
import torch

from estimators import softmax
from estimators.softmax import FEW, SHORT


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(9, 20, 5), (300, 1), (2, 3, 40, SHORT - 1), (200, SHORT), (3, 4), (FEW // 8, 8)])
@pytest.mark.parametrize("laid", ["in a row", "in columns"])
def test_values_and_gradients_are_torchs(name, shape, laid):
    g = torch.Generator().manual_seed(0)
    x, weights = torch.randn(*shape, generator=g) * 5, torch.randn(*shape, generator=g)
    x[..., -1:] = torch.finfo().min / 4 if name == "log_softmax" else -torch.inf
    x[..., :1] = 1.0
    if laid == "in columns":
        x = x.movedim(-1, 0).contiguous().movedim(0, -1)
    pairs = [x.detach().clone().requires_grad_() for _ in range(2)]
    found = getattr(softmax, name)(pairs[0])
    wanted = getattr(torch, name)(pairs[1], -1)
    assert found.is_contiguous() or laid == "in columns"
    torch.testing.assert_close(found, wanted)
    for out in (found, wanted):
        (out.exp() * weights).sum().backward()
    torch.testing.assert_close(pairs[0].grad, pairs[1].grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, FEW])
def test_probabilities_are_exp_of_their_logarithms(n, dtype):
    log_pi = torch.linspace(-200, 0, 4 * n, dtype=dtype).view(n, 4)
    log_pi[:, 1], log_pi[0, 2] = torch.finfo(dtype).min / 4, torch.nan
    found, smallest = softmax.probabilities(log_pi), torch.finfo(dtype).tiny
    torch.testing.assert_close(found, log_pi.exp(), rtol=1e-6, atol=smallest, equal_nan=True)
    assert (found[:, 1] == 0).all()
