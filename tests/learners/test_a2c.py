"""Worked numbers and invariances of IA2C, MAA2C and MAPPO: whole updates, tables or small networks."""

from dataclasses import replace

import pytest
import torch

from components.target import Target
from learners.ppo_learner import PPOLearner
from modules.sharing import Grouped
from sequential_tools import climbing, make

A2C = {"surrogate": "policy_gradient", "epochs": 1}
INF = 1000


def parameters(learner):
    return [p for net in learner.networks().values() for p in net.parameters()]


def trained(learner, batch, n=1):
    """The gradients of the last update."""
    for _ in range(n):
        learner.train(batch, t_env=0)
    return [p.grad.clone() for p in parameters(learner)]


def values_of(learner, table):
    """A critic that is a table: [S]."""
    learner.critic.raw = lambda net, inputs, real: (inputs[..., : len(table)] * table).sum(-1)
    return learner


def unending(world):
    """Episodes that are all cut, none ends."""
    return world.batch([[0, 1, 2, 4], [1, 0, 3], [2, 4]], [3, 2, 1], [False] * 3)


@pytest.mark.parametrize("seen", ["obs", "state"])
def test_the_gradient_of_climbing(world, seen):
    """Both uniform, V exact: on average over the nine joint actions IA2C and MAA2C are one."""
    learner, batch = climbing(world, PPOLearner, critic_input=seen, **A2C)
    learner.train(batch, t_env=0)
    found = -2 * learner.controller.agents.nets[0].values.grad[0, 0]  # of the sum over agents, uphill
    torch.testing.assert_close(found, torch.tensor([-0.9630, -1.4074, 2.3704]), atol=1e-4, rtol=0)


def test_a_reward_of_one_for_ever_is_worth_ten(world):
    settings = {"target_critic": True, "q_nstep": 2, "critic_input": "state"}
    learner = make(world, PPOLearner, critic_agent_id=False, **settings, **A2C)
    learner.critic.net = Grouped(lambda agents: torch.nn.Linear(world.S, 1, bias=False), [[0, 1]])
    learner.critic.target = Target(learner.critic.net, 0.5)
    learner.critic.optimizer = learner.make_optimizer(list(learner.critic.net.parameters()), 0.3)
    batch = world.batch([[0, 1, 0], [1, 0, 1]], [2, 2], [False, False])
    batch = replace(batch, rewards=torch.ones(2, 2, 1))
    for _ in range(150):
        it = learner.freeze(batch, torch.zeros(2, 3, 2, 3))
        learner.critic.fit(it)
    torch.testing.assert_close(it.estimates.values, torch.full((2, 2, 2), 10.0), atol=0.1, rtol=0)
    assert learner.credit(it, None)[0].abs().max() < 0.1


@pytest.mark.parametrize("returns", ["n_step", "td_lambda"])
def test_more_reward_at_every_step_changes_nothing_where_nothing_ends(world, returns):
    """r + c and V + c / (1 - gamma)."""
    batch, table, found = unending(world), torch.randn(world.S), []
    for c in (0.0, 3.0):
        learner = values_of(make(world, PPOLearner, returns=returns, q_nstep=2, **A2C), table + c / 0.1)
        it = learner.freeze(replace(batch, rewards=batch.rewards + c), torch.zeros(3, 4, 2, 3))
        found.append(learner.credit(it, None)[0][batch.mask])
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_an_agents_gradient_knows_nothing_of_anothers_policy(world):
    batch, found = world.some_batch(), []
    for other in (False, True):
        learner = make(world, PPOLearner, entropy_coef=0.1, **A2C)
        learner.controller.agents.nets[1].fc2.bias.data += 2 * other
        trained(learner, batch)
        found.append([[p.grad.clone() for p in net.parameters()] for net in learner.controller.agents.nets])
    equal = [all(torch.equal(*pair) for pair in zip(*two, strict=True)) for two in zip(*found, strict=True)]
    assert equal == [True, False]


def test_one_epoch_with_lambda_one_is_a2c_with_whole_returns(world):
    batch, found = world.some_batch(), []
    for form in ({"surrogate": "ppo", "epochs": 1, "returns": "td_lambda", "td_lambda": 1.0},
                 {**A2C, "returns": "n_step", "q_nstep": INF}):  # fmt: skip
        found.append(trained(make(world, PPOLearner, sharing="full", **form), batch))
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-4)
        assert first.abs().sum() > 0


def test_normalised_values_are_the_same_for_rewards_ten_times_as_large(world):
    """While statistics settle, too, as the head says 0 at the start."""
    batch, found = world.some_batch(), []
    for scale in (1.0, 10.0):
        learner = make(world, PPOLearner, value_norm=True, value_clip=0.2, huber_delta=1.0, returns="td_lambda")
        for net in learner.critic.net.nets:
            torch.nn.init.zeros_(net.fc2.weight)
            torch.nn.init.zeros_(net.fc2.bias)
        scaled = replace(batch, rewards=scale * batch.rewards)
        for _ in range(5):
            it = learner.freeze(scaled, torch.zeros(4, 4, 2, 3))
            learner.critic.fit(it)
        found.append((it.estimates.said[batch.mask].detach(), it.estimates.values[batch.mask].detach() / scale))
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-3)
        assert first.abs().sum() > 0


def team_with_dead(world, n_dead, **settings):
    """One agent that lives beside others that have only action 0, and the learner of their network."""
    batch = world.some_batch(masked=False)
    batch.available[:, :, 1] = torch.tensor([True, False, False])
    batch.actions[..., 1] = 0
    shared = {"sharing": "full", "critic_agent_id": False, "active_masks": True, "value_active_masks": True}
    learner = make(
        world, PPOLearner, spec=replace(world.spec, n_agents=1 + n_dead), entropy_coef=0.1, **shared, **settings
    )
    return learner, batch.of_agents(torch.tensor([0] + [1] * n_dead))


@pytest.mark.parametrize("death_masking", [True, False])
def test_more_dead_agents_move_nothing(world, death_masking):
    """Neither numerators nor denominators: of the losses, the advantages' moments, the targets' statistics."""
    settings = {"value_norm": True, "standardise_advantages": True, "returns": "td_lambda", "epochs": 2}
    found = [
        trained(*team_with_dead(world, n_dead, death_masking=death_masking, critic_updates=2, **settings), 2)
        for n_dead in (1, 2, 4)
    ]
    for one, two, four in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-3)
        torch.testing.assert_close(one, four, atol=1e-6, rtol=1e-3)
        assert one.abs().sum() > 0


@pytest.mark.parametrize("active_masks", [True, False])
def test_where_all_are_dead_no_policy_moves(world, active_masks):
    batch = world.some_batch(masked=False)
    batch.available[:] = torch.tensor([True, False, False])
    batch.actions[:] = 0
    learner = make(world, PPOLearner, entropy_coef=0.1, active_masks=active_masks, standardise_advantages=True)
    learner.train(batch, t_env=0)
    assert all((p.grad == 0).all() for p in learner.controller.agents.parameters())
