"""Attention among few tokens, against PyTorch's operators in double precision."""

import pytest
import torch

from modules.transformer.attending import attend

N, Q, K, D = 4, 3, 5, 12


def some(seed=0):
    g = torch.Generator().manual_seed(seed)
    query, memory, weight = (torch.randn(N, *shape, generator=g) for shape in ((Q, D), (K, 2 * D), (Q, D)))
    hidden = torch.rand(Q, K, generator=g) < 0.4
    hidden[:, 0] = False
    return query, memory, weight, hidden


@pytest.mark.parametrize("n_heads", [1, 3, 12])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_values_and_gradients(n_heads, masked, scale):
    query, memory, weight, hidden = some()
    found = []
    for dtype in (torch.float32, torch.float64):
        wide = (scale * torch.cat([query, query], -1)).to(dtype).requires_grad_()  # so that queries are a view
        own = memory.to(dtype).clone().requires_grad_()
        out = attend(wide[..., D:], own, hidden if masked else None, n_heads)
        (out * weight.to(dtype)).sum().backward()
        found.append([out.detach(), wide.grad, own.grad])
        with torch.no_grad():
            assert torch.equal(attend(wide[..., D:], own, hidden if masked else None, n_heads), out)
    assert (found[0][1][..., :D] == 0).all()
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, atol=2e-5, rtol=2e-4)


def test_what_is_hidden_has_no_influence_and_not_a_number_shows():
    query, memory, _, hidden = some()
    hidden[:, 2], hidden[:, 3], hidden[1, 3] = True, False, True
    out = attend(query, memory, hidden, 2)
    memory[:, 2] += 100
    assert torch.equal(attend(query, memory, hidden, 2), out)
    memory[0, 3, 0] = torch.nan  # a key that the first and the last token see
    spoilt = attend(query, memory, hidden, 2)
    assert spoilt[0, [0, 2], : D // 2].isnan().all()
    assert torch.equal(spoilt[0, 1], out[0, 1])
    assert torch.equal(spoilt[1:], out[1:])
