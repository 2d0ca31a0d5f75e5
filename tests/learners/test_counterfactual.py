"""COMA and ASAE against loops over episodes, with tables for networks."""

import itertools
from dataclasses import replace

import pytest
import torch

from controllers.basic_controller import BasicController, ControllerSettings
from controllers.policy import Policy
from core.errors import UserError
from counterfactual_tools import iteration, make_asae, make_coma, tabular
from estimators.credit import counterfactual
from estimators.masked import masked_log_softmax
from estimators.returns import continues_from_mask, n_step_returns
from learners.asae_learner import ASAELearner, ASAESettings
from learners.coma_learner import COMALearner
from learners.counterfactual import CounterfactualSettings


def slow_values(world, batch, log_pi, lagging):
    """Q of the executed joint action, and after the last step the expectation over the own action: [B][t] -> [A]."""
    out = []
    for b in range(batch.n_episodes):
        length, row = int(batch.mask[b].sum()), []
        for t in range(length + 1):
            s = batch.state[b, t].argmax()
            if t < length:
                u = batch.actions[b, t]
                row.append(torch.stack([lagging[s, a, u[1 - a], u[a]] for a in range(world.A)]))
            else:
                row.append((log_pi[b, t].exp() * lagging[s, :, 0]).sum(-1))
        out.append(row)
    return out


@pytest.mark.parametrize("returns", [{"returns": "n_step", "q_nstep": n} for n in (1, 2, 10)]
                         + [{"returns": "td_lambda", "td_lambda": x} for x in (0.0, 0.8, 1.0)], ids=str)  # fmt: skip
@pytest.mark.parametrize("make", [make_coma, make_asae])
def test_critic_targets_equal_a_loop(world, make, returns):
    learner, batch = tabular(world, make(world, **returns)), world.some_batch()
    it = iteration(learner, batch)
    got = learner.critic.targets(it)
    values = slow_values(world, batch, it.log_pi, learner.critic.target.net.values.detach())

    def n_step(b, t, n):
        length = int(batch.mask[b].sum())
        last = min(t + n, length)
        total = sum(0.9 ** (k - t) * batch.rewards[b, k] for k in range(t, last))
        over = last == length and batch.terminated[b, length - 1]
        return total if over else total + 0.9 ** (last - t) * values[b][last]

    for b in range(batch.n_episodes):
        length = int(batch.mask[b].sum())
        for t in range(length):
            if returns["returns"] == "n_step":
                expected = n_step(b, t, returns["q_nstep"])
            else:
                lam, longest = returns["td_lambda"], length - t
                expected = lam ** (longest - 1) * n_step(b, t, longest)
                expected = expected + sum((1 - lam) * lam ** (n - 1) * n_step(b, t, n) for n in range(1, longest))
            torch.testing.assert_close(got[b, t], expected.expand(world.A))


def test_the_bootstrap_of_a_truncated_episode_is_unbiased(world):
    """After the last step the partners' actions are drawn from their policies: right in expectation."""
    learner = tabular(world, make_coma(world))
    with torch.no_grad():
        learner.critic.target.net.values[4] = torch.randn(world.A, world.U, world.U)
    batch = world.batch([[0, 4]], [1], [False])
    it = iteration(learner, batch)
    mean = torch.stack([learner.critic.targets(it)[0, 0] for _ in range(4000)]).mean(0)
    pi, q = it.log_pi[0, 1].exp(), learner.critic.target.net.values[4]
    value = torch.stack([torch.einsum("p,u,pu->", pi[1 - a], pi[a], q[a]) for a in range(2)])
    torch.testing.assert_close(mean, batch.rewards[0, 0] + 0.9 * value.detach(), atol=0.06, rtol=0)


