"""DOP: its critic against loops, its credit against COMA's and ASAE's, and what the paper says of linear critics."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from controllers.basic_controller import BasicController, ControllerSettings
from core.data import TeamSpec
from core.errors import UserError
from counterfactual_tools import iteration
from estimators.credit import exact_marginal, joint_actions_of_partners, marginal, partner_probabilities
from learners.counterfactual import CounterfactualLearner
from learners.critics.part import JointInputs
from learners.dop_learner import DOPLearner, DOPSettings
from modules.critics.linear_critic import LinearValues, Weights

CLIMBING = torch.tensor([[11.0, -30.0, 0.0], [-30.0, 7.0, 0.0], [0.0, 6.0, 5.0]])
BASE = {"gamma": 0.9, "standardise_rewards": False, "grad_norm_clip": 1e9, "entropy_coef": 0.03, "returns": "td_lambda"}


class Tables(nn.Module):
    """Utilities [S, A, U], weights [S, A] and biases [S] of states that are one-hot."""

    def __init__(self, values, weights, bias):
        super().__init__()
        self.values, self.weights, self.bias = (nn.Parameter(x.clone()) for x in (values, weights, bias))

    def forward(self, own, shared, packing=None):
        s = shared.argmax(-1)
        return LinearValues(q=self.values[s], k=self.weights[s], b=self.bias[s].unsqueeze(-1))

    def joint(self, s, u):
        """Q_tot of one state and joint action, term by term."""
        return sum(self.weights[s, a] * self.values[s, a, x] for a, x in enumerate(u)) + self.bias[s]

    def mean(self, s, pi):
        """Its mean under policies [A, U], over all joint actions."""
        joint = itertools.product(range(pi.shape[1]), repeat=len(pi))
        return sum(torch.stack([pi[a, x] for a, x in enumerate(u)]).prod() * self.joint(s, u) for u in joint)


def make(world, *, spec=None, seed=0, sharing="full", epsilon=0.0, reward_dim=1, **own):
    torch.manual_seed(seed)
    spec = spec or world.spec
    acting = ControllerSettings(
        obs_agent_id=False, use_rnn=False, parameter_sharing=sharing, epsilon_start=epsilon, epsilon_finish=epsilon
    )
    controller = BasicController(spec, acting, generators=world.generators())
    return DOPLearner(spec, DOPSettings(learner="dop_learner", **{**BASE, **own}), controller, reward_dim=reward_dim)


def tabular(world, learner, seed=5):
    """Give the learner tables for actors, critic and lagging critic."""
    torch.manual_seed(seed)
    s, a, u = world.S, learner.spec.n_agents, world.U
    tables = [Tables(torch.randn(s, a, u), torch.rand(s, a), torch.randn(s)) for _ in range(2)]
    learner.controller.agents = world.Table(torch.randn(s, a, u))
    learner.critic.net, learner.critic.target.online, learner.critic.target.net = tables[0], *tables
    learner.actor_optimizer = learner.make_optimizer(list(learner.controller.agents.parameters()), 1e-3)
    learner.critic.optimizer = learner.make_optimizer(list(tables[0].parameters()), 1e-3)
    return learner


def alone(world):
    return replace(world.spec, n_agents=1)


def of_one(batch):
    """The episodes of the first agent."""
    return batch.of_agents(torch.tensor([0]))


# -- credit ----------------------------------------------------------------------------------------------------------

THREE = TeamSpec(name="agents", n_agents=3, n_actions=4, obs_dim=3, state_dim=5, reward_dim=1)


def anywhere(seed, *, kind="floats", n_steps=2):
    """Inputs of three agents in random states, policies and available actions: all that credit takes."""
    g = torch.Generator().manual_seed(seed)
    shape = (2, n_steps, THREE.n_agents)
    eye = torch.eye(THREE.n_agents).expand(*shape, -1)
    own = torch.cat([torch.randn(*shape, THREE.obs_dim, generator=g), eye], -1)
    shared = torch.randn(*shape[:2], THREE.state_dim, generator=g)
    inputs = JointInputs(own=own, shared=shared, real=torch.ones(shape[:2], dtype=torch.bool))
    pi = torch.randn(*shape, THREE.n_actions, generator=g).softmax(-1)
    actions = torch.randint(0, THREE.n_actions, (*shape[:2], 7, THREE.n_agents), generator=g)
    return inputs, pi, actions


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    normalised=st.booleans(),
    bias=st.booleans(),
    sharing=st.sampled_from(["full", (0, 1, 0)]),
)
@torch.no_grad()
def test_credit_is_comas_and_asaes_for_every_sample_of_the_partners(world, seed, normalised, bias, sharing):
    """COMA's estimator beside any joint action, ASAE's over any samples, and its exact one, on Q_tot of this critic."""
    learner = make(world, spec=THREE, seed=seed, sharing=sharing, normalise_weights=normalised, state_bias=bias)
    inputs, pi, samples = anywhere(seed)
    result, beside = learner.evaluate(inputs, pi, pi.log(), samples[:, :, 0])
    for one in samples.unbind(2):
        comas, q = CounterfactualLearner.evaluate(learner, inputs, pi, pi.log(), one)
        torch.testing.assert_close(comas.advantage, result.advantage, rtol=1e-4, atol=1e-5)
        taken = q.gather(-1, one.unsqueeze(-1)).squeeze(-1)
        total = learner.critic.values(inputs).taken(one)
        torch.testing.assert_close(taken, total.expand_as(taken), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(beside, learner.critic.q(inputs, samples[:, :, :1])[..., 0, :])
    sampled = marginal(learner.critic.q(inputs, samples), pi)
    torch.testing.assert_close(sampled.advantage, result.advantage, rtol=1e-4, atol=1e-5)
    assert float(sampled.standard_error.max()) < 1e-5
    partners = joint_actions_of_partners(3, 4)  # [A, K, A]
    q = torch.stack(
        [learner.critic.q(inputs, rows.expand(2, 2, -1, -1))[:, :, a] for a, rows in enumerate(partners)], 2
    )
    exact = exact_marginal(q, partner_probabilities(pi, partners), pi)
    torch.testing.assert_close(exact.advantage, result.advantage, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(exact.value, result.value, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_credit_depends_on_the_own_action_alone(world):
    """Neither what the others did nor b changes it, and its mean under the policy is 0."""
    learner, batch = tabular(world, make(world)), world.some_batch()
    it = iteration(learner, batch)
    before = learner.advantages(it, None).advantage
    for agent in range(2):
        batch.actions[..., 1 - agent] = (batch.actions[..., 1 - agent] + 1) % 3
        torch.testing.assert_close(learner.advantages(it, None).advantage[..., agent, :], before[..., agent, :])
    learner.critic.net.bias += torch.randn(world.S)
    torch.testing.assert_close(learner.advantages(it, None).advantage, before)
    torch.testing.assert_close((it.log_pi[:, :-1].exp() * before).sum(-1), torch.zeros_like(before[..., 0]))


@pytest.mark.parametrize("size", [0.1, 3.0])
@torch.no_grad()
def test_agents_who_improve_by_their_own_advantages_improve_the_team(world, size):
    """E_pi' Q_tot - E_pi Q_tot = sum_i k_i sum_u (pi'_i - pi_i) Q_i, exactly, and above 0 for steps of any size."""
    learner = tabular(world, make(world))
    net, pi = learner.critic.net, torch.randn(world.S, world.A, world.U).softmax(-1)
    states = torch.eye(world.S).unsqueeze(0)
    inputs = JointInputs(own=states, shared=states, real=torch.ones(1, world.S, dtype=torch.bool))
    advantage = learner.evaluate(inputs, pi[None], pi[None].log(), torch.zeros(1, world.S, 2, dtype=torch.long))[
        0
    ].advantage[0]
    better = (pi.log() + size * advantage).softmax(-1)
    gains = (net.weights.unsqueeze(-1) * (better - pi) * net.values).sum((1, 2))
    for s in range(world.S):
        torch.testing.assert_close(net.mean(s, better[s]) - net.mean(s, pi[s]), gains[s])
        torch.testing.assert_close(learner.critic.values(inputs).expected(pi[None])[0, s, 0], net.mean(s, pi[s]))
    assert (gains > 0).all()


def climbing(world, counts):
    """Episodes of one step in state 0, every joint action as often as said: [3, 3]."""
    n = int(counts.sum())
    batch = world.batch([[0, 1]] * n, [1] * n, [True] * n, masked=False)
    joint = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat_interleave(counts.flatten(), 0)
    batch.actions[:, 0] = joint
    batch.rewards[:, 0, 0] = CLIMBING[joint[:, 0], joint[:, 1]]
    return batch


@pytest.mark.parametrize(
    ("counts", "credit", "kappa"),
    [
        (
            torch.outer(torch.tensor([5, 3, 2]), torch.tensor([1, 1, 3])),
            [[-1.36, -2.16, 6.64], [-1.06, -9.26, 3.44]],
            0.0,
        ),
        (torch.ones(3, 3, dtype=torch.long), [[-1.6, -2.9333, 8.4], [-1.5, -0.8333, 0.7778]], 1.0),
    ],
    ids=["new", "replayed"],
)
def test_what_a_linear_critic_makes_of_climbing(world, counts, credit, kappa):
    """On data of its own policies the least-squares fit's credit is the exact marginal advantage; on others it is not.

    That it is the least-squares fit is that its gradient is 0.
    """
    pi = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    learner, weights = tabular(world, make(world, kappa=kappa)), counts / counts.sum()
    rows = [weights.sum(1), weights.sum(0)]
    mean = (weights * CLIMBING).sum()
    fit = torch.stack([(weights * CLIMBING).sum(1 - a) / rows[a] - mean for a in range(2)])
    net = learner.critic.net
    with torch.no_grad():
        net.values[0] = fit / net.weights[0].unsqueeze(-1)
        net.bias[0] = mean
        learner.controller.agents.values[0] = pi.log()
    batch, there = climbing(world, torch.ones(3, 3, dtype=torch.long)), climbing(world, counts)
    new = iteration(learner, batch if kappa else there)
    it = replace(new, replayed=iteration(learner, there)) if kappa else new
    got = learner.advantages(new, None).advantage[0, 0]
    expected = fit - (pi * fit).sum(-1, keepdim=True)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got[0], torch.tensor(credit[0]), atol=1e-4, rtol=0)
    if not kappa:
        torch.testing.assert_close(got[1], torch.tensor(credit[1]), atol=1e-4, rtol=0)
        exact = CLIMBING @ pi[1] - pi[0] @ CLIMBING @ pi[1], pi[0] @ CLIMBING - pi[0] @ CLIMBING @ pi[1]
        torch.testing.assert_close(got, torch.stack(exact))
    learner.critic.fit(it)
    torch.testing.assert_close(net.values.grad, torch.zeros_like(net.values), atol=2e-5, rtol=0)


# -- the critic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("unit", [1, 255])
def test_weights_are_not_negative_and_add_up_to_one(normalised, unit):
    torch.manual_seed(1)
    net = Weights(6, 3, embed_dim=4, normalised=normalised, unit=unit)
    state = torch.randint(0, 256, (5, 4, 6), dtype=torch.uint8) if unit > 1 else 9 * torch.randn(5, 4, 6)
    k = net(state)
    assert k.shape == (5, 4, 3)
    assert (k >= 0).all()
    assert torch.allclose(k.sum(-1), torch.ones(5, 4)) == normalised
    k.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def errors_by_hand(learner, batch, log_pi, *, replayed):
    """(Q_tot - its target) of every real step, with gradient."""
    online, lagging, own, out = learner.critic.net, learner.critic.target.net, learner.settings, []
    for b in range(batch.n_episodes):
        length = int(batch.mask[b].sum())
        states, end = batch.state[b].argmax(-1), bool(batch.terminated[b, length - 1])
        joint = [[int(x) for x in row] for row in batch.actions[b]]
        means = [lagging.mean(states[t], log_pi[b, t].exp()) for t in range(length + 1)]
        taken = [lagging.joint(states[t], joint[t]) for t in range(length)]
        target = None
        for t in reversed(range(length)):
            last = t == length - 1
            if replayed:
                steps = range(t, min(t + own.tb_steps, length))
                target, weight = taken[t], 1.0
                for k in steps:
                    if k > t:
                        probs = [log_pi[b, k, a, x].exp() for a, x in enumerate(joint[k])]
                        weight = weight * 0.9 * own.tb_lambda * torch.stack(probs).prod()
                    over = end and k == length - 1
                    follows = 0.0 if over else 0.9 * means[k + 1]
                    target = target + weight * (batch.rewards[b, k, 0] + follows - taken[k])
            else:
                follows = (0.0 if end else means[t + 1]) if last else None
                if follows is None:
                    follows = (1 - own.td_lambda) * taken[t + 1] + own.td_lambda * target
                target = batch.rewards[b, t, 0] + 0.9 * follows
            out.append(online.joint(states[t], joint[t]) - torch.as_tensor(target).detach())
    return torch.stack(out)


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_critics_loss_and_gradient_equal_a_loop(world, epsilon, steps):
    """New episodes by TD(lambda), replayed ones by tree backup under the present policy, its exploration included."""
    learner = tabular(world, make(world, epsilon=epsilon, tb_steps=steps, kappa=0.7, td_lambda=0.8, tb_lambda=0.9))
    new, old = world.some_batch(), world.some_batch(seed=1)
    with torch.no_grad():
        log_pi = [learner.controller.log_policy(batch, t_env=0) for batch in (new, old)]
    errors = [
        errors_by_hand(learner, batch, lp, replayed=k == 1)
        for k, (batch, lp) in enumerate(zip((new, old), log_pi, strict=True))
    ]
    loss = 0.3 * errors[0].square().mean() + 0.7 * errors[1].square().mean()
    wanted = torch.autograd.grad(loss, list(learner.critic.net.parameters()))
    metrics = learner.train(new, t_env=0, replayed=old)
    torch.testing.assert_close(metrics["critic_loss"], loss.detach())
    torch.testing.assert_close(metrics["replayed_td_error_abs"](), errors[1].detach().abs().mean())
    for parameter, gradient in zip(learner.critic.net.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_new_episodes_count_alone_while_nothing_is_replayed(world):
    learners = [tabular(world, make(world, kappa=kappa)) for kappa in (0.9, 0.0)]
    given = [{}, {"replayed": world.some_batch(seed=1)}]
    for learner, more in zip(learners, given, strict=True):
        metrics = learner.train(world.some_batch(), t_env=0, **more)
        assert ("replayed_td_error_abs" in metrics) == bool(more)
    for one, other in zip(*(learner.critic.net.parameters() for learner in learners), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("agents", [1, 2])
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_the_actors_gradient_equals_a_loop(world, agents, epsilon):
    """sum_i k_i (Q_i(u_i) - E_pi Q_i) grad log pi_i(u_i); of one agent with k = 1, an ordinary actor-critic's."""
    learner = tabular(world, make(world, spec=alone(world) if agents == 1 else None, epsilon=epsilon))
    net, batch = learner.critic.net, world.some_batch()
    batch = of_one(batch) if agents == 1 else batch
    if agents == 1:
        with torch.no_grad():
            net.weights.fill_(1.0)
    learner.critic.fit = lambda it: {}
    logits, losses = learner.controller.agents.values.detach().clone().requires_grad_(), []
    for b, t, a in itertools.product(range(4), range(3), range(agents)):
        if not batch.mask[b, t]:
            continue
        s, u, allowed = batch.state[b, t].argmax(), int(batch.actions[b, t, a]), batch.available[b, t, a]
        pi = (1 - epsilon) * logits[s, a].masked_fill(~allowed, -torch.inf).softmax(
            -1
        ) + epsilon * allowed / allowed.sum()
        q = net.values[s, a].detach()
        advantage = float(net.weights[s, a].detach() * (q[u] - (pi.detach() * q).sum()))
        if agents == 1:
            joint = net.joint(s, [u]).detach() - net.mean(s, pi.detach().unsqueeze(0)).detach()
            assert advantage == pytest.approx(float(joint), abs=1e-6)
        entropy = -(pi * pi.clamp(min=1e-30).log()).sum()
        losses.append(-advantage * pi[u].log() - 0.03 * entropy)
    torch.stack(losses).mean().backward()
    learner.train(batch, t_env=0, replayed=batch)
    torch.testing.assert_close(learner.controller.agents.values.grad, logits.grad)


