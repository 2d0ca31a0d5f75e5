"""Draws by kernels are those of the operators, from one stream."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components import draws
from components.draws import sample_joint
from estimators import credit


def policies(seed, share):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 5, 3, 6, generator=g) * 3
    available = torch.rand(logits.shape, generator=g) < share
    available[..., 1] |= ~available.any(-1)
    return logits.masked_fill(~available, torch.finfo(torch.float32).min / 4).log_softmax(-1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    before=st.integers(0, 3),
    n=st.integers(1, 40),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    padding=st.booleans(),
    known=st.booleans(),
)
def test_joint_actions_are_those_of_the_operators(seed, before, n, share, padding, known):
    log_pi, streams = policies(seed, share), [torch.Generator().manual_seed(seed) for _ in range(2)]
    real = torch.arange(5) < torch.tensor([[5], [3], [1], [2]]) if padding else None
    executed = torch.randint(6, (4, 5, 3)) if known else None
    results = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(draws, "MOST", 1.0)
        for function, stream in zip((sample_joint, credit.sample_joint), streams, strict=True):
            torch.rand(before, generator=stream)  # single words: where draws begin is even or odd
            results.append(function(log_pi, n_samples=n, generator=stream, executed=executed, real=real))
    assert torch.equal(*results)
    assert torch.equal(*(stream.get_state() for stream in streams))
    assert torch.equal(*(torch.randn(20, generator=stream) for stream in streams))


@pytest.mark.parametrize(("share", "expected"), [(0.1, False), (1.0, True)])
def test_the_operators_draw_where_nothing_is_left_out(monkeypatch, share, expected):
    called = []
    monkeypatch.setattr(credit, "sample_joint", lambda *given, **named: called.append(given))
    sample_joint(policies(0, share), n_samples=2, generator=torch.Generator())
    assert bool(called) == expected
