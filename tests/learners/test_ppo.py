"""IA2C, MAA2C, IPPO and MAPPO against loops, closed forms and each other; tables for networks."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from controllers.basic_controller import BasicController, ControllerSettings
from core.errors import UserError
from learners.ppo_learner import PPOLearner, PPOSettings

BASE = {"gamma": 0.9, "standardise_rewards": False, "grad_norm_clip": 1e9, "entropy_coef": 0.0, "critic_input": "state"}
A2C = {"surrogate": "policy_gradient", "epochs": 1}


class ValueTable(nn.Module):
    """V of every agent in every state: [S, A]."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, inputs, packing=None):  # [B, T, A, S + A], state first
        return torch.einsum("btas,sa->bta", inputs[..., : len(self.values)], self.values).unsqueeze(-1)


def make(world, *, seed=0, sharing="full", reward_dim=1, learner=PPOLearner, **settings):
    torch.manual_seed(seed)
    acting = ControllerSettings(obs_agent_id=False, use_rnn=False, parameter_sharing=sharing)
    spec = world.spec if reward_dim == 1 else world.individual
    controller = BasicController(spec, acting, generators=world.generators())
    return learner(spec, PPOSettings(learner="ppo_learner", **{**BASE, **settings}), controller, reward_dim=reward_dim)


def tabular(world, learner, values=None, seed=5):
    """Give the learner tables for the actors and the critic."""
    torch.manual_seed(seed)
    learner.controller.agents = world.Table(torch.randn(world.S, world.A, world.U))
    critic = learner.critic
    critic.net = ValueTable(torch.randn(world.S, world.A) if values is None else values)
    critic.optimizer = learner.make_optimizer(list(critic.net.parameters()), 1e-3)
    learner.actor_optimizer = learner.make_optimizer(list(learner.controller.agents.parameters()), 1e-3)
    return learner


def iteration(learner, batch):
    with torch.no_grad():
        log_pi = learner.controller.log_policy(batch, t_env=0)
    return learner.freeze(batch, log_pi)


def gradients(learner, batch):
    learner.train(batch, t_env=0)
    return [parameter.grad.clone() for parameter in learner.controller.agents.parameters()]


def slow_gae(batch, values, b, a, lam):
    """By the recursion, from the end of episode b backwards."""
    length, following, out = int(batch.mask[b].sum()), 0.0, []
    for t in reversed(range(length)):
        d = 0.0 if batch.terminated[b, t] else 0.9
        s, after = batch.state[b, t].argmax(), batch.state[b, t + 1].argmax()
        following = float(batch.rewards[b, t, 0] + d * values[after, a] - values[s, a]) + 0.9 * lam * following * (
            t < length - 1
        )
        out.insert(0, following)
    return out


class Doubled(PPOLearner):
    """As somebody may extend it: with an objective of its own."""

    def objective(self, it, policy, advantages):
        loss, metrics = super().objective(it, policy, advantages)
        return 2 * loss, metrics | {"doubled": 1.0}


@pytest.mark.parametrize("settings", [A2C, {"epochs": 1}])
def test_an_objective_that_a_leaf_states_counts_more_than_a_surrogate_above_it(world, settings):
    batch, found = world.some_batch(), []
    for learner in (PPOLearner, Doubled):
        own = tabular(world, make(world, learner=learner, **settings))
        found.append((gradients(own, batch), own.train(batch, t_env=0)))
    (plain, told), (doubled, more) = found
    torch.testing.assert_close(doubled, [2 * one for one in plain])
    assert more.keys() - told.keys() == {"doubled"}


@pytest.mark.parametrize("lam", [0.0, 0.95, 1.0])
def test_advantages_are_gae(world, lam):
    learner, batch = tabular(world, make(world, returns="td_lambda", td_lambda=lam)), world.some_batch()
    got, values = learner.credit(iteration(learner, batch), None)[0], learner.critic.net.values.detach()
    for b, a in itertools.product(range(4), range(2)):
        expected = slow_gae(batch, values, b, a, lam)
        assert got[b, : len(expected), a].detach().tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("terminated", "advantages", "returns"), [(True, (-7.245, -19), (2.755, 1)), (False, (69.705, 71), (79.705, 91))]
)
def test_gae_by_hand(world, terminated, advantages, returns):
    """r = (1, 1), gamma .9, lambda .95, V = (10, 20, 100)."""
    values = torch.zeros(world.S, world.A)
    values[:3] = torch.tensor([[10.0], [20.0], [100.0]])
    learner = tabular(world, make(world, returns="td_lambda", td_lambda=0.95), values)
    batch = replace(world.batch([[0, 1, 2]], [2], [terminated]), rewards=torch.ones(1, 2, 1))
    it = iteration(learner, batch)
    assert it.estimates.returns[0, :, 0].tolist() == pytest.approx(returns)
    assert learner.credit(it, None)[0][0, :, 0].tolist() == pytest.approx(advantages)


