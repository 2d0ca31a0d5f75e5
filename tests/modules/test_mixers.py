"""QPLEX's mixer and weighted QMIX's unrestricted one."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modules.mixers import mixers
from modules.mixers.central import CentralMixer
from modules.mixers.mixers import QMixer
from modules.mixers.qplex import DuplexMixer

F64 = torch.float64
S, A, U = 4, 3, 2


def duplex(layers=1, seed=0):
    torch.manual_seed(seed)
    return DuplexMixer(S, A, U, kernels=2, layers=layers, hidden_dim=5).double()


def totals(mixer, q, available, state):
    """Q_tot of every available joint action of one state: {actions: value}; q [A, U], available bool [A, U]."""
    best = q.masked_fill(~available, -torch.inf).amax(-1)
    found = {}
    for joint in itertools.product(*(row.nonzero().flatten().tolist() for row in available)):
        chosen = torch.stack([q[a, u] for a, u in enumerate(joint)])
        found[joint] = mixer(*(x.view(1, 1, -1) for x in (chosen, state, best, torch.tensor(joint)))).item()
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), layers=st.sampled_from([1, 2, 3]))
def test_the_greatest_total_is_where_every_own_value_is_greatest(seed, layers):
    mixer, q, state = duplex(layers, seed), torch.randn(A, U, dtype=F64), torch.randn(S, dtype=F64) * 3
    available = torch.rand(A, U) < 0.7
    available[..., 0] |= ~available.any(-1)
    found = totals(mixer, q, available, state)
    greedy = tuple(q.masked_fill(~available, -torch.inf).argmax(-1).tolist())
    assert max(found, key=found.get) == greedy


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_equals_a_slow_computation(layers):
    """sum_i (w_i V_i + b_i) + lambda_i w_i A_i, by loops over rows, agents and kernels."""
    mixer, best = duplex(layers), torch.rand(2, 3, A, dtype=F64)
    q, state = best - torch.rand(2, 3, A, dtype=F64), torch.randn(2, 3, S, dtype=F64)
    actions = torch.randint(0, U, (2, 3, A))
    out, cuts = mixer(q, state, best, actions), [0, *itertools.accumulate(mixer.first_sizes)]
    for b, t in itertools.product(range(2), range(3)):
        first = mixer.first.weight @ state[b, t] + mixer.first.bias
        weight, bias, keys, agents, acts = (first[low:high] for low, high in itertools.pairwise(cuts))
        weight = (mixer.weight.weight @ weight.clamp(min=0) + mixer.weight.bias).abs()
        bias = mixer.bias.weight @ bias.clamp(min=0) + mixer.bias.bias
        acts = acts + sum(mixer.columns.weight[:, a * U + actions[b, t, a]] for a in range(A))
        parts = [keys, agents, acts]
        for kind, layers_of in enumerate(mixer.deeper):
            for layer in layers_of:
                parts[kind] = layer.weight @ parts[kind].clamp(min=0) + layer.bias
        total = 0.0
        for a in range(A):
            kernels = [
                parts[0][k].abs() * parts[1][k * A + a].sigmoid() * parts[2][k * A + a].sigmoid() for k in range(2)
            ]
            total += weight[a] * best[b, t, a] + bias[a] + sum(kernels) * weight[a] * (q - best)[b, t, a]
        torch.testing.assert_close(out[b, t, 0], total)


def test_the_agents_values_get_their_gradient_through_the_sum_alone():
    """d Q_tot / d q_i is w_i, whatever lambda is."""
    mixer, state = duplex(), torch.randn(1, 1, S, dtype=F64)
    q = torch.randn(1, 1, A, dtype=F64, requires_grad=True)
    mixer(q, state, q.detach() + 1, torch.zeros(1, 1, A, dtype=torch.int64)).sum().backward()
    first = mixer.first.weight @ state.flatten() + mixer.first.bias
    weight = (mixer.weight.weight @ first[:5].clamp(min=0) + mixer.weight.bias).abs()
    torch.testing.assert_close(q.grad.flatten(), weight.detach())


def test_lambda_learns_from_what_is_not_greedy():
    mixer, q = duplex(), torch.zeros(1, 1, A, dtype=F64)
    mixer(q, torch.randn(1, 1, S, dtype=F64), q + 1, torch.zeros(1, 1, A, dtype=torch.int64)).sum().backward()
    assert (mixer.columns.weight.grad != 0).any()


def test_the_unrestricted_mixer_may_fall_with_an_agents_value():
    torch.manual_seed(0)
    mixer = CentralMixer(S, A, hidden_dim=8, value_dim=3).double()
    q = torch.randn(50, 1, A, dtype=F64, requires_grad=True)
    out = mixer(q, torch.randn(50, 1, S, dtype=F64))
    assert out.shape == (50, 1, 1)
    out.sum().backward()
    assert (q.grad > 0).any()
    assert (q.grad < 0).any()


def test_the_unrestricted_mixer_equals_a_slow_computation():
    torch.manual_seed(0)
    mixer = CentralMixer(S, A, hidden_dim=8, value_dim=3).double()
    q, state = torch.randn(2, 3, A, dtype=F64), torch.randn(2, 3, S, dtype=F64)
    out = mixer(q, state)
    for b, t in itertools.product(range(2), range(3)):
        first = mixer.first.weight @ state[b, t] + mixer.first.bias
        hidden = (first[:8] + mixer.values.weight @ q[b, t]).clamp(min=0)
        for layer in mixer.hidden:
            hidden = (layer.weight @ hidden + layer.bias).clamp(min=0)
        value = mixer.value.weight @ first[8:].clamp(min=0) + mixer.value.bias
        torch.testing.assert_close(out[b, t], mixer.last.weight @ hidden + mixer.last.bias + value)


@pytest.mark.parametrize("monotonic", [True, False])
def test_qmix_as_one_node_equals_its_operators(monotonic):
    """In double precision PyTorch's operators do the work; values and all gradients agree to single precision."""
    torch.manual_seed(0)
    sizes = {"embed_dim": 5, "hypernet_layers": 2, "hypernet_embed": 6}
    ours = QMixer(S, A, **sizes, monotonic=monotonic)
    exact = copy.deepcopy(ours).double()
    every = torch.randn(7, 11, A, U), torch.randn(7, 11, S) * 3
    state, results = every[1], []
    for net, dtype in ((ours, torch.float32), (exact, F64)):
        q, seen = (x.to(dtype, copy=True).requires_grad_() for x in every)
        total = net(q[..., 0], seen)
        (total**2).mean().backward()
        results.append([total, q.grad, seen.grad, *(parameter.grad for parameter in net.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=2e-6)
    with torch.no_grad():
        assert torch.equal(ours(every[0][..., 0], state), results[0][0])


def test_columns_of_a_large_state_that_are_zero_throughout_change_nothing(monkeypatch):
    mixer, q = QMixer(6, A, embed_dim=5, hypernet_layers=2, hypernet_embed=6), torch.randn(4, 2, A, requires_grad=True)
    state, results = torch.randn(4, 2, 6) * torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0]), []
    for large in (1, 1000):
        monkeypatch.setattr(mixers, "LARGE", large)
        total = mixer(q, state)
        results.append([total, *torch.autograd.grad(total.square().sum(), [q, *mixer.parameters()])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert (results[0][2][:, 1] == 0).all()


def test_qmix_without_anything_on_one_side():
    """Weights that are zero, and hidden units at and around zero: |w| and ReLU have gradient 0 at 0."""
    mixer = QMixer(S, A, embed_dim=5, hypernet_layers=2, hypernet_embed=6)
    exact = copy.deepcopy(mixer).double()
    for net in (mixer, exact):
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        q = torch.randn(4, 2, A, dtype=net.value.weight.dtype, requires_grad=True)
        net(q, torch.ones(4, 2, S, dtype=q.dtype)).sum().backward()
        assert all(parameter.grad.abs().sum() == 0 for parameter in (*net.first.parameters(), net.value.weight, q))
        assert float(net.value.bias.grad) == 8
    assert torch.isnan(mixer(torch.full((1, 1, A), torch.nan), torch.ones(1, 1, S))).all()
