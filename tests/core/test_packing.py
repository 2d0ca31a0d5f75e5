"""Rows without padding, against PyTorch's packed sequences."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence

from core.packing import FEW, Packing, packed


def mask(lengths, n_steps):
    return torch.arange(n_steps) < torch.tensor(lengths)[:, None]


@given(st.lists(st.integers(1, 30), min_size=3, max_size=12))
def test_order_and_sizes_are_those_of_packed_sequences(lengths):
    real = mask(lengths, 40)  # ten columns are always padding
    x = torch.randn(*real.shape, 2)
    packing = Packing.of(real)
    reference = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    assert packing.sizes == reference.batch_sizes.tolist()
    rows = packing.pack(x)
    assert rows.shape == (1, sum(lengths), 2)
    first = sorted(x[:, 0].tolist())
    assert sorted(rows[0, : len(lengths)].tolist()) == first  # ties may be sorted otherwise
    assert torch.equal(packing.unpack(rows), x * real.unsqueeze(-1))


def test_agents_are_packed_one_by_one():
    lengths = torch.tensor([[3, 1, 0], [2, 9, 4]])
    real = torch.arange(10).view(1, -1, 1) < lengths.unsqueeze(1)
    real = torch.cat([real] * 3)  # enough of them
    x = torch.randn(*real.shape, 2)
    packing = Packing.of(real)
    rows = packing.pack(x)
    assert rows.shape == (1, 3 * 19, 1, 2)
    assert packing.pack(rows) is rows
    assert packing.sizes == [15, 12, 9, 6, 3, 3, 3, 3, 3]
    assert torch.equal(rows[0, : 3 * 1, 0], x[[1, 3, 5], 0, 1])  # the longest first
    assert torch.equal(packing.unpack(rows), x * real.unsqueeze(-1))
    assert Packing.of(torch.zeros_like(real)) is None


def test_longest_first_and_step_by_step():
    real = torch.zeros(40, 3, dtype=torch.bool)
    real[:, 0] = True
    real[7] = real[9, 1] = True
    numbers = torch.arange(120).view(40, 3, 1)
    rows = Packing.of(real).pack(numbers)[0, :, 0].tolist()
    assert (rows[:3], rows[-3:], len(rows)) == ([21, 27, 0], [22, 28, 23], 43)


def test_gradients_go_through():
    real = mask([3, 30], 40)
    x = torch.randn(2, 40, 2, requires_grad=True)
    packed(Packing.of(real), lambda rows: rows * 3, x).sum().backward()
    assert torch.equal(x.grad, 3.0 * real.unsqueeze(-1).expand(-1, -1, 2))


@pytest.mark.parametrize(
    "real",
    [mask([40, 40, 30], 40), mask([1] * 4, FEW // 4), torch.ones(8, 40, dtype=torch.bool)],
    ids=["little", "few", "none"],
)
def test_little_padding_stays(real):
    assert Packing.of(real) is None
    assert packed(None, torch.neg, torch.ones(1)) == -1