def test_the_actor_gradient_equals_a_loop(world):
    learner, batch = tabular(world, make(world, returns="td_lambda", td_lambda=0.95, **A2C)), world.some_batch()
    logits, values = learner.controller.agents.values.detach().clone().requires_grad_(), learner.critic.net.values
    values, losses = values.detach().clone(), []
    for b, a in itertools.product(range(4), range(2)):
        for t, advantage in enumerate(slow_gae(batch, values, b, a, 0.95)):
            allowed, u = batch.available[b, t, a], batch.actions[b, t, a]
            log_pi = torch.log_softmax(logits[batch.state[b, t].argmax(), a].masked_fill(~allowed, -1e9), -1)
            losses.append(-advantage * log_pi[u])
    torch.stack(losses).mean().backward()
    torch.testing.assert_close(gradients(learner, batch)[0], logits.grad)


@pytest.mark.parametrize("standardise", [True, False])
def test_the_first_epoch_of_ppo_is_a2c(world, standardise):
    """The ratio is 1 throughout, so the clipped surrogate has the policy gradient."""
    batch, found = world.some_batch(), []
    for form in ({"surrogate": "ppo", "epochs": 1}, A2C):
        learner = tabular(world, make(world, standardise_advantages=standardise, **form))
        found.append(gradients(learner, batch)[0])
    torch.testing.assert_close(*found)
    assert found[0].abs().sum() > 0


def test_rewards_ten_times_as_large_leave_the_first_gradient_where_advantages_are_normalised(world):
    batch, found = world.some_batch(), []
    for scale in (1.0, 10.0):
        learner = tabular(world, make(world, standardise_advantages=True, **A2C), torch.zeros(world.S, world.A))
        found.append(gradients(learner, replace(batch, rewards=scale * batch.rewards))[0])
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_normalised_values_enter_returns_in_units_of_rewards(world):
    """V = sigma v + mu: with the moments of N(100, 10^2) the table's v counts as 100 + 10 v."""
    learner = tabular(world, make(world, value_norm=True, returns="td_lambda"))
    norm = learner.critic.norm
    norm.moments[:] = torch.tensor([[100.0], [100.0**2 + 10.0**2], [1.0]])
    values, batch = learner.critic.net.values.detach(), world.some_batch()
    estimates = iteration(learner, batch).estimates
    plain = tabular(world, make(world, returns="td_lambda"), 100 + 10 * values)
    expected = iteration(plain, batch).estimates
    for b in range(4):
        length = int(batch.mask[b].sum())
        torch.testing.assert_close(estimates.values[b, :length], expected.values[b, :length])
        torch.testing.assert_close(estimates.returns[b, :length], expected.returns[b, :length])


@pytest.mark.parametrize(
    "settings", [{}, {"value_norm": True}, {"huber_delta": 0.5}, {"value_clip": 0.1, "critic_updates": 3}], ids=str
)
def test_the_critic_comes_to_its_targets(world, settings):
    learner = tabular(world, make(world, returns="td_lambda", td_lambda=1.0, lr=0.05, critic_lr=0.05, **settings))
    learner.critic.optimizer = learner.make_optimizer(list(learner.critic.net.parameters()), 0.05)
    batch = world.batch([[0, 1, 2]], [2], [True], masked=False)
    for _ in range(300):
        learner.critic.fit(iteration(learner, batch))
    it = iteration(learner, batch)
    torch.testing.assert_close(it.estimates.values, it.estimates.returns, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("value_norm", [True, False])
def test_the_first_step_of_the_critic_is_not_clipped(world, value_norm):
    """V has not moved yet, whatever the statistics of the targets were before this batch."""
    batch, found = world.some_batch(), []
    batch = replace(batch, rewards=batch.rewards - 50)
    for clip in (None, 0.2):
        learner = make(world, value_norm=value_norm, value_clip=clip)
        learner.train(batch, t_env=0)
        found.append([parameter.grad for parameter in learner.critic.net.parameters()])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second)
        assert first.abs().sum() > 0


def test_padding_has_no_influence(world):
    settings = {"value_norm": True, "value_clip": 0.2, "huber_delta": 10.0, "standardise_advantages": True}
    batch, results = world.some_batch(), []
    padding = ~batch.mask
    for rubbish in (0.0, 1e3):
        learner = make(world, active_masks=True, returns="td_lambda", epochs=2, **settings)
        rewards = batch.rewards.masked_fill(padding.unsqueeze(-1), rubbish)
        learner.train(replace(batch, rewards=rewards), t_env=0)
        results.append(
            [p.detach().clone() for p in itertools.chain(*(n.parameters() for n in learner.networks().values()))]
        )
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("value_active_masks", [True, False])
def test_more_dead_agents_change_nothing(world, value_active_masks):
    """With active masks rows of agents with one action do not count, not even in the denominators."""
    batch = world.some_batch(masked=False)
    dead = batch.available.clone()
    dead[:, 1:, 1] = torch.tensor([True, False, False])  # agent 1 dies after its first step
    actions = batch.actions.clone()
    actions[:, 1:, 1] = 0
    batch = replace(batch, available=dead, actions=actions)
    settings = {"active_masks": True, "death_masking": True, "value_active_masks": value_active_masks}
    losses = []
    for factor in (1.0, 50.0):  # whatever the critic says of the dead
        values = torch.randn(world.S, world.A, generator=torch.Generator().manual_seed(1))
        learner = tabular(world, make(world, standardise_advantages=True, **settings, **A2C), values)
        it = iteration(learner, batch)
        returns = it.estimates.returns.clone()
        returns[:, 1:, 1] *= factor
        advantages, _ = learner.credit(replace(it, estimates=replace(it.estimates, returns=returns)), None)
        losses.append(advantages[it.active])
    torch.testing.assert_close(*losses)


