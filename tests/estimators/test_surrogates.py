"""Surrogates: where their gradients vanish, and the closed forms of KL and entropy."""

import math

import pytest
import torch

from estimators import surrogates

EPS = 0.2
# ratio, advantage -> (value and gradient of the minimised PPO objective, of eq. 18's)
ZONES = [
    (1.0, 2.0, (-2.0, -2.0), (-2.0, -2.0)),  # inside
    (1.1, -2.0, (2.2, 2.0), (2.2, 2.0)),
    (1.5, 2.0, (-2.4, 0.0), (-2.4, 0.0)),  # good action, already too likely: both stop
    (0.5, -2.0, (1.6, 0.0), (1.6, 0.0)),  # bad action, already too unlikely: both stop
    (0.5, 2.0, (-1.0, -2.0), (-1.6, 0.0)),  # good action, too unlikely: PPO still corrects, eq. 18 cannot
    (1.5, -2.0, (3.0, 2.0), (2.4, 0.0)),  # bad action, too likely: likewise
]


@pytest.mark.parametrize(("ratio", "advantage", "ppo", "clip"), ZONES)
def test_gradient_zones(ratio, advantage, ppo, clip):
    for function, (value, gradient) in ((surrogates.ppo, ppo), (surrogates.clip, clip)):
        x = torch.tensor(ratio, requires_grad=True)
        loss = function(x, torch.tensor(advantage), EPS)
        loss.backward()
        assert loss.item() == pytest.approx(value)
        assert x.grad.item() == pytest.approx(gradient)


def test_names():
    assert {"ppo": surrogates.ppo, "clip": surrogates.clip} == surrogates.SURROGATES


@pytest.mark.parametrize("name", ["policy_gradient", "ppo", "clip"])
def test_advantages_carry_no_gradient(name):
    advantage = torch.randn(3, requires_grad=True)
    x = torch.ones(3, requires_grad=True)
    function = getattr(surrogates, name)
    loss = function(x, advantage) if name == "policy_gradient" else function(x, advantage, EPS)
    loss.sum().backward()
    assert advantage.grad is None
    torch.testing.assert_close(x.grad, -advantage.detach())  # minimised: uphill in A


def test_entropy_closed_forms():
    for n in (1, 2, 5):
        assert surrogates.entropy(torch.full((n,), -math.log(n))).item() == pytest.approx(math.log(n))
    p = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert surrogates.entropy(p.log()).item() == pytest.approx(1.5 * math.log(2))


def test_kl_closed_form_and_direction():
    p, q = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([0.9, 0.1], dtype=torch.float64)
    assert surrogates.kl(p.log(), q.log()).item() == pytest.approx(math.log(5 / 3))  # .5 ln(.25 / .09)
    assert surrogates.kl(q.log(), p.log()).item() == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert surrogates.kl(p.log(), p.log()).item() == 0


@pytest.mark.parametrize(("p", "q", "kl"), [(0.5, 0.6, 0.020411), (0.9, 0.8, 0.036690)])
def test_kl_weighs_actions_by_their_probability(p, q, kl):
    """sum (q / p - 1 - log(q / p)), which other libraries of HATRPO take, has 0.040822 and 0.313525."""
    first, second = (torch.tensor([x, 1 - x], dtype=torch.float64).log() for x in (p, q))
    assert surrogates.kl(first, second).item() == pytest.approx(kl, abs=1e-6)


def test_kl_of_factored_policies_adds_up():
    """Eq. 14: the KL between joint policies is the sum of the agents' KLs."""
    p = torch.softmax(torch.randn(3, 4, dtype=torch.float64), -1)
    q = torch.softmax(torch.randn(3, 4, dtype=torch.float64), -1)
    joint_p, joint_q = (torch.einsum("a,b,c->abc", *x).flatten() for x in (p, q))
    torch.testing.assert_close(surrogates.kl(joint_p.log(), joint_q.log()), surrogates.kl(p.log(), q.log()).sum())