def test_the_critic_is_fitted_at_the_executed_joint_action(world):
    learner, batch = tabular(world, make_coma(world, critic_lr=0.1)), world.some_batch()
    it = iteration(learner, batch)
    targets = learner.critic.targets(it).detach()
    table = learner.critic.net.values.detach().clone().requires_grad_()
    errors = []
    for b, t, a in itertools.product(range(4), range(3), range(2)):
        if batch.mask[b, t]:
            u = batch.actions[b, t]
            errors.append((table[batch.state[b, t].argmax(), a, u[1 - a], u[a]] - targets[b, t, a]) ** 2)
    loss = torch.stack(errors).mean()
    loss.backward()
    metrics = learner.critic.step(learner.critic.lesson(it, targets, slice(0, 3)))
    torch.testing.assert_close(metrics["critic_loss"], loss.detach())
    torch.testing.assert_close(learner.critic.net.values.grad, table.grad)


def test_a_value_head_learns_the_targets_and_the_rest_what_it_leaves_of_them(world):
    """V -> G and D -> G - V, both from the lagging V."""
    learner, batch = tabular(world, make_coma(world, critic_value_head=True, critic_lr=0.1)), world.some_batch()
    lagging = torch.randn(world.S, world.A)
    with torch.no_grad():
        learner.critic.target.net.state_values.copy_(lagging)
    it = iteration(learner, batch)
    values = lagging[batch.state.argmax(-1)]  # [B, T+1, A]
    rewards, following = batch.rewards.expand(-1, -1, world.A), continues_from_mask(batch.mask).unsqueeze(-1)
    terms = {"rewards": rewards, "discounts": it.discounts, "values": values, "continues": following}
    returns = n_step_returns(**terms, n=10)
    table, states = learner.critic.net.values.detach().clone().requires_grad_(), torch.zeros(world.S, world.A)
    states.copy_(learner.critic.net.state_values.detach())
    states.requires_grad_()
    errors = []
    for b, t, a in itertools.product(range(4), range(3), range(2)):
        if batch.mask[b, t]:
            u, s, g = batch.actions[b, t], batch.state[b, t].argmax(), returns[b, t, a]
            errors.append((states[s, a] - g) ** 2 + (table[s, a, u[1 - a], u[a]] - (g - values[b, t, a])) ** 2)
    torch.stack(errors).mean().backward()
    targets, of_values = learner.critic.split_targets(it)
    learner.critic.step(learner.critic.lesson(it, targets.detach(), slice(0, 3), of_values.detach()))
    torch.testing.assert_close(learner.critic.net.values.grad, table.grad)
    torch.testing.assert_close(learner.critic.net.state_values.grad, states.grad)


@pytest.mark.parametrize("make", [make_coma, make_asae])
def test_training_with_a_value_head(world, make):
    learner = make(world, critic_value_head=True, advantage="doubly_robust", obs_individual_obs=True)
    before = {name: x.clone() for name, x in learner.critic.net.state_dict().items()}
    metrics = learner.train(world.some_batch(), t_env=0)
    changed = {name for name, x in learner.critic.net.state_dict().items() if not torch.equal(x, before[name])}
    assert changed == set(before)
    assert float(metrics["value_loss"]) > 0


def test_one_critic_step_per_time_step_visits_the_last_first(world, monkeypatch):
    learner, batch = make_coma(world, critic_update_by="timestep", target_update_interval_or_tau=2), world.some_batch()
    states, losses, original = [], [], learner.critic.step

    def spy(lesson):
        states.append(lesson.shared)
        metrics = original(lesson)
        losses.append(metrics["critic_loss"])
        return metrics

    monkeypatch.setattr(learner.critic, "step", spy)
    metrics = learner.train(batch, t_env=0)
    assert all(map(torch.equal, states, [batch.state[:, t : t + 1] for t in (2, 1, 0)]))
    assert learner.critic.target.updates == 3
    torch.testing.assert_close(metrics["critic_loss"](), torch.stack(losses).mean())


