"""One kernel for log-probabilities of what was done and entropies, against PyTorch's operators in double precision."""

import pytest
import torch

from components.action_selectors import policy_log_probs
from components.decisions import decisions, improvement
from estimators.masked import masked_mean
from estimators.surrogates import Surrogate, entropy

B, T, A, U = 3, 4, 2, 5


def some(seed=0, *, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(B, T + 1, A, U, generator=g, dtype=torch.float64)
    available = torch.rand(logits.shape, generator=g) < 0.5
    available[..., 2] |= ~available.any(-1)
    actions = torch.rand(B, T, A, U, generator=g).masked_fill(~available[:, :-1], -1).argmax(-1)
    mask = torch.arange(T) < torch.tensor([[4], [2], [3]])
    return logits, available, actions, mask


def plain(logits, available, actions, epsilon=0.0):
    log_pi = policy_log_probs(logits, available, epsilon)[:, :-1]
    return log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1), entropy(log_pi)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_values_and_gradients(scale, epsilon):
    logits, available, actions, mask = some(scale=scale)
    g = torch.Generator().manual_seed(1)
    weights = torch.randn(2, B, T, A, generator=g, dtype=torch.float64)
    found = []
    for dtype in (torch.float32, torch.float64):
        x = logits.to(dtype).requires_grad_()
        if dtype == torch.float32:
            out = decisions(x, available, actions, mask, epsilon=epsilon)
        else:
            out = plain(x, available, actions, epsilon)
        loss = sum((w.to(dtype) * one)[mask].sum() for w, one in zip(weights, out, strict=True))
        loss.backward()
        found.append([*(one[mask].double() for one in out), x.grad.double()])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single, double, atol=2e-5 * max(scale, 1), rtol=1e-4)
    assert (found[0][2][:, -1] == 0).all()
    assert (found[0][2][:, :-1][~mask] == 0).all()


def test_rubbish_in_padding_has_no_influence_and_not_a_number_shows():
    logits, available, actions, mask = some()
    x = logits.float()
    known = decisions(x, available, actions, mask, epsilon=0.0)
    x[:, :-1][~mask] = torch.nan
    for one, same in zip(decisions(x, available, actions, mask, epsilon=0.0), known, strict=True):
        assert torch.equal(one[mask], same[mask])
    x[0, 1, 0] = torch.nan
    for one in decisions(x, available, actions, mask, epsilon=0.0):
        assert one[0, 1, 0].isnan()


def test_an_action_that_was_not_available_is_as_unlikely_as_in_the_policy():
    logits, available, actions, mask = some()
    available[0, 0, 0], actions[0, 0, 0] = torch.tensor([True, True, True, True, False]), 4
    single, _ = decisions(logits.float(), available, actions, mask, epsilon=0.0)
    double, _ = plain(logits.float(), available, actions)
    assert single[0, 0, 0] == pytest.approx(float(double[0, 0, 0]))
    assert single[0, 0, 0] < -1e37


def some_improvement(seed=0):
    logits, available, actions, mask = some(seed, scale=2.0)
    g = torch.Generator().manual_seed(seed + 1)
    old = plain(logits + 0.3 * torch.randn(logits.shape, generator=g, dtype=torch.float64), available, actions)[0]
    advantages = torch.randn(B, T, A, generator=g, dtype=torch.float64)
    return logits, available, actions, mask, old, advantages


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("of_decisions", [True, False])
@pytest.mark.parametrize("name", ["policy_gradient", "ppo", "clip"])
def test_the_actors_loss_and_its_gradient(name, of_decisions, epsilon):
    logits, available, actions, mask, old, advantages = some_improvement()
    weights = mask.unsqueeze(-1) & (available[:, :-1].sum(-1) > 1) if of_decisions else mask
    assert 0 < weights.sum() < weights.numel()
    surrogate, found = Surrogate(name, 0.2), []
    for dtype in (torch.float32, torch.float64):
        x = logits.to(dtype).requires_grad_()
        if dtype == torch.float32:
            given = {"old": old.float(), "advantages": advantages.float(), "surrogate": surrogate}
            out = improvement(x, available, actions, weights, **given, entropy_coef=0.3, epsilon=epsilon)
            parts = out.loss, out.pg_loss, out.entropy
            assert not any(part.requires_grad for part in out[1:])
        else:
            log_prob, spread = plain(x, available, actions, epsilon)
            pg_loss = masked_mean(surrogate(log_prob, old, advantages), weights)
            parts = pg_loss - 0.3 * masked_mean(spread, weights), pg_loss, masked_mean(spread, weights)
        (2 * parts[0]).backward()
        found.append([*(part.detach().double() for part in parts), x.grad.double()])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single, double, atol=2e-5, rtol=1e-4)
    counted = weights if of_decisions else mask.unsqueeze(-1).expand(B, T, A)
    expected = plain(logits, available, actions, epsilon)[0][counted]
    torch.testing.assert_close(out.log_prob[counted].double(), expected, atol=2e-5, rtol=1e-4)
    if name != "policy_gradient":
        ratio = (plain(logits, available, actions)[0] - old).exp()[counted]
        assert ((ratio > 1.2).any(), (ratio < 0.8).any(), ((ratio - 1).abs() < 0.2).any()) == (True, True, True)


def test_what_does_not_count_has_no_influence_on_the_actors_loss_and_not_a_number_shows():
    logits, available, actions, mask, old, advantages = (
        x.float() if x.is_floating_point() else x for x in some_improvement()
    )
    given = {"surrogate": Surrogate("ppo", 0.2), "entropy_coef": 0.1, "epsilon": 0.0}
    known = improvement(logits, available, actions, mask, old=old, advantages=advantages, **given).loss
    for x in (logits[:, :-1], old, advantages):
        x[~mask] = torch.nan
    assert improvement(logits, available, actions, mask, old=old, advantages=advantages, **given).loss == known
    none = torch.zeros_like(mask)
    assert improvement(logits, available, actions, none, old=old, advantages=advantages, **given).loss == 0
    for x in (logits, old, advantages):
        before = x[0, 0, 0].clone()
        x[0, 0, 0] = torch.nan
        assert improvement(logits, available, actions, mask, old=old, advantages=advantages, **given).loss.isnan()
        x[0, 0, 0] = before
