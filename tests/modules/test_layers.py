"""Layers as one node, against PyTorch's own in double precision."""

import copy
import itertools

import pytest
import torch
from torch import nn

from modules.first_linear import FirstLinear
from modules.layers import layers
from modules.rows import mlp
from modules.sparse_rows import LiveColumns, SparseRows


def some(sizes, n_rows=7):
    torch.manual_seed(0)
    nets = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    return nets, torch.randn(n_rows, sizes[0]), torch.randn(n_rows, sizes[-1])


def plain(nets, x, *, rectified):
    for k, net in enumerate(nets):
        x = net(x)
        x = torch.relu(x) if rectified or k < len(nets) - 1 else x
    return x


@pytest.mark.parametrize("sizes", [(5, 3), (5, 16, 3), (16, 32, 16, 4), (3, 4, 5, 1)], ids=str)
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("of_inputs", [True, False])
def test_values_and_gradients(sizes, rectified, of_inputs):
    nets, x, weight = some(sizes)
    found = []
    for dtype in (torch.float32, torch.float64):
        own, rows = (
            [copy.deepcopy(net).to(dtype) for net in nets],
            x.detach().to(dtype).clone().requires_grad_(of_inputs),
        )
        single = dtype == torch.float32
        out = layers(rows, *own, rectified=rectified) if single else plain(own, rows, rectified=rectified)
        for _ in range(2):  # a second pass through the graph adds the same again
            (out * weight.to(dtype)).sum().backward(retain_graph=True)
        gradients = [parameter.grad for net in own for parameter in net.parameters()]
        found.append([out.detach(), *gradients, *([rows.grad] if of_inputs else [])])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=1e-5)


def test_without_gradient_and_in_double_precision_they_are_the_same():
    nets, x, _ = some((5, 16, 3))
    out = layers(x, *nets)
    with torch.no_grad():
        assert torch.equal(layers(x, *nets), out)
    nets = [net.double() for net in nets]
    assert torch.equal(layers(x.double(), *nets), plain(nets, x.double(), rectified=False))


def test_no_rows_have_a_gradient_of_zero():
    nets, x, _ = some((5, 16, 3), n_rows=0)
    layers(x, *nets).sum().backward()
    assert all((parameter.grad == 0).all() for net in nets for parameter in net.parameters())


@pytest.mark.parametrize("rest", [0, 2])
@pytest.mark.parametrize("rectified", [True, False])
def test_whatever_a_first_layer_takes_goes_through_the_rest(rest, rectified):
    torch.manual_seed(0)
    first, nets = FirstLinear(40, 8, unit=255), [nn.Linear(8, 8) for _ in range(rest)]
    x = torch.zeros(3, 5, 2, 40)
    x[..., ::9] = torch.randint(0, 256, (3, 5, 2, 5))
    expected = plain([first, *nets], x, rectified=rectified)
    narrow = LiveColumns.of(x)
    assert isinstance(narrow, LiveColumns)
    for rows in (x, SparseRows(x), narrow):
        torch.testing.assert_close(mlp(rows, first, *nets, rectified=rectified), expected)
    same = mlp(x.to(torch.uint8), first, *nets, rectified=rectified)
    torch.testing.assert_close(same, plain([first, *nets], x / 255, rectified=rectified))
