"""MADDPG and FACMAC against loops, worked numbers, and what must not move."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from components.replay import Replay
from controllers.ensemble_controller import EnsembleController, EnsembleSettings
from core.errors import UserError
from learners.action_gradient import decision_weights, own_beside
from learners.facmac_learner import FACMACLearner, FACMACSettings
from learners.maddpg_learner import MADDPGLearner, MADDPGSettings
from learners.policy_inference import inference_loss

OF_LEARNER = {"facmac": (FACMACLearner, FACMACSettings), "maddpg": (MADDPGLearner, MADDPGSettings)}


def make(world, name="maddpg", *, seed=0, individual=False, tables=True, acting=None, **more):
    """One whose agents are tables."""
    torch.manual_seed(seed)
    spec = world.individual if individual else world.spec
    settings = EnsembleSettings(use_rnn=False, obs_agent_id=not tables, **(acting or {}))
    controller = EnsembleController(spec, settings, generators=world.generators())
    if tables:
        controller.agents = world.Table(torch.randn(world.S, world.A, world.U))
        controller.agents.recurrent = False
    kind, section = OF_LEARNER[name]
    given = {"target_policy": "greedy", "standardise_rewards": False, "grad_norm_clip": 1e9, "bound_targets": False}
    given |= {"gamma": world.GAMMA, "critic_hidden_dim": 8, "target_update_interval_or_tau": 0.25}
    learner = kind(
        spec, section(learner=f"{name}_learner", **(given | more)), controller, reward_dim=world.A if individual else 1
    )
    if tables:
        learner.target.net["agents"] = world.Table(torch.randn(world.S, world.A, world.U))
        learner.target.net["agents"].recurrent = False
    return learner


def one_hot(world, actions):
    return nn.functional.one_hot(torch.as_tensor(actions), world.U).float()


def q_of(world, learner, net, state, joint):
    """Q of every agent (or Q_tot of FACMAC) at one state for a one-hot joint action [A, U]."""
    joint = joint.view(1, 1, world.A, world.U)
    state = state.view(1, 1, -1)
    if isinstance(learner, FACMACLearner):
        own = state.unsqueeze(2).expand(1, 1, world.A, -1)
        return net["mixer"](net["critic"](own, joint).squeeze(-1), state).flatten()
    own = torch.eye(world.A).view(1, 1, world.A, world.A)
    return net["critic"](own, state, joint).flatten()


def critic_loss_by_hand(world, learner, batch):
    total, n = 0, 0
    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            allowed, behind = batch.available[b, t + 1], batch.state[b, t + 1]
            logits = learner.target.net["agents"].values[behind.argmax()]
            following = [
                max(allowed[a].nonzero().flatten().tolist(), key=lambda u, a=a, x=logits: x[a, u].item())
                for a in range(world.A)
            ]
            lagging = q_of(world, learner, learner.target.net, behind, one_hot(world, following))
            y = (batch.rewards[b, t] + (0 if batch.terminated[b, t] else world.GAMMA) * lagging).detach()
            values = q_of(world, learner, learner.net, batch.state[b, t], one_hot(world, batch.actions[b, t]))
            total, n = total + ((values - y) ** 2).sum(), n + len(values)
    return total / n


@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("name", OF_LEARNER)
@pytest.mark.parametrize("seed", [0, 1])
def test_critic_loss_and_gradient_equal_a_loop(world, name, seed, individual):
    """True ends, time limits, padding and unavailable actions included."""
    if individual and name == "facmac":
        return
    learner = make(world, name, seed=seed, individual=individual)
    batch = world.some_batch(seed=seed, reward_dim=world.A if individual else 1)
    loss = critic_loss_by_hand(world, learner, batch)
    loss.backward()
    wanted = {name: p.grad.clone() for name, p in learner.critics.named_parameters()}
    learner.critic_optimizer.zero_grad()
    got = {}
    step = learner.critic_optimizer.step

    def spy(loss):
        norm = step(loss)
        got.update({name: p.grad.clone() for name, p in learner.critics.named_parameters()})
        return norm

    learner.critic_optimizer.step = spy
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["critic_loss"], loss.detach())
    for key, gradient in wanted.items():
        torch.testing.assert_close(got[key], gradient, rtol=1e-4, atol=1e-6)


class Game(nn.Module):
    """Q = -(a_1 + a_2 - 1)^2 - a_1^2 / 2 of two numbers, as a critic of both agents."""

    def value(self, first, second):
        return -((first + second - 1) ** 2) - first**2 / 2

    def forward(self, own, shared, joint, acting=None, packing=None):
        taken = joint[..., 0]
        chosen = taken if acting is None else acting[..., 0]
        values = [self.value(chosen[..., 0], taken[..., 1]), self.value(taken[..., 0], chosen[..., 1])]
        return torch.stack(values, -1).unsqueeze(-1)


def test_actors_follow_their_own_action_beside_those_of_the_replay(world):
    """The quadratic game: (-0.6, 1.0) beside replayed actions (0, 1); all present ones would give (0.4, 0.6)."""
    learner = make(world)
    learner.net["critic"] = Game()
    batch = world.some_batch()
    chosen = torch.zeros(4, 3, 2, 3)
    chosen[..., 0] = torch.tensor([0.2, 0.5])
    taken = torch.zeros(4, 3, 2, 3)
    taken[..., 0] = torch.tensor([0.0, 1.0])
    chosen.requires_grad_()
    learner.improved(learner.see(batch), taken, chosen).sum().backward()
    torch.testing.assert_close(chosen.grad[0, 0, :, 0], torch.tensor([-0.6, 1.0]))
    present = chosen.detach().clone().requires_grad_()
    learner.net["critic"].value(present[0, 0, 0, 0], present[0, 0, 1, 0]).backward()
    torch.testing.assert_close(present.grad[0, 0, :, 0], torch.tensor([0.4, 0.6]))


def test_sub_policies_learn_from_their_own_episodes_in_equal_parts(world):
    """The quadratic game for agent 1: 0.2 beside 1 was played by one, 0.6 beside 0 by the other: -0.3 and 0.1."""
    learner = make(world)
    learner.net["critic"] = Game()
    batch = world.batch([[0, 1], [0, 1]], [1, 1], [True, True], masked=False)
    batch = dataclasses.replace(batch, policies=torch.tensor([[0, 0], [1, 1]]))
    taken, chosen = torch.zeros(2, 1, 2, 3), torch.zeros(2, 1, 2, 3)
    taken[..., 0] = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).unsqueeze(1)
    chosen[..., 0] = torch.tensor([[0.2, 0.0], [0.6, 0.0]]).unsqueeze(1)
    chosen.requires_grad_()
    weights = decision_weights(batch, 2) * world.A  # of agents' means, not of their mean
    (weights * learner.improved(learner.see(batch), taken, chosen)).sum().backward()
    torch.testing.assert_close(chosen.grad[:, 0, 0, 0], torch.tensor([-0.3, 0.1]))


@pytest.mark.parametrize("n_policies", [1, 2, 3])
def test_weights_of_decisions_equal_a_loop(world, n_policies):
    batch = world.some_batch(seed=n_policies)
    played = torch.randint(0, n_policies, (4, world.A), generator=torch.Generator().manual_seed(n_policies))
    batch = dataclasses.replace(batch, policies=played if n_policies > 1 else None)
    got = decision_weights(batch, n_policies)
    wanted = torch.zeros_like(got)
    for a in range(world.A):
        for k in range(n_policies):
            episodes = [b for b in range(4) if n_policies == 1 or played[b, a] == k]
            steps = [(b, t) for b in episodes for t in range(3) if batch.mask[b, t]]
            for b, t in steps:
                wanted[b, t, a] = 1 / (n_policies * world.A * len(steps))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("name", OF_LEARNER)
def test_the_actors_step_moves_no_critic_and_the_critics_no_actor(world, name):
    learner = make(world, name, tables=False, logit_penalty=0.0)
    batch = world.some_batch()
    taken = one_hot(world, batch.actions)
    before = [p.clone() for p in learner.critics.parameters()]
    learner._improve(learner.see(batch), taken)
    assert all(p.grad is None for p in learner.critics.parameters())
    assert all(p.requires_grad for p in learner.critics.parameters())
    assert all(torch.equal(p, q) for p, q in zip(learner.critics.parameters(), before, strict=True))
    assert any(p.grad is not None and p.grad.any() for p in learner.controller.agents.parameters())
    learner.controller.agents.zero_grad()
    loss = learner.values(learner.net, learner.see(batch), slice(None, -1), taken).sum()
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in learner.controller.agents.parameters())


def test_without_sharing_an_agents_gradient_does_not_reach_the_others(world):
    learner = make(world, tables=False, acting={"parameter_sharing": "none"}, logit_penalty=0.0)
    batch = world.some_batch()
    logits = learner.controller.forward(batch).values[:, :-1]
    chosen = one_hot(world, batch.actions) + logits - logits.detach()
    learner.improved(learner.see(batch), one_hot(world, batch.actions), chosen)[..., 0].sum().backward()
    first, second = learner.controller.agents.nets
    assert any(p.grad is not None and p.grad.any() for p in first.parameters())
    assert all(p.grad is None or not p.grad.any() for p in second.parameters())


def test_with_sums_an_agents_gradient_does_not_depend_on_the_others_and_mixed_it_is_the_chain_rule(world):
    for mixer, independent in (("vdn", True), ("qmix", False), ("nonmonotonic", False)):
        learner, batch = make(world, "facmac", mixer=mixer), world.some_batch()
        gradients = []
        for others in (0, 1):
            chosen = torch.zeros(4, 3, world.A, world.U)
            chosen[:, :, 0, 1] = 1.0
            chosen[:, :, 1, others] = 1.0
            chosen.requires_grad_()
            learner.improved(learner.see(batch), torch.zeros_like(chosen), chosen).sum().backward()
            gradients.append(chosen.grad[:, :, 0])
        assert torch.allclose(*gradients) == independent, mixer
        assert (gradients[0] != 0).any()


def test_a_true_end_is_learned_and_a_time_limit_bootstraps(world):
    """Tables' critics: Q of a last step with reward 1 goes to 1, of a cut one to 1 + gamma Q'(next)."""
    learner = make(world, tables=False, lr=0.03)
    batch = world.batch([[0, 1], [2, 3]], [1, 1], [True, False], masked=False)
    batch.rewards[:] = 1.0
    for _ in range(400):
        learner.train(batch, t_env=0)
    values = learner.values(learner.net, learner.see(batch), slice(None, -1), one_hot(world, batch.actions))
    torch.testing.assert_close(values[0, 0], torch.ones(world.A), rtol=0, atol=0.02)
    seen = learner.see(batch)
    following = learner._following(batch, seen.inputs, 0)
    lagging = learner.values(learner.target.net, seen, slice(1, None), following)
    torch.testing.assert_close(values[1, 0], 1 + world.GAMMA * lagging[1, 0], rtol=0, atol=0.1)


@pytest.mark.parametrize("bootstrap", [True, False])
def test_among_single_steps_only_the_last_of_a_cut_episode_may_count_as_an_end(world, bootstrap):
    learner = make(world, bootstrap_time_limit=bootstrap, batch_steps=60)
    batch = world.some_batch()
    batch.rewards[..., 0] = torch.arange(4.0)[:, None] * 10 + torch.arange(3.0)  # 10 * episode + step
    generator = np.random.default_rng(0)
    replay = Replay(world.spec, episode_limit=3, capacity=4, reward_dim=1, generator=generator)
    replay.add(batch)
    steps, whole = learner.draw(replay), learner.discounts(batch)
    assert steps.n_steps == 1
    for k, discount in enumerate(learner.discounts(steps).flatten()):
        episode, t = divmod(int(steps.rewards[k, 0, 0]), 10)
        assert discount == whole[episode, t, 0]
    assert (whole[batch.mask] == 0).sum() == (2 if bootstrap else 4)


def test_what_lags_moves_by_its_fraction_after_an_update(world):
    learner = make(world, tables=False)
    before = [p.clone() for p in learner.target.net.parameters()]
    learner.train(world.some_batch(), t_env=0)
    for p, online, old in zip(learner.target.net.parameters(), learner.net.parameters(), before, strict=True):
        torch.testing.assert_close(p, 0.75 * old + 0.25 * online)


def test_swapped_reward_columns_swap_what_agents_learn(world):
    first, second = (make(world, individual=True, seed=3) for _ in range(2))
    batch = world.some_batch(reward_dim=world.A)
    swapped = dataclasses.replace(batch, rewards=batch.rewards.flip(-1))
    inputs = first.controller.inputs(batch)
    targets = [
        one.targets_of(data, one.values(one.target.net, one.see(data), slice(1, None), one._following(data, inputs, 0)))
        for one, data in ((first, batch), (second, swapped))
    ]
    difference = targets[0] - targets[1]
    torch.testing.assert_close(difference[..., 0], batch.rewards[..., 0] - batch.rewards[..., 1])
    torch.testing.assert_close(difference[..., 1], batch.rewards[..., 1] - batch.rewards[..., 0])


def test_logits_are_pulled_to_zero_over_available_actions_only(world):
    learner = make(world, logit_penalty=1.0)
    for parameter in learner.critics.parameters():
        nn.init.zeros_(parameter)
    batch = world.some_batch()
    used = torch.zeros(world.S, world.A, world.U, dtype=torch.bool)
    for b in range(4):
        for t in range(int(batch.mask[b].sum())):
            used[batch.state[b, t].argmax()] |= batch.available[b, t]
    learner._improve(learner.see(batch), one_hot(world, batch.actions))
    gradient = learner.controller.agents.values.grad
    assert (gradient[~used] == 0).all()
    assert (gradient.sign() == learner.controller.agents.values.sign())[used].sum() >= used.sum() - 2  # after one step


class FirstEntry(nn.Module):
    """The utility of an action is its first entry."""

    def forward(self, own, joint, packing=None):
        return joint[..., :1]


class GameMixer(nn.Module):
    def forward(self, q, state):
        return Game().value(q[..., 0], q[..., 1]).unsqueeze(-1)


def test_facmacs_actors_follow_all_present_actions(world):
    """The quadratic game at (0.2, 0.5): (0.4, 0.6), whatever the replay holds; the step raises Q_tot."""
    learner = make(world, "facmac")
    learner.net["critic"], learner.net["mixer"] = FirstEntry(), GameMixer()
    batch, chosen = world.some_batch(), torch.zeros(4, 3, 2, 3)
    chosen[..., 0] = torch.tensor([0.2, 0.5])
    chosen.requires_grad_()
    before = learner.improved(learner.see(batch), torch.ones_like(chosen), chosen)
    before.sum().backward()
    torch.testing.assert_close(chosen.grad[0, 0, :, 0], torch.tensor([0.4, 0.6]))
    after = learner.improved(learner.see(batch), torch.ones_like(chosen), chosen.detach() + 0.1 * chosen.grad)
    assert (after > before).all()


@pytest.mark.parametrize("n_policies", [1, 2])
def test_facmacs_sub_policies_learn_from_their_own_decisions_alone(world, n_policies):
    """An agent's gradient is the mean over steps in which the sub-policy was played, whatever others have drawn."""
    learner = make(world, "facmac", acting={"policy_ensemble": n_policies})
    learner.net["critic"], learner.net["mixer"] = FirstEntry(), GameMixer()
    played = torch.tensor([[0, 0], [0, 1], [0, 1], [1, 1]]) % n_policies
    batch = dataclasses.replace(world.some_batch(), policies=played if n_policies > 1 else None)
    chosen = torch.rand(4, 3, 2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = Game().value(*chosen[..., 0].unbind(-1))
    (of_value,) = torch.autograd.grad(value.sum(), chosen)
    improved = learner.improved(learner.see(batch), torch.ones_like(chosen), chosen)
    torch.testing.assert_close(improved.squeeze(-1), value)
    (decision_weights(batch, n_policies) * improved).sum().backward()
    for a in range(world.A):
        for k in range(n_policies):
            own = batch.mask & (played[:, a] == k).unsqueeze(-1)
            wanted = of_value[own][:, a] / (n_policies * own.sum())
            torch.testing.assert_close(chosen.grad[own][:, a], wanted)
    assert (chosen.grad[~batch.mask] == 0).all()


def test_facmacs_gradient_is_that_of_differences(world):
    learner, batch = make(world, "facmac").net.double(), world.some_batch()
    state, own = batch.state[:1, :1].double(), batch.obs[:1, :1].double()
    actions = torch.rand(1, 1, world.A, world.U, dtype=torch.float64, requires_grad=True)

    def total(joint):
        return learner["mixer"](learner["critic"](own, joint).squeeze(-1), state)

    assert torch.autograd.gradcheck(total, actions)


@pytest.mark.parametrize(("mixer", "fits"), [("qmix", False), ("nonmonotonic", True)])
def test_products_of_actions_need_a_mixer_that_is_not_monotonic(world, mixer, fits):
    """Payoffs 1 where both do the same, -1 elsewhere: no function that rises in utilities has them."""
    learner = make(world, "facmac", mixer=mixer, critic_lr=0.01, tables=False, seed=1)
    batch = world.batch([[0, 1]] * 4, [1] * 4, [True] * 4, masked=False)
    batch.actions[:, 0] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    batch.rewards[:, 0, 0] = torch.tensor([1.0, -1, -1, 1])
    for _ in range(600):
        metrics = learner.train(batch, t_env=0)
    assert (metrics["critic_loss"] < 0.05) == fits
    assert fits or metrics["critic_loss"] > 0.3


# -- inference --------------------------------------------------------------------------------------------------------


def test_the_loss_of_an_approximation_in_numbers(world):
    """p = 0.5 of two actions, lambda 0.001: -log 0.5 - 0.001 log 2 = 0.692454."""
    batch = world.batch([[0, 1]], [1], [True], masked=False)
    log_mu = torch.full((1, 1, 2, 2, 2), 0.5).log()
    batch.actions[:] = 0
    loss = inference_loss(log_mu, batch, entropy_coef=0.001)
    assert float(loss) == pytest.approx(0.692454, abs=1e-6)


def inferring(world, **more):
    return make(world, tables=False, policy_inference=True, inference_lr=0.02, **more)


def test_approximations_fit_a_fixed_policy(world):
    """Frequencies (0.2, 0.8) within 0.01 at lambda 0; the KL from the policy is that of the frequencies."""
    learner = inferring(world, inference_entropy=0.0)
    batch = world.batch([[0, 1]] * 100, [1] * 100, [True] * 100, masked=False)
    batch.available[..., 2] = False
    batch.actions[:] = (torch.arange(100) >= 20).long()[:, None, None]
    learner.observe(batch)
    for _ in range(400):
        learner.inference.fit()
    logits = learner.inference.nets["beliefs"](learner.controller.inputs(batch))[0, 0]
    probs = logits.masked_fill(~batch.available[0, 0], -torch.inf).softmax(-1)
    torch.testing.assert_close(probs, torch.tensor([0.2, 0.8, 0.0]).expand_as(probs), rtol=0, atol=0.01)
    values = learner.controller.forward(batch).values[0, 0].masked_fill(~batch.available[0, 0], -torch.inf)
    mu = values.softmax(-1)[:, :2]
    wanted = (mu * (mu / torch.tensor([0.2, 0.8])).log()).sum(-1).mean()
    torch.testing.assert_close(learner.inference.divergence(t_env=0)["inference_kl"](), wanted, rtol=0.05, atol=1e-3)


def test_targets_take_the_others_actions_from_the_approximations_and_the_own_from_the_policy(world):
    learner = inferring(world)
    batch, target = world.some_batch(), learner.target.net
    inputs = learner.controller.inputs(batch)
    supposed = learner._following(batch, inputs, 0)
    assert supposed.shape == (4, 3, world.A, world.A, world.U)
    allowed = batch.available[:, 1:]
    own = target["agents"](inputs[:, 1:]).masked_fill(~allowed, -torch.inf).argmax(-1)
    beliefs = target["beliefs"](inputs[:, 1:]).masked_fill(~allowed.unsqueeze(2), -torch.inf).argmax(-1)
    for i in range(world.A):
        for j in range(world.A):
            wanted = own[..., j] if i == j else beliefs[:, :, i, j]
            assert torch.equal(supposed[:, :, i, j].argmax(-1)[batch.mask], wanted[batch.mask])
    per_agent = learner.values(target, learner.see(batch), slice(1, None), supposed)
    for i in range(world.A):
        alone = learner.values(target, learner.see(batch), slice(1, None), supposed[:, :, i])
        torch.testing.assert_close(per_agent[..., i], alone[..., i])


def test_own_beside():
    own, supposed = torch.arange(4.0).view(1, 1, 2, 2), -torch.ones(1, 1, 2, 2, 2)
    assert own_beside(own, supposed).tolist() == [[[[[0, 1], [-1, -1]], [[-1, -1], [2, 3]]]]]


def test_each_agent_has_beliefs_of_its_own_unless_they_share_a_network(world):
    apart = inferring(world, acting={"parameter_sharing": "none"})
    inputs = apart.controller.inputs(world.some_batch())
    beliefs = apart.inference.nets["beliefs"](inputs)
    assert not torch.equal(beliefs[:, :, 0], beliefs[:, :, 1])
    shared = inferring(world).inference.nets["beliefs"](inputs)
    assert torch.equal(shared[:, :, 0], shared[:, :, 1])


# -- what does not go -------------------------------------------------------------------------------------------------


def test_one_agent_has_nobody_to_infer(world):
    spec = dataclasses.replace(world.spec, n_agents=1)
    controller = EnsembleController(spec, EnsembleSettings(use_rnn=False), generators=world.generators())
    with pytest.raises(UserError, match="nobody whose policy it could infer: give policy_inference=false"):
        MADDPGLearner(spec, MADDPGSettings(learner="maddpg_learner", policy_inference=True), controller)


def test_settings_that_contradict_each_other(world):
    with pytest.raises(UserError, match=r"q_lambda=0\.8 looks at the steps that follow, of which batch_steps=16 draws"):
        make(world, batch_steps=16, q_lambda=0.8)
    with pytest.raises(UserError, match="give action_selector=soft_policies"):
        make(world, tables=False, acting={"action_selector": "epsilon_greedy"})
