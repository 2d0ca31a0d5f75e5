"""Credit assignment: every fact that connects COMA, the Monte-Carlo marginal and the exact one."""

import itertools

import numpy as np
import pytest
import torch

from estimators import credit
from estimators.credit import (
    counterfactual,
    exact_marginal,
    joint_actions_of_partners,
    marginal,
    partner_probabilities,
    sample_joint,
)
from estimators.masked import masked_log_softmax

B, T, A, U = 2, 3, 3, 4
CLIMBING = torch.tensor([[11.0, -30, 0], [-30, 7, 0], [0, 6, 5]], dtype=torch.float64)


def policies(seed=0, n_agents=A, n_actions=U, heavy_mask=False):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, T, n_agents, n_actions, generator=g, dtype=torch.float64)
    available = torch.ones(logits.shape, dtype=torch.bool)
    if heavy_mask:
        available = torch.rand(logits.shape, generator=g) < 0.3
        available[..., 1] |= ~available.any(-1)
    return masked_log_softmax(logits, available), available


def random_table(seed=1):
    """Q(s, u) for every state and joint action: [B, T, U, U, U]."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(B, T, *[U] * A, generator=g, dtype=torch.float64)


def rows(table, joint):
    """What a critic gives: joint [..., M, A] -> Q(s, (u_j^-a, .)) as [B, T, A, M, U], by loops."""
    out = torch.empty(B, T, A, joint.shape[-2], U, dtype=table.dtype)
    for b, t, a, m, u in itertools.product(range(B), range(T), range(A), range(joint.shape[-2]), range(U)):
        action = joint[a, m].tolist() if joint.dim() == 3 else joint[b, t, m].tolist()
        action[a] = u
        out[b, t, a, m, u] = table[(b, t, *action)]
    return out


def brute_force(table, pi):
    """Eqs. 3, 4 from their definitions, by loops."""
    out = torch.zeros(B, T, A, U, dtype=table.dtype)
    for b, t in itertools.product(range(B), range(T)):
        value = 0.0
        for u in itertools.product(range(U), repeat=A):
            p = torch.stack([pi[b, t, a, u[a]] for a in range(A)])
            value = value + p.prod() * table[(b, t, *u)]
            for a in range(A):
                others = torch.cat([p[:a], p[a + 1 :]]).prod()
                out[b, t, a, u[a]] += others * table[(b, t, *u)]
        out[b, t] -= value
    return out


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_counterfactual_by_hand():
    q, pi = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0.5, 0.25, 0.25])
    torch.testing.assert_close(counterfactual(q, pi), torch.tensor([-1.5, -0.5, 3.5]))


@pytest.mark.parametrize("heavy_mask", [False, True])
def test_one_sample_that_is_the_executed_action_is_coma(heavy_mask):
    log_pi, _ = policies(heavy_mask=heavy_mask)
    executed = sample_joint(log_pi, n_samples=1, generator=generator()).squeeze(2)
    joint = sample_joint(log_pi, n_samples=1, generator=generator(5), executed=executed)
    assert torch.equal(joint.squeeze(2), executed)
    result = marginal(rows(random_table(), joint), log_pi.exp())
    coma = counterfactual(rows(random_table(), executed.unsqueeze(2)).squeeze(3), log_pi.exp())
    torch.testing.assert_close(result.advantage, coma, rtol=0, atol=0)
    assert (result.standard_error == 0).all()


@pytest.mark.parametrize("m", [1, 2, 7])
def test_advantages_have_mean_zero_under_the_policy(m):
    log_pi, _ = policies(heavy_mask=True)
    pi, table = log_pi.exp(), random_table()
    joint = sample_joint(log_pi, n_samples=m, generator=generator())
    partners = joint_actions_of_partners(A, U)
    exact = exact_marginal(rows(table, partners), partner_probabilities(pi, partners), pi)
    for result in (marginal(rows(table, joint), pi), exact):
        torch.testing.assert_close((pi * result.advantage).sum(-1), torch.zeros(B, T, A, dtype=torch.float64))


@pytest.mark.parametrize("heavy_mask", [False, True])
def test_exact_marginal_equals_brute_force(heavy_mask):
    log_pi, _ = policies(heavy_mask=heavy_mask)
    pi, table, partners = log_pi.exp(), random_table(), joint_actions_of_partners(A, U)
    result = exact_marginal(rows(table, partners), partner_probabilities(pi, partners), pi)
    torch.testing.assert_close(result.advantage, brute_force(table, pi))
    assert (result.standard_error == 0).all()


def test_monte_carlo_converges_at_one_over_root_m_and_knows_its_error():
    """The deviation over many estimates is that of the definition, and standard_error says it."""
    log_pi, _ = policies()
    pi, table, repeats = log_pi.exp(), random_table(), 400
    partners = joint_actions_of_partners(A, U)
    q = rows(table, partners)
    probs = partner_probabilities(pi, partners)
    exact = exact_marginal(q, probs, pi).advantage
    per_joint = counterfactual(q, pi.unsqueeze(-2))  # of every joint action of the partners
    variance = (probs.unsqueeze(-1) * (per_joint - exact.unsqueeze(-2)) ** 2).sum(-2)
    for m in (4, 64):
        joint = sample_joint(log_pi, n_samples=m * repeats, generator=generator(m))
        estimates = [marginal(rows_fast(table, part), pi) for part in joint.split(m, dim=2)]
        advantage = torch.stack([e.advantage for e in estimates])
        expected = (variance / m).sqrt()
        deviation = (advantage - exact).pow(2).mean(0).sqrt()
        assert (deviation / expected - 1).abs().max() < 0.2
        bias = (advantage.mean(0) - exact) / (expected / repeats**0.5)
        assert bias.abs().max() < 4.5
        square = torch.stack([e.standard_error for e in estimates]).pow(2).mean(0)
        assert (square / expected**2 - 1).abs().max() < 0.2


def rows_fast(table, joint):
    """As ``rows`` by indexing, for many samples."""
    b = torch.arange(B)[:, None, None, None]
    t = torch.arange(T)[None, :, None, None]
    u = torch.arange(U)
    out = []
    for a in range(A):
        index = [joint[..., o].unsqueeze(-1) if o != a else u for o in range(A)]
        out.append(table[(b, t, *index)])
    return torch.stack(out, dim=2)


def test_helpers_agree():
    log_pi, _ = policies()
    joint = sample_joint(log_pi, n_samples=5, generator=generator())
    assert torch.equal(rows(random_table(), joint), rows_fast(random_table(), joint))


@pytest.mark.parametrize("m", [1, 2, 10])
def test_additive_critics_make_coma_and_asae_equal(m):
    log_pi, _ = policies()
    pi = log_pi.exp()
    parts = torch.randn(B, T, A, U, dtype=torch.float64)
    table = parts[:, :, 0, :, None, None] + parts[:, :, 1, None, :, None] + parts[:, :, 2, None, None, :]
    joint = sample_joint(log_pi, n_samples=m, generator=generator())
    result = marginal(rows(table, joint), pi)
    torch.testing.assert_close(result.advantage, counterfactual(parts, pi))
    torch.testing.assert_close(result.standard_error, torch.zeros_like(pi), atol=1e-12, rtol=0)


class TestClimbing:
    """Two agents, one state, uniform policies: closed forms."""

    pi = torch.full((1, 1, 2, 3), 1 / 3, dtype=torch.float64)
    # Q(s, (u^-a, .)): for agent 1 the columns of the payoff, for agent 2 its rows
    q = torch.stack([CLIMBING.T, CLIMBING])[None, None]  # [1, 1, A, K, U]

    def exact(self):
        partners = joint_actions_of_partners(2, 3)
        return exact_marginal(self.q, partner_probabilities(self.pi, partners), self.pi).advantage[0, 0]

    def test_value(self):
        assert CLIMBING.mean().item() == pytest.approx(-3.4444, abs=1e-4)

    def test_marginal_advantages(self):
        expected = [[-2.8889, -4.2222, 7.1111], [-2.8889, -2.2222, 5.1111]]
        np.testing.assert_allclose(self.exact(), expected, atol=1e-4)

    def test_counterfactual_advantages_and_their_mean(self):
        coma = counterfactual(self.q, self.pi.unsqueeze(-2))[0, 0]
        expected = [[17.3333, -23.6667, 6.3333], [-24.3333, 12.6667, 11.6667], [-1.6667, -1.6667, 3.3333]]
        np.testing.assert_allclose(coma[0], expected, atol=1e-4)
        torch.testing.assert_close(coma.mean(1), self.exact())
        torch.testing.assert_close(marginal(self.q, self.pi).advantage[0, 0], self.exact())

    def test_logit_gradient(self):
        logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        (torch.softmax(logits, -1) * self.exact()[0]).sum().backward()
        np.testing.assert_allclose(logits.grad, [-0.9630, -1.4074, 2.3704], atol=1e-4)
        direct = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        (torch.softmax(direct, -1) @ CLIMBING @ torch.full((3,), 1 / 3, dtype=torch.float64)).backward()
        torch.testing.assert_close(logits.grad, direct.grad)


def test_partners_are_enumerated_once_each():
    partners = joint_actions_of_partners(3, 2)
    assert partners.shape == (3, 4, 3)
    for agent in range(3):
        assert (partners[agent, :, agent] == 0).all()
        assert len({tuple(row) for row in partners[agent].tolist()}) == 4


@pytest.mark.parametrize("heavy_mask", [False, True])
def test_partner_probabilities_are_products_that_sum_to_one(heavy_mask):
    log_pi, _ = policies(heavy_mask=heavy_mask)
    pi, partners = log_pi.exp(), joint_actions_of_partners(A, U)
    probs = partner_probabilities(pi, partners)
    torch.testing.assert_close(probs.sum(-1), torch.ones(B, T, A, dtype=torch.float64))
    for a, k in itertools.product(range(A), range(0, U ** (A - 1), 5)):
        product = 1.0
        for o in range(A):
            product = product * (pi[:, :, o, partners[a, k, o]] if o != a else 1.0)
        torch.testing.assert_close(probs[:, :, a, k], product)


def test_partner_probabilities_of_one_agent():
    assert partner_probabilities(torch.full((1, 1, 1, 3), 1 / 3), joint_actions_of_partners(1, 3)).item() == 1


class TestSampleJoint:
    def test_the_first_sample_is_the_executed_action(self):
        log_pi, _ = policies()
        executed = torch.randint(0, U, (B, T, A))
        joint = sample_joint(log_pi, n_samples=6, generator=generator(), executed=executed)
        assert joint.shape == (B, T, 6, A)
        assert torch.equal(joint[:, :, 0], executed)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_distribution(self, dtype):
        log_pi, _ = policies()
        n = 20_000
        joint = sample_joint(log_pi.to(dtype), n_samples=n, generator=generator(3))
        counts = torch.nn.functional.one_hot(joint, U).sum(2).double()  # [B, T, A, U]
        expected = n * log_pi.exp()
        chi_square = ((counts - expected) ** 2 / expected).sum(-1)
        assert chi_square.max() < 21.1  # 18 tests with 3 degrees of freedom: p = 0.0001 each

    def test_agents_and_states_are_independent(self):
        log_pi = torch.full((B, T, A, 2), 0.5).log()
        joint = sample_joint(log_pi, n_samples=10_000, generator=generator()).double() - 0.5
        flat = joint.permute(0, 1, 3, 2).reshape(B * T * A, -1)
        correlation = flat @ flat.T / flat.shape[1] * 4 - torch.eye(len(flat))
        assert correlation.abs().max() < 0.05

    def test_unavailable_actions_are_never_drawn(self):
        log_pi, available = policies(heavy_mask=True)
        for dtype in (torch.float32, torch.float64):
            joint = sample_joint(log_pi.to(dtype), n_samples=2000, generator=generator())
            assert available.unsqueeze(2).expand(B, T, 2000, A, U).gather(-1, joint.unsqueeze(-1)).all()

    def test_reproducible(self):
        log_pi, _ = policies()
        first, second = (sample_joint(log_pi, n_samples=4, generator=generator(9)) for _ in range(2))
        assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_those_of_exponential_noise_whatever_the_blocks_and_what_is_wanted(dtype, monkeypatch):
    """So padding costs no logarithm, and changes no draw of the others."""
    log_pi, wanted = policies(heavy_mask=True)[0].to(dtype), torch.tensor([[True, True, False], [True, False, False]])
    stream = generator(4)
    noise = torch.empty(B, T, 5, A, U, dtype=dtype).exponential_(generator=stream)
    expected = (log_pi.exp().unsqueeze(2) / noise).argmax(-1)
    for block in (1, 2 * 5 * A * U, 1 << 17):
        monkeypatch.setattr(credit, "BLOCK", block)
        for real in (None, torch.ones_like(wanted), wanted):
            mine = generator(4)
            drawn = sample_joint(log_pi, n_samples=5, generator=mine, real=real)
            known = torch.ones_like(wanted) if real is None else real
            assert torch.equal(drawn[known], expected[known])
            assert (drawn[~known] == 0).all()
            assert torch.equal(mine.get_state(), stream.get_state())
