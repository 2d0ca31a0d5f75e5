"""HAPPO: one agent after another, each against what the others have become; tables for networks."""

from dataclasses import replace

import pytest
import torch

from controllers.policy import Policy
from core.errors import UserError
from estimators.masked import masked_mean
from learners.happo_learner import HAPPOLearner
from learners.ppo_learner import PPOLearner
from sequential_tools import CLIMBING, climbing, every_joint_action, make, per_action, tabular, value_of


def iteration(learner, batch):
    with torch.no_grad():
        return learner.freeze(batch, learner.controller.log_policy(batch, t_env=0))


def recorded(learner, turn=None):
    """Let the learner keep what every turn is given: a list of (group, advantages)."""
    seen, real = [], turn or learner.turn

    def spy(it, advantages, *, t_env):
        seen.append((it.group, advantages.clone()))
        return real(it, advantages, t_env=t_env)

    learner.turn = spy
    return seen


def weights(learner):
    return [[p.detach().clone() for p in net.parameters()] for net in learner.controller.agents.nets]


def test_the_second_agent_sees_what_the_first_has_become(world):
    """Climbing, both uniform, the first moves to (.6, .2, .2): the mean of M A is what that gained."""
    learner, batch = climbing(world, HAPPOLearner)

    def turn(it, advantages, *, t_env):
        if it.group == 0:
            learner.controller.agents.nets[0].values.data[:, 0] = torch.tensor([0.6, 0.2, 0.2]).log()
        return {"moved": 1.0}

    before, seen = value_of(CLIMBING, learner), recorded(learner, turn)
    learner.train(batch, t_env=0)
    (first_group, first), (second_group, second) = seen
    assert (first_group, second_group) == (0, 1)
    torch.testing.assert_close(first.flatten(), batch.rewards.flatten() - before)
    expected = torch.tensor([4.0444, -11.9556, 4.4444])
    torch.testing.assert_close(per_action(second, batch, 1), expected, atol=1e-4, rtol=0)
    assert second.mean().item() == pytest.approx(-1.1556, abs=1e-4)
    assert second.mean().item() == pytest.approx(value_of(CLIMBING, learner) - before, abs=1e-5)


@pytest.mark.parametrize(("size", "at_once", "in_turn"), [(0.3, -0.0025, 0.0275), (0.5, -0.0625, 0.1875)])
def test_agents_that_move_in_turn_do_not_pull_apart(world, size, at_once, in_turn):
    """r = a1 a2 with actions -1 and 1 and means (-.25, .25), each mean moves by ``size`` up its gradient.

    At once they get -(size - .25)^2, in turn size^2 - .0625, as the second sees where the first has gone.
    """
    payoff, chance = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), torch.tensor([[0.625, 0.375], [0.375, 0.625]])
    copies = (64 * chance[0].unsqueeze(1) * chance[1]).int().tolist()  # as often as under the policies
    batch, results = every_joint_action(world, payoff, copies), []
    logits = torch.full((world.S, 2, 3), -1e9)
    logits[..., :2] = chance.log()
    for sequential in (False, True):
        learner = tabular(world, make(world), logits)
        learner.order = lambda: [0, 1]

        def turn(it, advantages, *, t_env, learner=learner, sequential=sequential):
            advantages = advantages if sequential else batch.rewards
            table = learner.controller.agents.nets[it.group].values
            gain = (it.ratio(learner.log_policy(it, t_env=t_env)[:, :-1]) * advantages).mean()
            (gradient,) = torch.autograd.grad(gain, table)
            mean = 2 * chance[it.group, 1] - 1 + size * gradient[0, 0, 1].sign()
            table.data[:, 0, :2] = torch.stack([1 - mean, 1 + mean]).div(2).log()
            return {"moved": 1.0}

        learner.turn = turn
        learner.train(batch, t_env=0)
        results.append(value_of(payoff, learner))
    assert results == pytest.approx([at_once, in_turn], abs=1e-5)


def test_the_factor_is_unclipped_and_taken_after_the_last_epoch(world):
    learner = make(world, epochs=4, eps_clip=0.01, lr=0.05, standardise_advantages=True)
    batch = world.some_batch()
    it, seen = iteration(learner, batch), recorded(learner)
    credit, _ = learner.credit(it, None)
    learner.order = lambda: [1, 0]
    learner.train(batch, t_env=0)
    ratio = it.ratio(learner.controller.log_policy(batch, t_env=0)[:, :-1].detach())
    assert ((ratio[..., 1] - 1).abs()[batch.mask] > 0.02).any()
    torch.testing.assert_close(seen[0][1], credit[..., 1:])
    expected = ratio[..., 1:] * credit[..., :1]
    torch.testing.assert_close(seen[1][1][batch.mask], expected[batch.mask])
    assert torch.equal(seen[1][1][~batch.mask], credit[..., :1][~batch.mask])


def test_agents_that_do_not_move_leave_the_factor_at_one(world):
    learner, batch = make(world, epochs=2, standardise_advantages=True), world.some_batch()
    for optimizer in learner.actor_optimizer.groups:
        optimizer._optimizer.param_groups[0]["lr"] = 0.0
    credit, _ = learner.credit(iteration(learner, batch), None)
    seen = recorded(learner)
    metrics = learner.train(batch, t_env=0)
    assert all(torch.equal(advantages, credit[..., group : group + 1]) for group, advantages in seen)
    assert float(metrics["factor_change"]) == 0
    assert len(seen) == 2


