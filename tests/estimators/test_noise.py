"""Exponential noise: the same numbers however many are drawn at once."""

import pytest
import torch

from estimators.noise import MANY, exponential


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, MANY - 1, MANY, 4 * MANY])
def test_they_are_pytorchs_numbers(n, dtype):
    mine, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    drawn = exponential((n, 2), generator=mine, dtype=dtype, device=torch.device("cpu"))
    theirs = torch.empty(n, 2, dtype=dtype).exponential_(generator=other)
    torch.testing.assert_close(drawn, theirs, rtol=0 if dtype == torch.float32 else 1e-15, atol=0)
    assert torch.equal(mine.get_state(), other.get_state())


def test_the_distribution():
    drawn = exponential((200_000,), generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
    assert float(drawn.mean()) == pytest.approx(1, abs=0.01)
    assert float((drawn > 2).float().mean()) == pytest.approx(0.1353, abs=0.003)
    assert drawn.min() >= 0
