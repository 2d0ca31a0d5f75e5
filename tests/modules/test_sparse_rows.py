"""Rows that are mostly zero through a layer: what the dense product gives, with its gradients."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from controllers import reading
from modules import sparse_rows
from modules.agents.rnn_agent import RNNAgent
from modules.critics.counterfactual_critic import CounterfactualCritic
from modules.rows import linear, linear_relu
from modules.sparse_rows import LiveColumns, SparseRows


def mostly_zero(*shape, share=0.1, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g) * (torch.rand(shape, generator=g) < share)


def gradients(net, out):
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((out * weights).sum(), list(net.parameters()))


def assert_same(net, sparse, dense):
    torch.testing.assert_close(sparse, dense)
    for one, same in zip(gradients(net, sparse), gradients(net, dense), strict=True):
        torch.testing.assert_close(one, same, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("apply", [linear, linear_relu])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_a_layer(apply, bias, share):
    layer, x = nn.Linear(40, 7, bias=bias), mostly_zero(3, 5, 2, 40, share=share)
    x[0, 0] = 0
    assert_same(layer, apply(layer, SparseRows(x)), apply(layer, x))


@pytest.mark.parametrize("use_rnn", [True, False])
def test_agents_on_packed_rows(use_rnn):
    net, x = RNNAgent(40, 3, hidden_dim=6, use_rnn=use_rnn), mostly_zero(1, 9, 2, 40)
    assert_same(net, net(SparseRows(x), sizes=[4, 3, 2]), net(x, sizes=[4, 3, 2]))


def test_the_critics_fit():
    net = CounterfactualCritic(shared_dim=4, own_dim=42, n_agents=2, n_actions=3, hidden_dim=6, agents=[0, 1])
    own, shared = mostly_zero(1, 9, 2, 40), torch.randn(1, 9, 4)
    actions = torch.randint(0, 3, (1, 9, 2))
    given = actions, shared, actions.unsqueeze(2)
    assert_same(net, net.taken(SparseRows(own), *given), net.taken(own, *given))


@pytest.mark.parametrize("use_rnn", [True, False])
def test_columns_that_are_zero_throughout_are_left_out(use_rnn):
    net, x = RNNAgent(40, 3, hidden_dim=6, use_rnn=use_rnn), torch.randn(4, 9, 2, 40)
    x[..., 3:30:2] = 0
    narrow = LiveColumns.of(x)
    assert isinstance(narrow, LiveColumns)
    assert narrow.shape == x.shape
    assert_same(net, net(narrow), net(x))
    x[2, 3, 1, 5] = torch.nan  # a column with an entry that is no number is not left out
    assert net(LiveColumns.of(x))[2, 3, 1].isnan().all()
    for kept in (torch.ones(4, 9, 2, 40), x.double(), x.to("meta")):
        assert LiveColumns.of(kept) is kept


def test_nothing_but_zeros():
    net, x = RNNAgent(40, 3, hidden_dim=6, use_rnn=True), torch.zeros(4, 9, 2, 40)
    assert_same(net, net(LiveColumns.of(x)), net(x))


def test_large_batches_of_bytes_stay_as_they_are(monkeypatch):
    """Networks with memory read bytes too, which kernels of floats do not."""
    monkeypatch.setattr(reading, "LARGE", 1)
    net, x = RNNAgent(40, 3, hidden_dim=6, use_rnn=True, unit=4), torch.zeros(4, 9, 2, 40, dtype=torch.uint8)
    x[..., ::3] = 4
    batch = SimpleNamespace(kept={}, packing=None)

    class Controller:
        agents, inputs = net, staticmethod(lambda batch: x)

    inputs = reading.read_once(Controller(), batch, None)
    torch.testing.assert_close(net(inputs), net(x / 4))


def test_where_it_is_used(monkeypatch):
    monkeypatch.setattr(sparse_rows, "LARGE", 50 * 2 * 40)
    wide = torch.randn(50, 2, 40)
    wide[..., :10] = 0
    assert isinstance(SparseRows.of(wide), LiveColumns)
    small = wide[:-1]
    assert SparseRows.of(small) is small
    few, many = mostly_zero(50, 2, 40, share=0.1), mostly_zero(50, 2, 40, share=0.5)
    assert isinstance(SparseRows.of(few), SparseRows)
    for x in (many, few.double(), few.to(torch.uint8), few[..., :20], few[:0]):
        assert SparseRows.of(x) is x


def test_not_a_number_counts():
    x = torch.zeros(2, 40)
    x[1, 3] = torch.nan
    layer = nn.Linear(40, 5)
    out = linear(layer, SparseRows(x))
    assert out[1].isnan().all()
    torch.testing.assert_close(out[0], layer.bias)
