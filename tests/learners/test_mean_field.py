"""Mean field Q-learning and actor-critic against loops over episodes."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from components.action_selectors import boltzmann
from controllers.basic_controller import BasicController, ControllerSettings
from controllers.mean_field_controller import MeanFieldController, MeanFieldControllerSettings
from core.errors import UserError
from learners.mf_ac_learner import MFACLearner, MFACSettings
from learners.mf_q_learner import MFQLearner, MFQSettings

TEMPERATURES = {"temperature_start": 2.0, "temperature_finish": 0.5, "temperature_anneal_time": 100}


class MeanTable(nn.Module):
    """Values of every agent's actions in every state beside the mean action: state part [S, A, U], mean part [U, U]."""

    def __init__(self, values, mean):
        super().__init__()
        self.values, self.mean = nn.Parameter(values.clone()), nn.Parameter(mean.clone())

    def forward(self, x, packing=None, sizes=None):
        size = len(self.values)
        by_state = torch.einsum("btas,sau->btau", x[..., :size], self.values)
        return by_state + x[..., -len(self.mean) :] @ self.mean


def make_q(world, *, individual=False, seed=0, **more):
    torch.manual_seed(seed)
    spec = world.individual if individual else world.spec
    settings = MeanFieldControllerSettings(obs_agent_id=False, use_rnn=False, **TEMPERATURES)
    controller = MeanFieldController(spec, settings, generators=world.generators())
    tables = [(torch.randn(world.S, world.A, world.U), torch.randn(world.U, world.U)) for _ in range(2)]
    controller.agents = MeanTable(*tables[0])
    settings = MFQSettings(
        learner="mf_q_learner", standardise_rewards=False, grad_norm_clip=1e9, bound_targets=False,
        **{"gamma": world.GAMMA, **more},
    )  # fmt: skip
    learner = MFQLearner(spec, settings, controller, reward_dim=world.A if individual else 1)
    with torch.no_grad():
        for parameter, values in zip(learner.target.net["agents"].parameters(), tables[1], strict=True):
            parameter.copy_(values)
    return learner, [table.clone().requires_grad_() for table in tables[0]], tables[1]


def mean_before(world, batch, b, t, agent):
    """With two agents: the other's last action, if it lives; zeros at the start."""
    other = 1 - agent
    mean = torch.zeros(world.U)
    if t > 0 and batch.available[b, t, other].sum() > 1:
        mean[batch.actions[b, t - 1, other]] = 1
    return mean


def q_by_hand(world, batch, tables, b, t, agent):
    """[U]."""
    values, mean = tables
    return values[batch.state[b, t].argmax(), agent] + mean_before(world, batch, b, t, agent) @ mean


def expected(q, available, temperature):
    pi = (q / temperature).masked_fill(~available, -torch.inf).softmax(-1)
    return (pi * q.masked_fill(~available, 0)).sum()


@pytest.mark.parametrize(("t_env", "temperature"), [(0, 2.0), (50, 1.25), (1000, 0.5)])
@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_targets_and_gradient_of_mf_q_equal_a_loop(world, individual, seed, t_env, temperature):
    learner, online, lagging = make_q(world, individual=individual, seed=seed)
    batch = world.some_batch(seed=seed, reward_dim=world.A if individual else 1)
    errors, targets = [], []
    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            for a in range(world.A):
                value = expected(
                    q_by_hand(world, batch, lagging, b, t + 1, a), batch.available[b, t + 1, a], temperature
                )
                reward = batch.rewards[b, t, a if individual else 0]
                targets.append(reward + (0.0 if batch.terminated[b, t] else world.GAMMA) * value)
                taken = q_by_hand(world, batch, online, b, t, a)[batch.actions[b, t, a]]
                errors.append((taken - targets[-1]) ** 2)
    torch.stack(errors).mean().backward()
    metrics = learner.train(batch, t_env=t_env)
    torch.testing.assert_close(metrics["loss"], torch.stack(errors).mean().detach())
    torch.testing.assert_close(metrics["target_mean"](), torch.stack(targets).mean())
    for parameter, table in zip(learner.controller.agents.parameters(), online, strict=True):
        torch.testing.assert_close(parameter.grad, table.grad)