def test_comas_actor_gradient_equals_a_loop(world):
    learner, batch = tabular(world, make_coma(world)), world.some_batch()
    logits = learner.controller.agents.values.detach().clone().requires_grad_()
    learner.critic.fit = lambda it: {}  # the critic stays as it is
    q = learner.critic.net.values.detach()
    losses = []
    for b, t, a in itertools.product(range(4), range(3), range(2)):
        if not batch.mask[b, t]:
            continue
        s, u = batch.state[b, t].argmax(), batch.actions[b, t]
        allowed = batch.available[b, t, a]
        log_pi = torch.log_softmax(logits[s, a][allowed], -1)
        pi, row = log_pi.detach().exp(), q[s, a, u[1 - a]]
        own = int(allowed[: u[a]].sum())
        advantage = row[u[a]] - (pi * row[allowed]).sum()
        entropy = -(log_pi.exp() * log_pi).sum()
        losses.append(-advantage * log_pi[own] - 0.03 * entropy)
    torch.stack(losses).mean().backward()
    learner.train(batch, t_env=0)
    torch.testing.assert_close(learner.controller.agents.values.grad, logits.grad)


@pytest.mark.parametrize("own", ["sampled", "expected"])
def test_asaes_first_gradient_equals_a_loop(world, own):
    """Exact marginal, one epoch: ratio 1, so the policy gradient with A_mar."""
    learner = tabular(world, make_asae(world, marginal="exact", epochs=1, own_action=own))
    batch = world.some_batch()
    logits = learner.controller.agents.values.detach().clone().requires_grad_()
    learner.critic.fit = lambda it: {}
    q, losses = learner.critic.net.values.detach(), []
    for b, t, a in itertools.product(range(4), range(3), range(2)):
        if not batch.mask[b, t]:
            continue
        s = batch.state[b, t].argmax()
        log_pi = torch.stack([
            torch.log_softmax(logits[s, x].masked_fill(~batch.available[b, t, x], -1e9), -1) for x in range(2)
        ])  # fmt: skip
        pi = log_pi.detach().exp()
        marginal_q = pi[1 - a] @ q[s, a]
        advantage = marginal_q - (pi[a] * marginal_q).sum()
        entropy = -(log_pi[a].exp() * log_pi[a]).sum()
        u = batch.actions[b, t, a]
        gain = advantage[u] * log_pi[a, u] if own == "sampled" else (log_pi[a].exp() * advantage).sum()
        losses.append(-gain - 0.03 * entropy)
    torch.stack(losses).mean().backward()
    learner.train(batch, t_env=0)
    torch.testing.assert_close(learner.controller.agents.values.grad, logits.grad)


@pytest.mark.parametrize("sharing", ["full", "none"])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("standardise", [True, False])
def test_one_sample_and_one_epoch_are_coma(world, sharing, epsilon, standardise):
    """m = 1, where the sample is the executed joint action: the same critic, the same first actor gradient."""
    common = {"sharing": sharing, "epsilon": epsilon, "standardise_advantages": standardise}
    coma = make_coma(world, **common)
    asae = make_asae(world, n_samples=1, epochs=1, **common)
    batch = world.some_batch()
    for first, second in zip(coma.controller.agents.parameters(), asae.controller.agents.parameters(), strict=True):
        assert torch.equal(first, second)
    metrics = [learner.train(batch, t_env=0) for learner in (coma, asae)]
    for name in ("critic_loss", "entropy", "advantage_abs", "agent_grad_norm"):
        torch.testing.assert_close(float(metrics[0][name]), float(metrics[1][name]), rtol=1e-5, atol=1e-6)
    for first, second in zip(coma.controller.agents.parameters(), asae.controller.agents.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad)
        assert first.grad.abs().sum() > 0
    assert float(metrics[1]["marginal_standard_error"]) == 0


@pytest.mark.parametrize("make", [make_coma, make_asae])
@pytest.mark.parametrize(("t_env", "coef"), [(0, 0.5), (25, 0.35), (100, 0.2), (1000, 0.2)])
def test_the_weight_of_the_entropy_is_annealed(world, make, t_env, coef):
    """From 0.5 to 0.2 within 50 steps: the same gradient as with that weight throughout, in training and imitation."""
    annealed = {"entropy_coef": 0.5, "entropy_coef_finish": 0.2, "entropy_anneal_time": 50}
    learners = [make(world, **annealed), make(world, entropy_coef=coef), make(world, entropy_coef=coef + 0.1)]
    batch = world.some_batch()
    for learn in (
        lambda learner: learner.train(batch, t_env=t_env),
        lambda learner: learner.imitate(batch, t_env=t_env, epochs=1),
    ):
        found = []
        for learner in learners:
            learn(learner)
            found.append([parameter.grad.clone() for parameter in learner.controller.agents.parameters()])
        for first, same, other in zip(*found, strict=True):
            torch.testing.assert_close(first, same)
            assert not torch.allclose(first, other)


