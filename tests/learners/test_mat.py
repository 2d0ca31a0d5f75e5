"""MAT and MAT-Dec: who sees what, one pass in training against one agent after another, one loss for two heads."""

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from controllers.basic_controller import BasicController, ControllerSettings
from controllers.mat_controller import MATController, MATControllerSettings, MATDecController
from core.data import EpisodeBatch, TeamSpec, TeamStep
from core.errors import UserError
from estimators import surrogates
from estimators.masked import masked_mean
from learners.mat_learner import MATDecLearner, MATDecSettings, MATLearner, MATSettings
from learners.ppo_learner import PPOLearner, PPOSettings
from modules.sharing import Grouped
from modules.transformer.decoder import Transformer
from modules.transformer.decoding import Decoding
from modules.transformer.decoding_kernels import gelu

BASE = {"learner": "mat_learner", "gamma": 0.9, "standardise_rewards": False, "returns": "td_lambda"}
OBS = 5


def team(n_agents=3, n_actions=4):
    return TeamSpec(name="agents", n_agents=n_agents, n_actions=n_actions, obs_dim=OBS, state_dim=2, reward_dim=1)


def controller(spec, *, dec=False, random=True, **settings):
    """With weights far from their small beginnings, so that every dependence shows."""
    torch.manual_seed(0)
    names = ("explore", "test_policy", "learner")
    generators = {name: torch.Generator().manual_seed(k) for k, name in enumerate(names)}
    kind, form = (MATDecController, ControllerSettings) if dec else (MATController, MATControllerSettings)
    settings = {"hidden_dim": 16, "obs_agent_id": False, "use_rnn": False, **settings}
    made = kind(spec, form(**settings), generators=generators)
    for parameter in made.agents.parameters() if random else ():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def episodes(spec, n=4, n_steps=3, seed=0, masked=True):
    g = torch.Generator().manual_seed(seed)
    shape = (n, n_steps + 1, spec.n_agents, spec.n_actions)
    available = torch.rand(shape, generator=g) < 0.6 if masked else torch.ones(shape, dtype=torch.bool)
    available[..., 0] |= ~available.any(-1)
    length = 1 + torch.arange(n) % n_steps
    return EpisodeBatch(
        obs=torch.randn(n, n_steps + 1, spec.n_agents, OBS, generator=g),
        state=torch.zeros(n, n_steps + 1, 2),
        available=available,
        actions=torch.rand(shape, generator=g)[:, :-1].masked_fill(~available[:, :-1], -1).argmax(-1),
        rewards=torch.randn(n, n_steps, 1, generator=g),
        terminated=torch.arange(n_steps) == length[:, None] - 1,
        mask=torch.arange(n_steps) < length[:, None],
    )


def learner(spec, kind=MATLearner, **settings):
    acting = controller(spec, dec=kind is MATDecLearner, random=False)
    form = MATDecSettings if kind is MATDecLearner else MATSettings
    return kind(spec, form(**{**BASE, **settings}), acting)