def target_of(world, q, available=(True, True, True), *, temperature, terminated=False, reward=0.0):
    """The target of one step whose following row has these lagging values."""
    learner, *_ = make_q(world)
    learner.controller.temperature = lambda t_env: temperature
    batch = world.batch([[0, 1]], [1], [terminated], masked=False)
    batch.rewards.fill_(reward)
    batch.available[:, 1] = torch.tensor(available)
    with torch.no_grad():
        learner.target.net["agents"].values[1], learner.target.net["agents"].mean[:] = torch.tensor(q), 0.0
    return float(learner.train(batch, t_env=0)["target_mean"])


@pytest.mark.parametrize("key", ["temperature_start", "temperature_finish", "evaluation_temperature"])
def test_no_temperature_is_too_small_for_numbers(world, key):
    """The least that is allowed still gives a number where values are large."""
    with pytest.raises(ValidationError):
        MeanFieldControllerSettings(**{key: 1e-7})
    assert getattr(MeanFieldControllerSettings(**{key: 1e-6}), key) == 1e-6
    assert target_of(world, [1e9, 2e9, 3e9], temperature=1e-6) == pytest.approx(0.9 * 3e9)


def test_the_target_is_an_expectation_under_the_boltzmann_policy(world):
    """v of Q = (1, 2, 3) is 2.5752 at temperature 1; the greatest value as it falls to 0, the mean as it grows."""
    q = [1.0, 2.0, 3.0]
    for temperature, value in ((1.0, 2.5752), (1e-4, 3.0), (1e6, 2.0)):
        assert target_of(world, q, temperature=temperature) == pytest.approx(0.9 * value, abs=1e-4)
    assert target_of(world, q, (True, True, False), temperature=1e6) == pytest.approx(0.9 * 1.5, abs=1e-4)


def test_a_death_keeps_its_reward_and_what_follows(world):
    """The dead agent's one action is all that its next row has; the episode goes on, so it counts."""
    dead = (True, False, False)
    assert target_of(world, [5.0, 9.0, 9.0], dead, temperature=1.0, reward=2.0) == pytest.approx(2 + 0.9 * 5)
    assert target_of(world, [5.0, 9.0, 9.0], dead, temperature=1.0, reward=2.0, terminated=True) == pytest.approx(2)


def test_draws_follow_the_boltzmann_policy(world):
    q, available = torch.tensor([1.0, 2.0, 3.0]).expand(40_000, 1, 3), torch.ones(40_000, 1, 3, dtype=torch.bool)
    for temperature, pi in ((1.0, [0.0900, 0.2447, 0.6652]), (0.5, [0.0159, 0.1173, 0.8668])):
        draws = boltzmann(
            q, available, temperature=temperature, epsilon=0.0, generator=torch.Generator().manual_seed(0)
        )
        torch.testing.assert_close(draws.flatten().bincount() / 40_000, torch.tensor(pi), atol=0.01, rtol=0)
        learner, *_ = make_q(world)
        learner.controller.temperature = lambda t_env, temperature=temperature: temperature
        found = learner.controller.policy_of(q[0], available[0], 0).exp()
        torch.testing.assert_close(found, torch.tensor([pi]), atol=1e-4, rtol=0)


def test_mf_q_needs_its_controller(world):
    controller = BasicController(world.spec, ControllerSettings(), generators=world.generators())
    with pytest.raises(UserError, match="mac=mean_field_mac"):
        MFQLearner(world.spec, MFQSettings(learner="mf_q_learner"), controller)


# -- actor-critic ----------------------------------------------------------------------------------------------------