def test_agents_of_one_network_move_at_once_and_all_count(world):
    spec = replace(world.spec, n_agents=3)
    batch = world.some_batch().of_agents(torch.tensor([0, 1, 0]))
    batch.actions[..., 2] = batch.available[:, :-1, 2].int().argmax(-1)  # others than agent 0's
    learner = make(world, spec=spec, sharing=(0, 1, 0), epochs=3, lr=0.05)
    it, seen = iteration(learner, batch), recorded(learner)
    credit, _ = learner.credit(it, None)
    learner.order = lambda: [0, 1]
    learner.train(batch, t_env=0)
    assert [advantages.shape[-1] for _, advantages in seen] == [2, 1]
    ratio = it.ratio(learner.controller.log_policy(batch, t_env=0)[:, :-1].detach())
    expected = (ratio[..., 0] * ratio[..., 2] * credit[..., 1])[batch.mask]
    torch.testing.assert_close(seen[1][1].squeeze(-1)[batch.mask], expected)


@pytest.mark.parametrize("active_masks", [True, False])
def test_the_gradient_by_hand(world, active_masks):
    """At pi_i the loss's derivative by log pi(u) is -(M A) w / sum w."""
    learner, batch = make(world, active_masks=active_masks), world.some_batch()
    own = iteration(learner, batch).of_group(1, torch.tensor([1]))
    log_pi = own.log_pi[:, :-1].clone().requires_grad_()
    advantages = torch.randn(4, 3, 1, generator=torch.Generator().manual_seed(1))
    loss, _ = learner.objective(own, Policy.of(log_pi, own.batch.actions), advantages)
    masked_mean(loss, own.weights).backward()
    w = own.weights if active_masks else own.weights.unsqueeze(-1)
    executed = batch.actions[..., 1:].unsqueeze(-1)
    assert 0 < w.sum() < w.numel()
    torch.testing.assert_close(log_pi.grad.gather(-1, executed).squeeze(-1), -advantages * w / w.sum())


def test_one_agent_alone_is_ppo(world):
    spec, batch, found = replace(world.spec, n_agents=1), world.some_batch().of_agents(torch.tensor([0])), []
    settings = {"epochs": 3, "eps_clip": 0.2, "standardise_advantages": True, "value_norm": True, "entropy_coef": 0.1}
    for kind, sharing in ((HAPPOLearner, "none"), (PPOLearner, "full")):
        learner = make(world, kind, spec=spec, sharing=sharing, **settings)
        for _ in range(3):
            learner.train(batch, t_env=0)
        found.append([p.detach() for net in learner.networks().values() for p in net.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_nobody_else_moves_in_an_agents_turn(world):
    """Neither by the gradient, nor by the momentum of earlier iterations; the critic waits for all of them."""
    learner, batch, log = make(world, epochs=2, lr=0.01), world.some_batch(), []
    real, fit = learner.turn, learner.critic.fit

    def turn(it, advantages, *, t_env):
        before = weights(learner)
        metrics = real(it, advantages, t_env=t_env)
        moved = [
            any(not torch.equal(a, b) for a, b in zip(*pair, strict=True))
            for pair in zip(before, weights(learner), strict=True)
        ]
        assert moved == [k == it.group for k in range(2)]
        log.append(it.group)
        return metrics

    learner.turn, learner.critic.fit = turn, lambda it: log.append("critic") or fit(it)
    orders = set()
    for _ in range(12):
        learner.train(batch, t_env=0)
        orders.add(tuple(log))
        log.clear()
    assert orders == {(0, 1, "critic"), (1, 0, "critic")}


def test_gradients_are_clipped_agent_by_agent(world):
    """Clipping over all agents would shrink one agent's step for the size of another's gradient."""
    batch, found = world.some_batch(), []
    for factor in (1.0, 1e3):
        learner = make(world, grad_norm_clip=0.1, epochs=1)
        learner.order = lambda: [0, 1]
        real = learner.turn
        learner.turn = lambda it, a, *, t_env, real=real, f=factor: real(it, a * f if it.group else a, t_env=t_env)
        learner.train(batch, t_env=0)
        found.append([p.grad.clone() for p in learner.controller.agents.nets[0].parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    norm = torch.cat([p.grad.flatten() for p in learner.controller.agents.nets[1].parameters()]).norm()
    assert norm.item() == pytest.approx(0.1, rel=1e-4)


def test_a_teams_value_is_one_for_all_agents(world):
    learner = make(world, critic_agent_id=False)
    assert len(learner.critic.net.nets) == 1
    values = iteration(learner, world.some_batch()).estimates.values
    assert torch.equal(values[..., 0], values[..., 1])
    assert torch.equal(learner.critic.inputs(world.some_batch())[:, :, 1], world.some_batch().state)


@pytest.mark.parametrize("sharing", ["full", (0, 0)])
def test_one_network_for_all_is_refused(world, sharing):
    with pytest.raises(
        UserError, match=r"parameter_sharing=(full|\[0, 0\]) gives all 2 one network.*none, .* \[0, 1\]"
    ):
        make(world, sharing=sharing)


def test_individual_rewards_are_refused(world):
    with pytest.raises(UserError, match="happo_learner learns from one team reward"):
        make(world, spec=world.individual, reward_dim=2)