def copies(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def equal(first, second):
    return [torch.equal(*pair) for pair in zip(first, second, strict=True)]


# -- who sees what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_blocks", [1, 2])
def test_an_agent_sees_the_actions_before_its_own_and_no_others(n_blocks):
    spec = team()
    acting, batch = controller(spec, n_blocks=n_blocks), episodes(spec, masked=False)
    before = acting.forward(batch).values[:, :-1]
    for j in range(3):
        actions = batch.actions.clone()
        actions[..., j] = (actions[..., j] + 1) % 4
        after = acting.forward(replace(batch, actions=actions)).values[:, :-1]
        changed = (after != before).flatten(0, 1).any(-1)  # [B * T, A]
        assert not changed[:, : j + 1].any()
        assert changed[:, j + 1 :].all()


def test_no_gradient_flows_from_later_tokens():
    spec, kept = team(), []
    acting, batch = controller(spec), episodes(spec)
    acting.net.blocks[0].register_forward_pre_hook(lambda _, args: kept.append(args[0]) or args[0].retain_grad())
    values = acting.forward(batch).values
    for i in range(3):
        kept[0].grad = None
        values[:, :, i].square().sum().backward(retain_graph=True)
        reached = kept[0].grad.abs().sum((0, 2)) > 0
        assert reached.tolist() == [j <= i for j in range(3)]  # token j is the action of agent j - 1


def test_agents_in_another_order_are_encoded_in_that_order():
    net, x, order = controller(team()).net, torch.randn(6, 3, OBS), torch.tensor([2, 0, 1])
    z = net.encoder(x)
    torch.testing.assert_close(net.encoder(x[:, order]), z[:, order])
    actions = torch.zeros(1, 6, 3, dtype=torch.int64)
    logits, moved = net(x[None], actions), net(x[None, :, order], actions)
    assert not torch.allclose(moved, logits[:, :, order])  # who acts first matters


def test_an_agent_of_mat_dec_sees_its_own_observation_and_its_critic_all():
    spec = team()
    made, batch = learner(spec, MATDecLearner), episodes(spec)
    for parameter in itertools.chain(made.controller.agents.parameters(), made.critic.net.parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    obs = batch.obs.clone()
    obs[:, :, 1, 0] += 1  # of one entry: LayerNorm takes a common shift away
    other = replace(batch, obs=obs)
    logits = [made.controller.forward(one).values for one in (batch, other)]
    assert (logits[0] == logits[1]).flatten(3).all(-1).all(0).all(0).tolist() == [True, False, True]
    values = [made.critic.net(made.critic.inputs(one)) for one in (batch, other)]
    assert (values[0] != values[1]).all()


# -- acting ------------------------------------------------------------------------------------------------------------


def step_of(batch, t):
    rewards = np.zeros((batch.n_episodes, 1), np.float32)
    seen = {key: getattr(batch, key)[:, t].numpy() for key in ("obs", "state", "available")}
    return TeamStep(**seen, rewards=rewards)


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("sizes", [{}, {"n_blocks": 2, "n_heads": 4, "obs_agent_id": True, "obs_last_action": True}])
def test_one_pass_says_what_was_said_one_agent_after_another(monkeypatch, sizes, greedy):
    """Keys and values that are kept change nothing."""
    spec, said = team(), []
    acting, batch = controller(spec, **sizes), episodes(spec)
    original = Decoding.next
    monkeypatch.setattr(Decoding, "next", lambda *call: said.append(original(*call)) or said[-1])
    acting.begin(batch.n_episodes)
    actions = [torch.from_numpy(acting.act(step_of(batch, t), t_env=0, greedy_policy=greedy)) for t in range(3)]
    batch = replace(batch, actions=torch.stack(actions, 1))
    values = acting.forward(batch).values[:, :-1]
    acted = torch.stack(said, 1).view(batch.n_episodes, 3, 3, -1)
    torch.testing.assert_close(acted.log_softmax(-1), values.log_softmax(-1), rtol=0, atol=5e-6)
    if greedy:
        assert torch.equal(values.masked_fill(~batch.available[:, :-1], -torch.inf).argmax(-1), batch.actions)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n_blocks", "n_heads", "width"), [(1, 1, 7), (2, 3, 18)])
def test_turns_are_the_pass_over_all_agents(dtype, n_blocks, n_heads, width):
    """By the kernels, and without them where there are none: in double precision, on CUDA."""
    torch.manual_seed(0)
    net = Transformer(OBS, n_agents=4, n_actions=3, width=width, n_blocks=n_blocks, n_heads=n_heads).to(dtype)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, actions = torch.randn(6, 4, OBS, dtype=dtype), torch.randint(3, (6, 4))
    with torch.inference_mode():
        wanted = net.double()(x[:, None].double(), actions[:, None])[:, 0]
        decoding = Decoding(net.to(dtype), x)
        found = torch.stack([decoding.next(actions[:, i - 1] if i else None) for i in range(4)], 1)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=2e-5 if dtype == torch.float32 else 1e-12)


def test_the_kernels_gelu():
    x = torch.cat([torch.linspace(-9, 9, 2001), torch.tensor([1e30, -1e30])])
    found = torch.tensor([gelu(value) for value in x.numpy()])
    torch.testing.assert_close(found, torch.nn.functional.gelu(x), rtol=2e-6, atol=2e-6)
    assert math.isnan(gelu(np.float32(np.nan)))


def joint(acting, obs, available):
    """Log-probabilities of all joint actions of two agents in one state: the actions [K, 2] and [K]."""
    n = available.shape[-1]
    every = torch.tensor(list(itertools.product(range(n), repeat=2)))
    many = {"obs": obs, "available": available, "state": torch.zeros(2)}
    rows = {key: value.expand(len(every), 2, *value.shape).clone() for key, value in many.items()}
    flags = torch.ones(len(every), 1, dtype=torch.bool)
    batch = EpisodeBatch(**rows, actions=every[:, None], rewards=flags[..., None].float(), terminated=flags, mask=flags)
    log_pi = acting.log_policy(batch, t_env=0)[:, 0]
    allowed = available[torch.arange(2), every].all(-1)
    return every, log_pi.gather(-1, every[..., None]).sum((1, 2)), allowed


def test_probabilities_of_all_joint_actions_sum_to_one():
    acting, available = controller(team(2, 3)), torch.ones(2, 3, dtype=torch.bool)
    for forbidden in (None, 1):
        if forbidden is not None:
            available[1, forbidden] = False
        _, log_p, allowed = joint(acting, torch.randn(2, OBS), available)
        assert log_p.detach()[allowed].exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_a_draw_follows_the_product_of_conditionals():
    acting, obs, available = controller(team(2, 3)), torch.randn(2, OBS), torch.ones(2, 3, dtype=torch.bool)
    every, log_p, _ = joint(acting, obs, available)
    n = 20_000
    acting.begin(n)
    rewards, state = np.zeros((n, 1), np.float32), np.zeros((n, 2), np.float32)
    many = {"obs": obs.expand(n, -1, -1).numpy(), "available": available.expand(n, -1, -1).numpy(), "state": state}
    drawn = acting.act(TeamStep(**many, rewards=rewards), t_env=0)
    found = [(drawn == pair.numpy()).all(1).mean() for pair in every]
    assert found == pytest.approx(log_p.detach().exp().tolist(), abs=0.02)


def test_an_agent_with_one_action_plays_it():
    spec = team()
    acting, batch = controller(spec), episodes(spec)
    batch.available[:, :, 1] = torch.tensor([False, False, True, False])
    batch.actions[..., 1] = 2
    acting.begin(batch.n_episodes)
    assert (acting.act(step_of(batch, 0), t_env=0)[:, 1] == 2).all()
    assert (acting.log_policy(batch, t_env=0)[:, :, 1, 2] == 0).all()


def test_a_correlated_optimum_is_within_reach():
    """Maximum likelihood of (0, 2) and (2, 0), half and half: no product of two policies comes near."""
    acting, obs, available = controller(team(2, 3), random=False), torch.eye(2, OBS), torch.ones(2, 3).bool()
    optimizer = torch.optim.Adam(acting.agents.parameters(), lr=0.01)
    for _ in range(120):
        _, log_p, _ = joint(acting, obs, available)
        loss = -(log_p[2] + log_p[6]) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(math.log(2), abs=0.01)
    assert log_p.detach()[[2, 6]].exp().tolist() == pytest.approx([0.5, 0.5], abs=0.05)


# -- learning ----------------------------------------------------------------------------------------------------------


def test_one_loss_for_policy_and_value():
    """The gradient of a step is that of the surrogate, the entropy and the value loss together."""
    spec = team()
    settings = {"epochs": 1, "entropy_coef": 0.1, "value_norm": True, "huber_delta": 1.0, "active_masks": True}
    made, batch = learner(spec, grad_norm_clip=1e9, **settings), episodes(spec)
    it = made.freeze(batch, made.controller.log_policy(batch, t_env=0).detach())
    advantages, weights = made.credit(it, None)[0], it.active
    real = batch.mask.unsqueeze(-1).expand(-1, -1, 3)
    target = it.estimates.returns
    mean, deviation = target[real].mean(), target[real].std(correction=0)
    log_pi = made.controller.log_policy(batch, t_env=0)[:, :-1]
    taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    value = made.critic.net(made.controller.net.encoder(batch.obs)).squeeze(-1)[:, :-1]
    fit = torch.nn.functional.huber_loss(value, (target - mean) / deviation, delta=1.0, reduction="none")
    loss = -masked_mean(taken * advantages + 0.1 * surrogates.entropy(log_pi), weights) + fit[real].mean()
    parameters = [*made.controller.agents.parameters(), *made.critic.net.parameters()]
    expected = torch.autograd.grad(loss, parameters)
    metrics = made.train(batch, t_env=0)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    assert metrics["critic_loss"].item() == pytest.approx(fit[real].mean().item(), rel=1e-4)


class Alone(torch.nn.Module):
    """The policy of a team of one: what the decoder says after its first token."""

    def __init__(self, net):
        super().__init__()
        self.net = copy.deepcopy(net)

    def forward(self, x):
        return self.net(x, torch.zeros(x.shape[:-1], dtype=torch.int64))


def test_one_agent_alone_is_ppo():
    """One step moves encoder, decoder and head as PPO's actor and critic, did they not share the encoder."""
    spec, batch = team(1), episodes(team(1))
    settings = {"epochs": 1, "eps_clip": 0.1, "entropy_coef": 0.1, "value_norm": True, "value_clip": 0.2}
    settings |= {"huber_delta": 1.0, "active_masks": True, "standardise_advantages": True, "grad_norm_clip": 1e9}
    mat = learner(spec, **settings)
    for parameter in itertools.chain(mat.controller.agents.parameters(), mat.critic.net.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    acting = BasicController(
        spec, ControllerSettings(use_rnn=False, obs_agent_id=False), generators=mat.controller.generators
    )
    acting.agents = Grouped(lambda agents: Alone(mat.controller.net), acting.groups)
    form = PPOSettings(**BASE, **settings, critic_input="obs", critic_agent_id=False)
    ppo = PPOLearner(spec, form, acting)
    head = copy.deepcopy(mat.critic.net.nets[0])
    net = torch.nn.Sequential(copy.deepcopy(mat.controller.net.encoder), head)
    ppo.critic.net = Grouped(lambda agents: net, acting.groups)
    ppo.critic.optimizer = ppo.make_optimizer(list(ppo.critic.net.parameters()), 1e-3)
    first, second = (made.train(batch, t_env=0) for made in (mat, ppo))
    for key in ("pg_loss", "entropy", "critic_loss", "advantage_abs", "target_mean"):
        assert float(first[key]) == pytest.approx(float(second[key]), rel=1e-4)
    actor, encoder = dict(acting.agents.nets[0].net.named_parameters()), dict(net[0].named_parameters())
    for name, parameter in mat.controller.net.named_parameters():
        expected = actor[name].grad
        if name.startswith("encoder."):
            expected = expected + encoder[name.removeprefix("encoder.")].grad
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-6)
    for parameter, other in zip(mat.critic.net.parameters(), head.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-6)
        assert other.grad.abs().sum() > 0


def test_one_optimiser_has_every_parameter_once():
    made = learner(team())
    (optimizer,) = made.optimizers().values()
    mine = [id(p) for network in made.networks().values() for p in network.parameters()]
    assert sorted(id(p) for p in optimizer.parameters) == sorted(mine)
    assert len(set(mine)) == len(mine)


def test_the_targets_statistics_move_once_a_batch():
    made, batch = learner(team(), value_norm=True, epochs=3, num_mini_batch=2), episodes(team())
    seen = []
    made.critic.norm.update = lambda *call: seen.append(call)
    made.train(batch, t_env=0)
    assert len(seen) == 1


def test_imitation_moves_the_policy_by_its_own_steps_alone():
    made, batch = learner(team(), critic_updates=3), episodes(team())
    before = copies(made.controller.agents), copies(made.critic.net)
    made.imitate(batch, t_env=0, epochs=0)
    assert all(equal(before[0], copies(made.controller.agents)))
    assert not all(equal(before[1], copies(made.critic.net)))
    losses = [made.imitate(batch, t_env=0, epochs=5)["imitation_loss"].item() for _ in range(3)]
    assert losses == sorted(losses, reverse=True)


def test_padding_has_no_influence():
    batch, found = episodes(team()), []
    for rubbish in (0.0, 1e3):
        made = learner(team(), value_norm=True, value_clip=0.2, standardise_advantages=True, epochs=2)
        made.train(replace(batch, rewards=batch.rewards.masked_fill(~batch.mask.unsqueeze(-1), rubbish)), t_env=0)
        found.append(copies(made.controller.agents) + copies(made.critic.net))
    assert all(equal(*found))


def test_mat_dec_shares_nothing_with_its_critic():
    made, batch = learner(team(), MATDecLearner), episodes(team())
    before = copies(made.controller.agents)
    made.critic.fit(made.freeze(batch, made.controller.log_policy(batch, t_env=0).detach()))
    assert all(equal(before, copies(made.controller.agents)))
    assert len(made.optimizers()) == 2


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharing", ["none", (0, 0, 1)])
def test_several_networks_are_refused(sharing):
    with pytest.raises(UserError, match="MAT is one network, in which every agent is a token"):
        controller(team(), parameter_sharing=sharing)
    assert len(controller(team(), parameter_sharing=(0, 0, 0)).groups) == 1


def test_recurrence_is_refused():
    with pytest.raises(UserError, match="use_rnn=True: MAT decides from the present observations"):
        controller(team(), use_rnn=True)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match=r"^n_heads=3 does not divide the network's width 16"):
        controller(team(), n_heads=3)
    with pytest.raises(UserError, match=r"^critic_n_heads=3 does not divide the network's width 64"):
        learner(team(), MATDecLearner, critic_n_heads=3)


def test_another_controller_is_refused():
    with pytest.raises(UserError, match="learner=mat_learner needs mac=mat_mac"):
        MATLearner(team(), MATSettings(**BASE), controller(team(), dec=True))