def test_a_dead_agents_value_sees_its_number_alone(world):
    batch = world.some_batch(masked=False)
    batch.available[:, :, 1] = torch.tensor([True, False, False])
    learner = make(world, death_masking=True, critic_input="state_obs")
    inputs = learner.critic.inputs(batch)
    assert (inputs[:, :, 1, :-2] == 0).all()
    assert torch.equal(inputs[:, :, 1, -2:], torch.tensor([0.0, 1.0]).expand(4, 4, 2))
    assert torch.equal(inputs[:, :, 0, : world.S], batch.state)


def test_observation_and_state_are_one_where_they_are_equal(world):
    """IA2C and MAA2C, bit for bit."""
    batch, found = world.some_batch(), []
    for seen in ("obs", "state"):
        learner = make(world, critic_input=seen, **A2C)
        for _ in range(3):
            learner.train(batch, t_env=0)
        found.append([p.detach() for n in learner.networks().values() for p in n.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("value_norm", [True, False])
def test_equal_individual_rewards_are_the_teams(world, value_norm):
    batch, found = world.some_batch(), []
    for reward_dim in (1, 2):
        learner = make(world, reward_dim=reward_dim, value_norm=value_norm, sharing="none", standardise_advantages=True)
        rewards = batch.rewards.expand(-1, -1, reward_dim)
        found.append(gradients(learner, replace(batch, rewards=rewards)))
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second)


def test_individual_rewards_reach_their_agents_only(world):
    batch, found = world.some_batch(reward_dim=2), []
    for change in (0.0, 5.0):
        learner = make(world, reward_dim=2, sharing="none", **A2C)
        rewards = batch.rewards.clone()
        rewards[..., 1] += change
        found.append(gradients(learner, replace(batch, rewards=rewards)))
    n = len(found[0]) // 2
    assert all(torch.equal(*pair) for pair in zip(found[0][:n], found[1][:n], strict=True))
    assert not all(torch.equal(*pair) for pair in zip(found[0][n:], found[1][n:], strict=True))


def test_every_episode_is_in_one_minibatch(world):
    learner, batch = make(world, num_mini_batch=3, epochs=2), world.some_batch()
    for _ in range(2):
        parts = [part.tolist() for part in learner.minibatches(4)]
        assert [len(part) for part in parts] == [2, 1, 1]
        assert sorted(itertools.chain(*parts)) == [0, 1, 2, 3]
    steps = []
    learner.actor_optimizer.step = lambda loss: steps.append(loss) or torch.zeros(())
    assert learner.train(batch, t_env=0)["epochs"] == 2
    assert len(steps) == 6


def test_minibatches_move_as_one_batch_to_first_order(world):
    """Episodes of equal length, a small step of plain gradient descent."""
    batch, moved = world.batch([[0, 1, 2], [1, 3, 2], [2, 0, 1], [3, 1, 0]], [2] * 4, [True] * 4), []
    for n, lr in ((1, 4e-4), (4, 1e-4)):
        learner = tabular(world, make(world, num_mini_batch=n, **A2C))
        table = learner.controller.agents.values
        before = table.detach().clone()
        learner.actor_optimizer._optimizer = torch.optim.SGD([table], lr=lr)
        learner.train(batch, t_env=0)
        moved.append((table.detach() - before) / 4e-4)
    torch.testing.assert_close(*moved, atol=2e-3, rtol=2e-2)


def test_more_minibatches_than_episodes_are_refused(world):
    with pytest.raises(UserError, match="num_mini_batch=5 is more than the 4 episodes"):
        make(world, num_mini_batch=5).train(world.some_batch(), t_env=0)


@pytest.mark.parametrize("standardise", [True, "scale"])
def test_normalising_twice_is_refused(world, standardise):
    with pytest.raises(UserError, match="value_norm=True and standardise_rewards"):
        make(world, value_norm=True, standardise_rewards=standardise)


def test_one_value_for_rewards_of_each_is_refused(world):
    with pytest.raises(UserError, match=r"one value for all agents.*common_reward=False.*critic_agent_id=true"):
        make(world, reward_dim=2, critic_agent_id=False)
    make(world, reward_dim=2, critic_agent_id=False, sharing="none")
    make(world, reward_dim=2, critic_agent_id=False, critic_input="obs")


def test_a_target_critic_lags_only_where_asked(world):
    assert make(world).targets() == {}
    learner = make(world, target_critic=True, target_update_interval_or_tau=0.5, lr=0.1)
    learner.train(world.some_batch(), t_env=0)
    online, lagging = learner.critic.net.state_dict(), learner.targets()["critic"].net.state_dict()
    assert any(not torch.equal(online[key], lagging[key]) for key in online)