def test_one_agent_is_an_actor_critic_with_tree_backup(world):
    """The critic of one agent, k = 1, is Q(s, u) alone: its targets are the loop's."""
    learner = tabular(world, make(world, spec=alone(world), kappa=1.0))
    for net in (learner.critic.net, learner.critic.target.net):
        with torch.no_grad():
            net.weights.fill_(1.0)
            net.bias.zero_()
    old, q = of_one(world.some_batch(seed=2)), learner.critic.target.net.values.detach()[:, 0]
    it = iteration(learner, old)
    got = learner.critic.backups(it)
    for b in range(4):
        length = int(old.mask[b].sum())
        y = None  # of the step behind
        for t in reversed(range(length)):  # Sutton and Barto 2018, eq. 7.16, with lambda on what was done
            following = old.state[b, t + 1].argmax()
            pi = it.log_pi[b, t + 1, 0].exp()
            value = 0.0 if bool(old.terminated[b, t]) else (pi * q[following]).sum()
            if y is not None:
                v = old.actions[b, t + 1, 0]
                value = value + learner.settings.tb_lambda * pi[v] * (y - q[following, v])
            y = old.rewards[b, t, 0] + 0.9 * value
            torch.testing.assert_close(got[b, t, 0], y)
    own = make(world, spec=alone(world))
    inputs = own.critic.inputs(old)
    torch.testing.assert_close(own.critic.values(inputs).k, torch.ones(4, 4, 1))