def test_more_samples_are_not_coma(world):
    batch, found = world.some_batch(), []
    for m in (1, 10):
        learner = tabular(world, make_asae(world, n_samples=m, epochs=1))
        found.append(learner.advantages(iteration(learner, batch), None).advantage)
    assert (found[0] - found[1]).abs().max() > 0.1


def test_monte_carlo_agrees_with_the_exact_marginal(world):
    batch, m = world.some_batch(), 4000
    exact = tabular(world, make_asae(world, marginal="exact"))
    sampled = tabular(world, make_asae(world, n_samples=m))
    it = iteration(exact, batch)
    result = sampled.advantages(it, None)
    error, difference = result.standard_error, result.advantage - exact.advantages(it, None).advantage
    assert (difference.abs() <= 5 * error + 2e-3)[batch.mask].all()
    assert error.max() > 0.005


def test_the_executed_joint_action_is_the_first_sample_and_only_under_the_behaviour_policy(world, monkeypatch):
    learner, batch = tabular(world, make_asae(world, n_samples=3, resync=True, epochs=3)), world.some_batch()
    seen, original = [], learner.controller.sample_joint

    def spy(log_pi, *, executed, real):
        seen.append((log_pi, executed))
        return original(log_pi, executed=executed, real=real)

    monkeypatch.setattr(learner.controller, "sample_joint", spy)
    behaviour = iteration(learner, batch).log_pi[:, :-1]
    learner.train(batch, t_env=0)
    assert len(seen) == 3
    torch.testing.assert_close(seen[0][0], behaviour)
    assert torch.equal(seen[0][1], batch.actions)
    for (log_pi, executed), (before, _) in zip(seen[1:], seen, strict=False):
        assert executed is None
        assert not torch.allclose(log_pi, before)
        assert not log_pi.requires_grad


def test_resynchronised_credit_is_eq_11(world):
    """Partners act by the present policies, the own baseline is that of pi_i."""
    learner, batch = tabular(world, make_asae(world, marginal="exact", resync=True)), world.some_batch()
    it = iteration(learner, batch)
    with torch.no_grad():
        learner.controller.agents.values.add_(torch.randn(world.S, world.A, world.U))
    present = iteration(learner, batch).log_pi[:, :-1]
    got, old, now = learner.advantages(it, present).advantage, it.log_pi[:, :-1].exp(), present.exp()
    for b, t, a in itertools.product(range(4), range(3), range(2)):
        q = learner.critic.net.values[batch.state[b, t].argmax(), a].detach()  # [partner, own]
        expected = (now[b, t, 1 - a].unsqueeze(-1) * counterfactual(q, old[b, t, a])).sum(0)
        torch.testing.assert_close(got[b, t, a], expected)


def test_without_resync_credit_is_estimated_once(world, monkeypatch):
    learner = make_asae(world, epochs=4)
    calls, original = [], learner.credit
    monkeypatch.setattr(learner, "credit", lambda it, log_pi: calls.append(log_pi) or original(it, log_pi))
    assert learner.train(world.some_batch(), t_env=0)["epochs"] == 4
    assert calls == [None]