def make_ac(world, *, individual=False, seed=0, **more):
    torch.manual_seed(seed)
    spec = world.individual if individual else world.spec
    controller = BasicController(
        spec, ControllerSettings(obs_agent_id=False, use_rnn=False), generators=world.generators()
    )
    controller.agents = world.Table(torch.randn(world.S, world.A, world.U))
    settings = MFACSettings(
        learner="mf_ac_learner", standardise_rewards=False, grad_norm_clip=1e9, surrogate="policy_gradient", epochs=1,
        entropy_coef=0.0, critic_input="obs", critic_agent_id=False, target_critic=True, returns="n_step", q_nstep=1,
        **{"gamma": world.GAMMA, **more},
    )  # fmt: skip
    learner = MFACLearner(spec, settings, controller, reward_dim=world.A if individual else 1)
    tables = [(torch.randn(world.S, world.A, world.U), torch.randn(world.U, world.U)) for _ in range(2)]
    learner.critic.net = MeanTable(*tables[0])
    learner.critic.target.net = MeanTable(*tables[1])
    learner.critic.optimizer = learner.make_optimizer(list(learner.critic.net.parameters()), 1e-3)
    return learner, tables


@pytest.mark.parametrize("advantage", ["critic", "returns"])
@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_critic_and_actors_of_mf_ac_equal_a_loop(world, individual, advantage, seed):
    """(9) and (10) for the critic, grad log pi (Q - V) for the actors."""
    learner, (online, lagging) = make_ac(world, individual=individual, advantage=advantage, seed=seed)
    actors = learner.controller.agents.values.detach().clone().requires_grad_()
    tables = [table.clone().requires_grad_() for table in online]
    batch = world.some_batch(seed=seed, reward_dim=world.A if individual else 1)
    critic, policy = [], []
    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            for a in range(world.A):

                def log_pi(t, a=a, b=b):
                    logits = actors[batch.state[b, t].argmax(), a]
                    return logits.masked_fill(~batch.available[b, t, a], -torch.inf).log_softmax(-1)

                pi = [log_pi(k).exp().detach() for k in (t, t + 1)]
                following = (pi[1] * q_by_hand(world, batch, lagging, b, t + 1, a)).sum()
                reward = batch.rewards[b, t, a if individual else 0]
                target = reward + (0.0 if batch.terminated[b, t] else world.GAMMA) * following
                q, u = q_by_hand(world, batch, tables, b, t, a), batch.actions[b, t, a]
                critic.append((q[u] - target) ** 2)
                value = (pi[0] * q).sum()
                gain = ((q[u] if advantage == "critic" else target) - value).detach()
                policy.append(-gain * log_pi(t)[u])
    torch.stack(policy).mean().backward()
    torch.stack(critic).mean().backward()
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["critic_loss"], torch.stack(critic).mean().detach())
    torch.testing.assert_close(metrics["pg_loss"], torch.stack(policy).mean().detach())
    torch.testing.assert_close(learner.controller.agents.values.grad, actors.grad)
    for parameter, table in zip(learner.critic.net.parameters(), tables, strict=True):
        torch.testing.assert_close(parameter.grad, table.grad)


def test_with_death_masking_a_dead_agents_critic_does_not_see_what_its_neighbours_did(world):
    batch = world.some_batch(masked=False)
    batch.available[:, :, 1] = torch.tensor([True, False, False])
    for masking, seen in ((False, True), (True, False)):
        learner, _ = make_ac(world, death_masking=masking)
        means = learner.critic.inputs(batch).seen[..., -world.U :]
        assert bool(means[:, :, 1].any()) == seen
        assert not means[:, :, 0].any()  # its only neighbour is dead
    batch.available[:] = True
    assert make_ac(world, death_masking=True)[0].critic.inputs(batch).seen[:, 1:, :, -world.U :].any(-1).all()


def test_the_actors_of_mf_ac_do_not_see_the_mean_action(world):
    learner, _ = make_ac(world)
    batch = world.some_batch()
    before = learner.controller.log_policy(batch, t_env=0)
    batch.actions[:] = (batch.actions + 1) % world.U
    assert torch.equal(learner.controller.log_policy(batch, t_env=0), before)