@pytest.mark.parametrize("robust", ["doubly_robust", "gae"])
def test_what_really_followed_is_added_to_exact_values(world, robust):
    """V(s) of the residual is the exact mean of Q_tot, not one of executed partners."""
    learner, batch = tabular(world, make(world, advantage=robust)), world.some_batch()
    it = iteration(learner, batch)
    result = learner.judge(it)
    taken = result.first
    net = learner.critic.net
    for b, t in itertools.product(range(4), range(3)):
        if batch.mask[b, t]:
            s = batch.state[b, t].argmax()
            value = net.mean(s, it.log_pi[b, t].exp()).detach()
            torch.testing.assert_close(result.value[b, t].detach(), value.expand(2))
            joint = net.joint(s, batch.actions[b, t].tolist()).detach()
            torch.testing.assert_close(taken[b, t].detach(), joint.expand(2))
    metrics = learner.train(batch, t_env=0, replayed=world.some_batch(seed=1))
    assert float(metrics["residual_abs"]) > 0


@pytest.mark.parametrize("kind", ["floats", "bytes"])
def test_the_bias_is_learnt_where_it_is_asked_for(world, kind):
    spec = replace(world.spec, obs_kind=kind, state_kind=kind)
    learner = make(world, spec=spec, state_bias=True, normalise_weights=False)
    batch = world.some_batch()
    if kind == "bytes":
        batch = replace(batch, obs=batch.obs.byte(), state=batch.state.byte())
    before = {name: x.clone() for name, x in learner.critic.net.state_dict().items()}
    learner.train(batch, t_env=0, replayed=batch)
    after = learner.critic.net.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == set(before)
    assert {name for name in after if name.startswith("bias.")}
    assert not [name for name in make(world).critic.net.state_dict() if name.startswith("bias.")]


def test_several_minibatches_leave_the_replayed_episodes_whole(world):
    learner = make(world, num_mini_batch=3)
    longer = world.batch([[0, 1, 2, 3, 0, 4]] * 2, [5] * 2, [True, False])
    metrics = learner.train(world.some_batch(), t_env=0, replayed=longer)
    assert float(metrics["replayed_td_error_abs"]) > 0


# -- what it refuses ------------------------------------------------------------------------


def test_what_it_cannot_learn_from_is_refused(world):
    with pytest.raises(UserError, match="dop_learner learns from one team reward: set common_reward=True"):
        make(world, spec=world.individual, reward_dim=2)
    greedy = ControllerSettings(action_selector="epsilon_greedy")
    controller = BasicController(world.spec, greedy, generators=world.generators())
    with pytest.raises(UserError, match="action_selector=epsilon_greedy: dop_learner learns from draws"):
        DOPLearner(world.spec, DOPSettings(learner="dop_learner", **BASE), controller)