@pytest.mark.parametrize("surrogate", ["ppo", "clip"])
def test_expected_own_action_is_the_mean_over_sampled_ones(world, surrogate):
    learners = {own: make_asae(world, own_action=own, surrogate=surrogate) for own in ("sampled", "expected")}
    batch = world.some_batch(masked=False)
    it = iteration(learners["sampled"], batch)
    torch.manual_seed(3)
    advantages = torch.randn(4, 3, world.A, world.U)
    shift = torch.randn(4, 3, world.A, world.U) * 0.3
    present = (it.log_pi[:, :-1] + shift).log_softmax(-1).requires_grad_()
    expected = learners["expected"].objective(it, Policy.of(present, batch.actions), advantages)[0]
    gradient = torch.autograd.grad(expected[batch.mask].sum(), present)[0]
    mean = 0.0
    for u in range(world.U):
        done = replace(batch, actions=torch.full_like(batch.actions, u))
        taken = replace(it, batch=done, executed=it.log_pi[:, :-1, :, u])
        loss = learners["sampled"].objective(taken, Policy.of(present, done.actions), advantages[..., u])[0]
        mean = mean + it.log_pi[:, :-1, :, u].exp() * loss
    torch.testing.assert_close(expected[batch.mask], mean[batch.mask])
    torch.testing.assert_close(gradient, torch.autograd.grad(mean[batch.mask].sum(), present)[0])


def test_surrogates_differ_where_the_ratio_went_the_wrong_way(world):
    batch, gradients = world.some_batch(masked=False), {}
    for name in ("ppo", "clip"):
        learner = make_asae(world, surrogate=name, eps_clip=0.1)
        it = iteration(learner, batch)
        present = (it.log_pi[:, :-1] - 0.5).requires_grad_()  # every ratio is exp(-.5) < .9
        loss, metrics = learner.objective(it, Policy.of(present, batch.actions), torch.ones(4, 3, world.A))
        loss.sum().backward()
        gradients[name] = present.grad
        assert float(metrics["clip_fraction"]) == 1
    assert (gradients["clip"] == 0).all()
    assert (gradients["ppo"].sum(-1) < 0).all()


@pytest.mark.parametrize(("target_kl", "epochs"), [(None, 5), (1e9, 5), (1e-9, 1)])
def test_the_kl_bound_stops_the_epochs(world, target_kl, epochs):
    metrics = make_asae(world, epochs=5, target_kl=target_kl, lr=0.01).train(world.some_batch(), t_env=0)
    assert metrics["epochs"] == epochs


@pytest.mark.parametrize("marginal", ["mc", "exact"])
def test_what_one_iteration_logs(world, marginal):
    learner, batch = make_asae(world, n_samples=4, marginal=marginal, lr=0.05, epochs=2), world.some_batch()
    before = iteration(learner, batch).log_pi[:, :-1]
    metrics = {key: float(value) for key, value in learner.train(batch, t_env=0).items()}
    after = iteration(learner, batch).log_pi[:, :-1]
    kl = (after.exp() * (after - before)).sum(-1)[batch.mask].mean(0)  # KL[pi_{i+1}, pi_i] of every agent
    assert [metrics["kl_agent_0"], metrics["kl_agent_1"]] == pytest.approx(kl.tolist(), rel=1e-3)
    assert metrics["kl_mean"] == pytest.approx(kl.mean().item(), rel=1e-3)
    assert metrics["kl_partners"] == pytest.approx(kl.sum().item() / 2, rel=1e-3)  # one partner each
    assert min(kl) > 0
    assert 0 < metrics["entropy"] < 1.1
    assert 0 <= metrics["clip_fraction"] <= 1
    assert metrics["advantage_abs"] > 0
    assert (float(metrics["marginal_standard_error"]) > 0) == (marginal == "mc")
    assert {"critic_loss", "critic_grad_norm", "td_error_abs", "q_taken_mean", "target_mean", "pg_loss",
            "agent_grad_norm", "advantage_mean", "pi_max"} <= metrics.keys()  # fmt: skip


def test_the_sum_over_partners_is_over_the_others(world):
    """Eq. 14 with three agents: an agent has two partners."""
    learner = make_asae(world)
    batch = world.some_batch(masked=False)
    it = iteration(learner, batch)
    three = replace(it, log_pi=it.log_pi[:, :, [0, 1, 1]])
    shifted = it.log_pi[:, :, [1, 0, 0]].log_softmax(-1)
    learner.controller.log_policy = lambda batch, *, t_env: shifted
    metrics = learner.after(three, t_env=0)
    per_agent = [float(metrics[f"kl_agent_{a}"]) for a in range(3)]
    sums = [sum(per_agent) - own for own in per_agent]
    assert float(metrics["kl_partners"]) == pytest.approx(sum(sums) / 3)


