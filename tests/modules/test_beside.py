"""The joint critic's nodes: kernels in single precision against PyTorch's operators in double."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from estimators.credit import marginal
from modules.critics import beside
from modules.critics.counterfactual_critic import CounterfactualCritic
from modules.sharing import Grouped
from modules.sparse_rows import SparseRows

S, A, U, H = 5, 4, 3, 37  # a width that no vector divides
ALL, SOME = (0, 1, 2, 3), (3, 1)


def parts(agents, n_samples, *, dtype):
    g = torch.Generator().manual_seed(n_samples)
    sizes = (S, len(agents), H), (len(agents), H), (S, H), (A * U, H)
    given = [torch.randn(size, generator=g, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes]
    return (*given, torch.randint(0, U, (S, n_samples, A), generator=g), torch.tensor(agents))


def both(function, *makers):
    """What a function gives, with gradients of its floats, in single and in double precision."""
    found = []
    for dtype in (torch.float32, torch.float64):
        given = [x for make in makers for x in make(dtype)]
        out = function(*given)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
        learned = [x for x in given if x.requires_grad]
        found.append([out, *torch.autograd.grad((out * weights).sum(), learned)])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("agents", "n_samples"), [(ALL, 1), (ALL, 6), (SOME, 1), (SOME, 6)])
def test_the_first_layer(agents, n_samples):
    both(beside.first_layer, lambda dtype: parts(agents, n_samples, dtype=dtype))


def test_the_first_layer_is_the_sum_of_its_parts():
    own, numbers, shared, table, joint, agents = parts(SOME, 6, dtype=torch.float32)
    out = beside.first_layer(own, numbers, shared, table, joint, agents)
    for s, (k, agent), m in itertools.product(range(S), enumerate(SOME), range(6)):
        partners = sum(table[o * U + joint[s, m, o]] for o in range(A) if o != agent)
        torch.testing.assert_close(out[s, k, m], F.relu(own[s, k] + numbers[k] + shared[s] + partners))


def test_outputs_of_one_action():
    def given(dtype):
        g = torch.Generator().manual_seed(2)
        sizes = (50, H), (U, H), (U,)
        return (
            *(torch.randn(size, generator=g, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes),
            torch.randint(0, U, (50,), generator=g),
        )

    both(beside.taken, given)


@pytest.mark.parametrize("own", ["rows", "numbered", "nothing", "sparse", "sparse numbered"])
@pytest.mark.parametrize("agents", [ALL, SOME])
def test_outputs_of_executed_actions_are_one_node(agents, own):
    """With the gradients of the operators in double precision."""
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        width = 0 if own == "nothing" else 40 - A
        sizes = {"shared_dim": 6, "own_dim": width + A, "n_agents": A, "n_actions": U, "hidden_dim": H}
        net = CounterfactualCritic(**sizes, agents=list(agents)).to(dtype)
        shared, x = torch.randn(3, 7, 6), torch.randn(3, 7, len(agents), width) * (torch.rand(width) < 0.2)
        joint, weights = torch.randint(0, U, (3, 7, 1, A)), torch.randn(3, 7, len(agents), 1)
        if "numbered" in own:
            x = torch.cat([x, torch.eye(A)[list(agents)].expand(3, 7, -1, -1)], -1)
        rows = x.to(dtype)
        if dtype == torch.float32 and "sparse" in own:
            rows = SparseRows(rows)
        out = net.taken(rows, joint[..., 0, list(agents)], shared.to(dtype), joint)
        (out * weights.to(dtype)).sum().backward()
        assert ("_TakenBackward" in str(out.grad_fn.next_functions)) == (dtype == torch.float32)
        found.append([out, *(p.grad for p in net.parameters())])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_not_a_number_is_not_taken_for_nothing(dtype):
    given = parts(ALL, 1, dtype=dtype)
    with torch.no_grad():
        given[0][2, 1, 5] = torch.nan
        assert beside.first_layer(*given)[2, 1, 0, 5].isnan()
        z = torch.full((1, H), torch.nan, dtype=dtype)
        assert beside.taken(z, given[3], given[3][:, 0], torch.zeros(1, dtype=torch.int64)).isnan().all()


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_samples", [1, 5])
@pytest.mark.parametrize("groups", [[[0, 1, 2, 3]], [[0, 2], [1, 3]]])
def test_credit_is_that_of_all_q_values(groups, n_samples, dtype, numbered, monkeypatch):
    """Whatever the blocks; with the agents' numbers given, or implied."""
    torch.manual_seed(0)
    sizes = {"shared_dim": 6, "own_dim": 2 + A, "n_agents": A, "n_actions": U, "hidden_dim": H}
    net = Grouped(lambda agents: CounterfactualCritic(**sizes, agents=agents), groups).to(dtype)
    own, shared = torch.randn(3, 7, A, 2, dtype=dtype), torch.randn(3, 7, 6, dtype=dtype)
    numbers = torch.eye(A, dtype=dtype).expand(3, 7, -1, -1)
    full = torch.cat([own, numbers], -1)
    joint, pi = torch.randint(0, U, (3, 7, n_samples, A)), torch.randn(3, 7, A, U, dtype=dtype).softmax(-1)
    actions = torch.randint(0, U, (3, 7, A))
    with torch.no_grad():
        q = net(full, shared, joint)
        wanted = marginal(q, pi)
        every = torch.stack([wanted.advantage, wanted.standard_error, q[..., 0, :]], -1)
        taken = torch.stack([every[..., u, :] for u in range(U)])
        one = torch.gather(taken, 0, actions[None, ..., None].expand(1, -1, -1, -1, 3)).squeeze(0)
        for block in (1, 1 << 17):
            monkeypatch.setattr(beside, "BLOCK", block)
            got = net.judge(full if numbered else own, pi, actions, shared, joint)
            torch.testing.assert_close(got[..., [0, 1, 3]], one, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(got[..., 2], wanted.value, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(net(own, shared, joint), q, atol=1e-5, rtol=1e-4)
    alone = net.taken(own, actions, shared, joint[:, :, :1])
    torch.testing.assert_close(alone.squeeze(-1), one[..., 2], atol=1e-5, rtol=1e-4)
    alone.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
