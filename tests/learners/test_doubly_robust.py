"""The doubly robust advantage against exact sums over all joint actions: two agents, tables for networks."""

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import EpisodeBatch
from core.errors import UserError
from counterfactual_tools import iteration, make_asae, make_coma, tabular
from estimators.returns import continues_from_mask, gae
from learners.asae_learner import ASAELearner

A, U, S = 2, 3, 5
JOINT = list(itertools.product(range(U), repeat=A))
ROBUST = {"advantage": "doubly_robust", "residual_lambda": 1.0, "marginal": "exact"}
SEEDS = st.integers(0, 2**31 - 1)


def learner_of(world, make=make_asae, *, q=None, v=None, **changed):
    """Tables for actors and critic; q [S, A, partner, own], and v [S, A] of a value head, where given."""
    wanted = (
        {**ROBUST, **changed}
        if make is make_asae
        else {k: v for k, v in {**ROBUST, **changed}.items() if k != "marginal"}
    )
    learner = tabular(world, make(world, **wanted))
    if q is not None:
        learner.critic.net.values.data = q.clone()
    if v is not None:
        learner.critic.net.state_values.data = v.clone()
    return learner


def episodes(states, actions, rewards, *, terminated=True):
    """Episodes without padding: states int [B, T+1], actions int [B, T, A], rewards [B, T]."""
    state = torch.nn.functional.one_hot(torch.tensor(states), S).float()
    actions, rewards = torch.tensor(actions), torch.as_tensor(rewards).float().unsqueeze(-1)
    ends = torch.zeros(actions.shape[:2], dtype=torch.bool)
    ends[:, -1] = terminated
    return EpisodeBatch(
        obs=state.unsqueeze(2).expand(-1, -1, A, -1).clone(),
        state=state,
        available=torch.ones(*state.shape[:2], A, U, dtype=torch.bool),
        actions=actions,
        rewards=rewards,
        terminated=ends,
        mask=torch.ones(actions.shape[:2], dtype=torch.bool),
    )


def one_step(payoff):
    """Every joint action once, in state 0: payoff [U, U]."""
    return episodes([[0, 4]] * len(JOINT), [[list(u)] for u in JOINT], [[float(payoff[u])] for u in JOINT])


def as_table(payoff):
    """[U, U] -> what both agents' critic should say in state 0: [A, partner, own]."""
    return torch.stack([payoff.t(), payoff])


def conditional_means(advantages, pi, agent, probs):
    """E over the partners of A given the own first action, less its mean: advantages [B], probs [B] -> [U]."""
    own = torch.tensor([u[agent] for u in JOINT]).repeat_interleave(len(advantages) // len(JOINT))
    mean = torch.stack([(probs * advantages)[own == u].sum() / probs[own == u].sum() for u in range(U)])
    return mean - (pi[agent] * mean).sum()


def exact(payoff, pi, partners, agent):
    """Marginal advantage of every own action under ``partners``' policies: [U]."""
    q = as_table(payoff)[agent]  # [partner, own]
    marginal_q = partners[1 - agent] @ q
    return marginal_q - (pi[agent] * marginal_q).sum()


def probabilities(pi):
    return torch.tensor([float(pi[0, u] * pi[1, v]) for u, v in JOINT])


HEADS = st.booleans()
"""critic_value_head"""


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, head=HEADS)
def test_in_one_step_every_critic_gives_the_marginal_advantage_in_expectation(world, seed, head):
    g = torch.Generator().manual_seed(seed)
    payoff, q = torch.randn(U, U, generator=g), torch.randn(S, A, U, U, generator=g)
    learner = learner_of(world, q=q, v=torch.randn(S, A, generator=g), critic_value_head=head)
    it = iteration(learner, one_step(payoff))
    got, pi = learner.credit(it, None)[0][:, 0].detach(), it.log_pi[0, 0].exp()
    for agent in range(A):
        means = conditional_means(got[:, agent], pi, agent, probabilities(pi))
        torch.testing.assert_close(means, exact(payoff, pi, pi, agent), atol=1e-5, rtol=1e-4)