@pytest.mark.parametrize("certainty", [1.0, 100.0])
def test_standardised_advantages_have_mean_square_one_over_the_available_actions(world, certainty):
    """However certain the policy is: weighted by it, the mean square would vanish with it and what is left be noise."""
    learner, batch = make_asae(world, standardise_advantages=True, n_samples=3), world.some_batch()
    it = iteration(learner, batch)
    it = replace(it, log_pi=masked_log_softmax(certainty * it.log_pi, batch.available))
    advantages = learner.credit(it, None)[0].detach()
    available = batch.available[:, :-1]
    decisions = itertools.product(*map(range, batch.actions.shape))
    squares = [(advantages[d][available[d]] ** 2).mean() for d in decisions if batch.mask[d[:2]]]
    assert float(torch.stack(squares).mean()) == pytest.approx(1.0, rel=1e-4)


def test_too_many_joint_actions_are_refused(world):
    with pytest.raises(UserError, match="exact_limit"):
        make_asae(world, marginal="exact", exact_limit=2)
    with pytest.raises(UserError, match=r"3486784401 .*: use marginal=mc\.$"):  # nothing that a limit makes possible
        make_asae(world, spec=replace(world.spec, n_agents=21), marginal="exact")
    with pytest.raises(UserError, match=r"3486784401 .* the 100,000 that are worth trying: use marginal=mc\.$"):
        make_asae(world, spec=replace(world.spec, n_agents=21), marginal="exact", exact_limit=10**12)
    make_asae(world, marginal="exact", exact_limit=3)


def test_an_enumeration_that_fills_the_memory_is_refused(world, monkeypatch):
    """Each of its tensors may fit, so that nothing but the system's force would end it."""
    batch = world.some_batch()
    learner = make_asae(world, marginal="exact")
    per_row = 4 * world.A * world.U ** (world.A - 1) * (2 * learner.settings.critic_hidden_dim + world.U)
    monkeypatch.setattr("learners.asae_learner.machine_memory", lambda: per_row * batch.mask.numel())
    learner.credit(iteration(learner, batch), None)
    monkeypatch.setattr("learners.asae_learner.machine_memory", lambda: per_row * batch.mask.numel() - 1)
    learner = make_asae(world, marginal="exact")
    with pytest.raises(UserError, match=r"marginal=exact takes about .* use marginal=mc, or lower batch_size_run"):
        learner.credit(iteration(learner, batch), None)


def test_asae_needs_its_controller(world):
    controller = BasicController(world.spec, ControllerSettings(), generators=world.generators())
    with pytest.raises(UserError, match="asae_mac"):
        ASAELearner(world.spec, ASAESettings(learner="asae_learner"), controller)


def test_individual_rewards_are_refused(world):
    controller = BasicController(world.spec, ControllerSettings(), generators=world.generators())
    with pytest.raises(UserError, match="one team reward"):
        COMALearner(world.spec, CounterfactualSettings(learner="coma_learner"), controller, reward_dim=2)


@pytest.mark.parametrize("last_action", [True, False])
@pytest.mark.parametrize("individual_obs", [True, False])
def test_what_the_critic_sees(world, last_action, individual_obs):
    learner = make_coma(world, critic_last_action=last_action, obs_individual_obs=individual_obs)
    batch = world.some_batch()
    it = iteration(learner, batch)
    own = batch.obs if individual_obs else batch.obs[..., :0]  # the networks know the agents' numbers
    assert torch.equal(it.inputs.own, own)
    assert torch.equal(it.inputs.shared[..., : world.S], batch.state)
    if last_action:
        last = it.inputs.shared[..., world.S :].view(4, 4, world.A, world.U)
        assert (last[:, 0] == 0).all()
        assert torch.equal(last[:, 1:], torch.nn.functional.one_hot(batch.actions, world.U).float())
    else:
        assert it.inputs.shared.shape[-1] == world.S
