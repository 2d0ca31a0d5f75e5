"""First layers: bytes give what their floats give, forwards and backwards."""

import pytest
import torch
from torch import nn

from modules import first_linear
from modules.first_linear import FirstLinear


@pytest.mark.parametrize("chunk", [1, 21, 1 << 20])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("unit", [1, 255])
def test_bytes_are_their_floats_divided_by_the_unit(monkeypatch, chunk, bias, unit):
    monkeypatch.setattr(first_linear, "CHUNK", chunk)
    g = torch.Generator().manual_seed(0)
    layer = FirstLinear(7, 3, bias=bias, unit=unit).double()
    plain = nn.Linear(7, 3, bias=bias).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randint(0, 256, (11, 7), generator=g, dtype=torch.uint8)
    out, expected = layer(x), plain(x.double() / unit)
    torch.testing.assert_close(out, expected)
    grad = torch.randn(11, 3, generator=g, dtype=torch.float64)
    out.backward(grad)
    expected.backward(grad)
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_floats_are_not_divided_and_the_parameters_are_those_of_a_linear_layer():
    torch.manual_seed(3)
    layer = FirstLinear(4, 2, unit=255)
    torch.manual_seed(3)
    plain = nn.Linear(4, 2)
    x = torch.randn(5, 4)
    assert torch.equal(layer(x), plain(x))
    assert layer.state_dict().keys() == plain.state_dict().keys()


def test_images_do_not_become_floats_as_a_whole(monkeypatch):
    """Of each chunk alone; what is kept for the backward pass is the bytes."""
    monkeypatch.setattr(first_linear, "CHUNK", 400)
    layer = FirstLinear(100, 2, unit=255)
    x = torch.zeros(50, 100, dtype=torch.uint8)
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            seen.append(out.numel() if isinstance(out, torch.Tensor) and out.is_floating_point() else 0)
            return out

    with Watch():
        layer(x).sum().backward()
    assert max(seen) == 400