def test_in_one_step_the_right_critic_leaves_no_noise(world):
    payoff, q = torch.randn(U, U), torch.randn(S, A, U, U)
    q[0] = as_table(payoff)
    learner = learner_of(world, q=q)
    it = iteration(learner, one_step(payoff))
    got, pi = learner.credit(it, None)[0][:, 0], it.log_pi[0, 0].exp()
    assert it.estimates.residual.abs().max() < 1e-5
    for b, u in enumerate(JOINT):
        for agent in range(A):
            assert float(got[b, agent]) == pytest.approx(float(exact(payoff, pi, pi, agent)[u[agent]]), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, head=HEADS)
def test_over_two_steps_with_chance_too(world, seed, head):
    """State 0, then 1 or 2 by chance that depends on the joint action; the whole return counts."""
    g = torch.Generator().manual_seed(seed)
    first, second = torch.randn(U, U, generator=g), torch.randn(S, U, U, generator=g)
    chance = torch.rand(U, U, generator=g)  # of state 1
    q, v = torch.randn(S, A, U, U, generator=g), torch.randn(S, A, generator=g)
    learner = learner_of(world, q=q, v=v, critic_value_head=head)
    rows = [(u, s, v) for u in JOINT for s in (1, 2) for v in JOINT]
    batch = episodes(
        [[0, s, 4] for _, s, _ in rows],
        [[list(u), list(v)] for u, _, v in rows],
        [[float(first[u]), float(second[s][v])] for u, s, v in rows],
    )
    it = iteration(learner, batch)
    pi = [it.log_pi[rows.index((JOINT[0], s, JOINT[0])), 1].exp() for s in (1, 2)]
    pi = {0: it.log_pi[0, 0].exp(), 1: pi[0], 2: pi[1]}
    joint = {s: probabilities(pi[s]) for s in pi}
    move = [float(chance[u]) if s == 1 else 1 - float(chance[u]) for u, s, _ in rows]
    probs = torch.tensor(
        [joint[0][JOINT.index(u)] * p * joint[s][JOINT.index(v)] for (u, s, v), p in zip(rows, move, strict=True)]
    )
    value = {s: float((joint[s].view(U, U) * second[s]).sum()) for s in (1, 2)}
    payoff = first + 0.9 * (chance * value[1] + (1 - chance) * value[2])
    got = learner.credit(it, None)[0][:, 0].detach()
    for agent in range(A):
        means = conditional_means(got[:, agent], pi[0], agent, probs)
        torch.testing.assert_close(means, exact(payoff, pi[0], pi[0], agent), atol=1e-4, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_after_the_partners_have_moved_it_is_eq_11_in_expectation(world, seed):
    """Partners' present policies in the marginal and their ratio on the residual, own baseline under pi_i."""
    g = torch.Generator().manual_seed(seed)
    payoff, q = torch.randn(U, U, generator=g), torch.randn(S, A, U, U, generator=g)
    learner = learner_of(world, q=q, resync=True, partner_ratio_bound=1e6)
    it = iteration(learner, one_step(payoff))
    with torch.no_grad():
        learner.controller.agents.values.add_(torch.randn(S, A, U, generator=g))
        present = learner.controller.log_policy(it.batch, t_env=0)[:, :-1]
    got, pi, now = learner.credit(it, present)[0][:, 0].detach(), it.log_pi[0, 0].exp(), present[0, 0].exp()
    for agent in range(A):
        means = conditional_means(got[:, agent], pi, agent, probabilities(pi))  # the data are pi_i's
        torch.testing.assert_close(means, exact(payoff, pi, now, agent), atol=1e-4, rtol=1e-3)


def test_the_partners_ratio_is_bounded(world):
    learner = learner_of(world, resync=True, residual_weight=1.0)
    it = iteration(learner, one_step(torch.randn(U, U)))
    with torch.no_grad():
        learner.controller.agents.values.add_(5 * torch.randn(S, A, U))
        present = learner.controller.log_policy(it.batch, t_env=0)[:, :-1]
    marginal_part = learner.advantages(it, present).advantage.gather(-1, it.batch.actions.unsqueeze(-1)).squeeze(-1)
    ratio = (learner.credit(it, present)[0] - marginal_part) / it.estimates.residual
    assert ratio.min() >= 0.5 - 1e-4
    assert ratio.max() <= 2 + 1e-4
    own = (present - it.log_pi[:, :-1]).gather(-1, it.batch.actions.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(ratio, own.flip(-1).exp().clamp(0.5, 2), atol=1e-3, rtol=1e-3)


def test_with_a_value_head_what_actions_add_has_mean_zero(world):
    """Q = V + D - E D, so that a right V and a right D, whatever state it adds, leave no residual."""
    payoff, v = torch.randn(U, U), torch.zeros(S, A)
    pi = iteration(learner_of(world), one_step(payoff)).log_pi[0, 0].exp()
    v[0] = (probabilities(pi).view(U, U) * payoff).sum()
    q = torch.zeros(S, A, U, U)
    q[0] = as_table(payoff) + 7.0
    learner = learner_of(world, q=q, v=v, critic_value_head=True)
    it = iteration(learner, one_step(payoff))
    assert it.estimates.residual.abs().max() < 1e-5
    without = learner_of(world, q=q, critic_value_head=False)
    assert iteration(without, one_step(payoff)).estimates.residual.abs().max() > 1
    every, executed = without.advantages(it, None).advantage, it.batch.actions.unsqueeze(-1)
    torch.testing.assert_close(it.estimates.advantage, every.gather(-1, executed).squeeze(-1))


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_a_critic_that_sees_no_actions_gives_gae(world, lam):
    """MAPPO's advantage."""
    values = torch.randn(S)
    q = values.view(S, 1, 1, 1).expand(S, A, U, U)
    batch = world.some_batch()
    learner = learner_of(world, q=q, residual_lambda=lam)
    got = learner.credit(iteration(learner, batch), None)[0]
    for b in range(4):
        length, following = int(batch.mask[b].sum()), 0.0
        for t in reversed(range(length)):
            d = 0.0 if batch.terminated[b, t] else 0.9
            s, after = batch.state[b, t].argmax(), batch.state[b, t + 1].argmax()
            delta = float(batch.rewards[b, t, 0] + d * values[after] - values[s])
            following = delta + 0.9 * lam * following * (t < length - 1)
            assert got[b, t].tolist() == pytest.approx([following] * A, abs=1e-5)


@pytest.mark.parametrize("head", [False, True])
def test_gae_with_the_critics_values(world, head):
    """advantage=gae: V = E Q (or the value head's) and nothing else of the critic."""
    q, v, batch = torch.randn(S, A, U, U), torch.randn(S, A), world.some_batch()
    learner = learner_of(world, q=q, v=v, advantage="gae", residual_lambda=0.8, critic_value_head=head)
    it = iteration(learner, batch)
    pi, state = it.log_pi.exp(), batch.state.argmax(-1)
    expected = torch.stack(
        [torch.einsum("bto,btu,btou->bt", pi[:, :, 1 - a], pi[:, :, a], q[state, a]) for a in range(A)], -1
    )
    values = v[state] if head else expected
    wanted = gae(
        rewards=it.rewards.expand(-1, -1, A),
        discounts=it.discounts,
        values=values,
        lam=0.8,
        continues=continues_from_mask(batch.mask).unsqueeze(-1),
    )
    got = learner.credit(it, None)[0]
    torch.testing.assert_close(got[batch.mask], wanted[batch.mask], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_an_exact_critic_in_a_deterministic_game_leaves_eq_10(world, lam):
    """0 -> 1 -> end, rewards that the critic knows: the residual is 0 at every step."""
    rewards = torch.randn(S, U, U)
    plain = learner_of(world)
    batch = episodes([[0, 1, 4]] * 9, [[list(u), list(reversed(u))] for u in JOINT], torch.zeros(9, 2))
    pi = iteration(plain, batch).log_pi[0].exp()  # [3, A, U]
    value = float((probabilities(pi[1]).view(U, U) * rewards[1]).sum())
    q = torch.zeros(S, A, U, U)
    q[0], q[1] = as_table(rewards[0] + 0.9 * value), as_table(rewards[1])
    got = [[float(rewards[0][u]), float(rewards[1][tuple(reversed(u))])] for u in JOINT]
    batch = episodes([[0, 1, 4]] * 9, [[list(u), list(reversed(u))] for u in JOINT], got)
    learner = learner_of(world, q=q, residual_lambda=lam)
    it = iteration(learner, batch)
    assert it.estimates.residual.abs().max() < 1e-5
    expected = learner_of(world, q=q, advantage="critic").credit(it, None)[0]
    torch.testing.assert_close(learner.credit(it, None)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [make_coma, make_asae])
def test_one_sample_is_a_return_less_comas_baseline(world, make):
    """r-return - sum_u' pi(u') Q(s, (u^-a, u')), for COMA and for ASAE with m = 1."""
    learner = learner_of(world, make, marginal="mc")
    batch = world.batch([[0, 1, 2, 4], [2, 3, 4]], [3, 2], [True, True], masked=False)
    it = iteration(learner, batch)
    got, q, pi = learner.credit(it, None)[0], learner.critic.net.values.detach(), it.log_pi.exp()
    base = lambda b, t, a: (pi[b, t, a] * q[batch.state[b, t].argmax(), a, batch.actions[b, t, 1 - a]]).sum()  # noqa: E731
    for b, a in itertools.product(range(2), range(A)):
        length = int(batch.mask[b].sum())
        for t in range(length):
            # the return in which every later step has Q(s, u) replaced by its baseline, undone by the next residual
            total, weight = 0.0, 1.0
            for k in range(t, length):
                s, u = batch.state[b, k].argmax(), batch.actions[b, k]
                correction = 0.0 if k == t else float(base(b, k, a) - q[s, a, u[1 - a], u[a]])
                total += weight * (float(batch.rewards[b, k, 0]) + correction)
                weight *= 0.9
            assert float(got[b, t, a]) == pytest.approx(total - float(base(b, t, a)), abs=1e-4)


@pytest.mark.parametrize("make", [make_coma, make_asae])
def test_padding_has_no_influence_where_a_short_episode_was_cut(world, make):
    """The value after its last step is of actions that are drawn there, not of those that stand in the padding."""
    batch, found = world.batch([[0, 1, 2, 4], [2, 3]], [3, 1], [False, False], masked=False), []
    for rubbish in range(U):
        learner = learner_of(world, make, marginal="mc")
        actions = batch.actions.clone()
        actions[~batch.mask] = rubbish
        it = iteration(learner, dataclasses.replace(batch, actions=actions))
        found.append(it.estimates.residual[batch.mask])
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


@pytest.mark.parametrize("make", [make_coma, make_asae])
def test_the_critic_is_fitted_after_the_actors(world, make):
    """One that was fitted to the batch before would have fitted its residual away."""
    order = []
    learner = make(world, advantage="doubly_robust")
    fit, step = learner.critic.fit, learner.actor_optimizer.step
    learner.critic.fit = lambda it: order.append("critic") or fit(it)
    learner.actor_optimizer.step = lambda loss: order.append("actors") or step(loss)
    learner.train(world.some_batch(), t_env=0)
    assert order == ["actors"] * learner.epochs + ["critic"]


def test_executed_advantages_are_standardised(world):
    learner = make_asae(world, advantage="doubly_robust", standardise_advantages=True)
    batch = world.some_batch()
    advantages = learner.credit(iteration(learner, batch), None)[0][batch.mask].detach()
    assert float(advantages.mean()) == pytest.approx(0, abs=1e-5)
    assert float(advantages.std(correction=0)) == pytest.approx(1, abs=1e-3)


def test_the_residual_is_of_the_executed_action_alone(world):
    with pytest.raises(UserError, match="own_action=sampled"):
        make_asae(world, advantage="doubly_robust", own_action="expected")


def test_the_weight_of_the_residual(world):
    batch = world.some_batch()
    found = []
    for weight in (0.0, 0.5, 1.0):
        learner = learner_of(world, residual_weight=weight)
        found.append(learner.credit(iteration(learner, batch), None)[0][batch.mask].detach())
    torch.testing.assert_close(found[1], (found[0] + found[2]) / 2)
    plain = learner_of(world, advantage="critic")
    taken = plain.credit(iteration(plain, batch), None)[0]
    torch.testing.assert_close(found[0], taken[batch.mask].detach())
    assert isinstance(plain, ASAELearner)
