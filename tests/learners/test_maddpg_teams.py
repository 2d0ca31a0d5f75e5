"""MADDPG between teams: critics of all actions, targets from known and from inferred policies, against loops."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from components.replay import Replay
from controllers.basic_controller import BasicController, ControllerSettings
from controllers.ensemble_controller import EnsembleController, EnsembleSettings
from controllers.mat_controller import MATController, MATControllerSettings
from controllers.mean_field_controller import MeanFieldController, MeanFieldControllerSettings
from core.data import TeamSpec
from core.errors import UserError
from learners.action_gradient import side_by_side
from learners.maddpg_learner import MADDPGLearner, MADDPGSettings
from learners.rivals import Rival

N, V, SEEN = 3, 4, 6  # the foes: agents, actions (more than the own team has), observations
FOES = TeamSpec(name="foes", n_agents=N, n_actions=V, obs_dim=SEEN, state_dim=2, reward_dim=1)


def foe_of(world, kind=EnsembleController, section=EnsembleSettings, *, seed=7, lags=True, **acting):
    """Who plays the foes; what lags has other weights."""
    torch.manual_seed(seed)
    acting = {"use_rnn": False, "hidden_dim": 8} | acting
    controller = kind(FOES, section(**acting), generators=world.generators(seed))
    lagging = None
    if lags:
        lagging = copy.deepcopy(controller.agents)
        nn.init.normal_(lagging.nets[0].fc2.weight)
    return Rival(spec=FOES, plays="somebody", controller=controller, lagging=lagging)


def make(world, foe=None, *, seed=0, individual=False, joint=False, alone=False, use_rnn=False, **more):
    torch.manual_seed(seed)
    spec = world.individual if individual else world.spec
    if alone:
        spec = dataclasses.replace(spec, n_agents=1)
    if joint:
        spec = dataclasses.replace(spec, state_is_joint_obs=True, state_dim=spec.n_agents * world.S)
    controller = EnsembleController(
        spec, EnsembleSettings(use_rnn=use_rnn, hidden_dim=8), generators=world.generators()
    )
    given = {"target_policy": "greedy", "standardise_rewards": False, "grad_norm_clip": 1e9, "bound_targets": False}
    given |= {"gamma": world.GAMMA, "critic_hidden_dim": 8, "target_update_interval_or_tau": 0.25}
    settings = MADDPGSettings(learner="maddpg_learner", **(given | more))
    learner = MADDPGLearner(spec, settings, controller, rivals=[FOES], reward_dim=spec.n_agents if individual else 1)
    for network in learner.target.net.values():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    learner.meet([foe or foe_of(world)])
    return learner


def met(world, *, seed=0, joint=False, alone=False, **more):
    """Episodes of both teams: the foes' observations and choices are their own, the rest is shared."""
    batch = world.some_batch(seed=seed, **more)
    if alone:
        batch = batch.of_agents(torch.tensor([0]))
    if joint:
        batch = dataclasses.replace(batch, state=batch.obs.flatten(2))
    g = torch.Generator().manual_seed(50 + seed)
    n, rows = batch.n_episodes, batch.n_steps + 1
    available = torch.rand(n, rows, N, V, generator=g) < 0.6
    available[..., 1] |= ~available.any(-1)
    foes = dataclasses.replace(
        batch,
        obs=torch.randn(n, rows, N, SEEN, generator=g),
        state=torch.randn(n, rows, 2, generator=g),
        available=available,
        actions=torch.rand(n, rows - 1, N, V, generator=g).masked_fill(~available[:, :-1], -1).argmax(-1),
    )
    return dataclasses.replace(batch, rivals=(foes,))


def best(logits, allowed):
    return max(allowed.nonzero().flatten().tolist(), key=lambda u: logits[u].item())


def one_hot_of_all(own, foes):
    """[own agents + N, V], zeros where there are fewer actions."""
    joint = torch.zeros(len(own) + N, V)
    for row, action in enumerate([*own, *foes]):
        joint[row, int(action)] = 1
    return joint


def x_of(batch, b, t, joint):
    state = batch.state[b, t]
    return torch.cat([state, batch.rivals[0].obs[b, t].flatten()]) if joint else state


def q_of(net, x, agent, n_agents, joint):
    own = torch.eye(n_agents).view(1, 1, n_agents, n_agents)
    return net["critic"](own, x.view(1, 1, -1), joint.view(1, 1, *joint.shape)).flatten()[agent]


def next_actions(learner, batch, b, t, agent):
    """What agent i takes for the next actions of its team and of the foes."""
    net, reader = learner.target.net, learner.controller
    foes, n = batch.rivals[0], learner.spec.n_agents
    row = slice(t + 1, t + 2)
    x, allowed = reader.inputs(batch)[b : b + 1, row], batch.available[b, t + 1]
    logits = net["agents"](x)[0, 0]
    if learner.inference is None:
        (rival,) = learner.rivals
        theirs = rival.lagging if rival.lagging is not None else rival.controller.agents
        of_foes = theirs(rival.controller.inputs(foes)[b : b + 1, row])[0, 0]
    else:
        if n > 1:
            believed = net["beliefs"](x)[0, 0, agent].clone()
            believed[agent] = logits[agent]
            logits = believed
        seen = torch.cat([foes.obs[b, t + 1], torch.eye(N)], -1).view(1, 1, N, -1)
        of_foes = net["beliefs_foes"](seen)[0, 0, agent]
    return [best(logits[a], allowed[a]) for a in range(n)], [
        best(of_foes[a], foes.available[b, t + 1, a]) for a in range(N)
    ]


def critic_loss_by_hand(world, learner, batch, joint):
    losses = []
    n, foes = learner.spec.n_agents, batch.rivals[0]
    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            for i in range(n):
                following = one_hot_of_all(*next_actions(learner, batch, b, t, i))
                lagging = q_of(learner.target.net, x_of(batch, b, t + 1, joint), i, n, following)
                reward = batch.rewards[b, t, i if batch.rewards.shape[-1] > 1 else 0]
                y = (reward + (0 if batch.terminated[b, t] else world.GAMMA) * lagging).detach()
                taken = one_hot_of_all(batch.actions[b, t], foes.actions[b, t])
                losses.append((q_of(learner.net, x_of(batch, b, t, joint), i, n, taken) - y) ** 2)
    return torch.stack(losses).mean()


CASES = [
    {},
    {"individual": True},
    {"joint": True},
    {"lags": False},
    {"policy_inference": True},
    {"policy_inference": True, "individual": True, "joint": True},
    {"policy_inference": True, "alone": True},
    {"alone": True},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_critic_loss_and_gradient_equal_a_loop(world, seed, case):
    """True ends, time limits, padding and unavailable actions included."""
    case = dict(case)
    shape = {key: case.pop(key, False) for key in ("joint", "alone")}
    individual, lags = case.pop("individual", False), case.pop("lags", True)
    learner = make(world, foe_of(world, lags=lags), seed=seed, individual=individual, **shape, **case)
    batch = met(world, seed=seed, **shape, reward_dim=learner.spec.n_agents if individual else 1)
    loss = critic_loss_by_hand(world, learner, batch, shape["joint"])
    loss.backward()
    wanted = {name: p.grad.clone() for name, p in learner.critics.named_parameters()}
    learner.critic_optimizer.zero_grad()
    got, step = {}, learner.critic_optimizer.step

    def spy(loss):
        norm = step(loss)
        got.update({name: p.grad.clone() for name, p in learner.critics.named_parameters()})
        return norm

    learner.critic_optimizer.step = spy
    learner.inference = quiet(learner.inference)
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["critic_loss"], loss.detach())
    for key, gradient in wanted.items():
        torch.testing.assert_close(got[key], gradient, rtol=1e-4, atol=1e-6)


def quiet(inference):
    """Approximations that do not learn now."""
    if inference is not None:
        inference.fit = dict
    return inference


def test_padding_of_the_foes_has_no_influence(world):
    for case in ({}, {"policy_inference": True}):
        losses = []
        for rubbish in (0.0, 1e3):
            learner, batch = make(world, **case), met(world)
            (foes,) = batch.rivals
            beyond = torch.arange(batch.n_steps + 1) > batch.mask.sum(1)[:, None]
            foes.obs[beyond] = rubbish
            foes.actions[~batch.mask] = int(rubbish) % V
            learner.observe(batch)
            losses.append({key: float(value) for key, value in learner.train(batch, t_env=0).items()})
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("alone", [False, True])
def test_actors_follow_their_own_action_beside_what_both_teams_took(world, alone):
    learner, batch = make(world, alone=alone), met(world, alone=alone)
    n = learner.spec.n_agents
    chosen = torch.randn(4, 3, n, world.U, generator=torch.Generator().manual_seed(3), requires_grad=True)
    taken = learner._taken(batch)
    improved = learner.improved(learner.see(batch), taken, chosen)
    for b in range(4):
        for t in range(int(batch.mask[b].sum())):
            for i in range(n):
                joint = one_hot_of_all(batch.actions[b, t], batch.rivals[0].actions[b, t])
                joint[i, : world.U] = chosen[b, t, i]
                wanted = q_of(learner.net, batch.state[b, t], i, n, joint)
                torch.testing.assert_close(improved[b, t, i], wanted)
    (gradient,) = torch.autograd.grad(improved[..., 0].sum(), chosen)
    assert gradient[:, :, 0].any()
    assert not gradient[:, :, 1:].any()


def test_joint_actions_side_by_side():
    own, foes = torch.ones(1, 1, 1, 2), torch.full((1, 1, 2, 3), 2.0)
    assert side_by_side([own, foes]).tolist() == [[[[1, 1, 0], [2, 2, 2], [2, 2, 2]]]]
    assert side_by_side([own]) is own


# -- inference --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_rnn", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_approximations_fit_a_fixed_opponent(world, alone, use_rnn):
    """Frequencies (0.2, 0.8) within 0.01 at lambda 0; the KL is that of the foes' policy from the frequencies."""
    learner = make(world, alone=alone, use_rnn=use_rnn, policy_inference=True, inference_lr=0.02, inference_entropy=0.0)
    batch = world.batch([[0, 1]] * 100, [1] * 100, [True] * 100, masked=False)
    if alone:
        batch = batch.of_agents(torch.tensor([0]))
    chosen = (torch.arange(100) >= 20).long()[:, None, None]
    batch.actions[:] = chosen
    available = torch.ones(100, 2, N, V, dtype=torch.bool)
    available[..., 2:] = False
    obs = torch.randn(1, 1, N, SEEN, generator=torch.Generator().manual_seed(1)).expand(100, 2, N, SEEN)
    foes = dataclasses.replace(batch, obs=obs, available=available, actions=chosen.expand(100, 1, N).clone())
    learner.observe(dataclasses.replace(batch, rivals=(foes,)))
    for _ in range(400):
        learner.inference.fit()
    seen = torch.cat([obs[:1, :1], torch.eye(N).expand(1, 1, N, N)], -1)
    logits = learner.inference.nets["beliefs_foes"](seen)[0, 0]
    assert logits.shape == (learner.spec.n_agents, N, V)
    probs = logits.masked_fill(~available[0, 0], -torch.inf).softmax(-1)
    torch.testing.assert_close(probs, torch.tensor([0.2, 0.8, 0.0, 0.0]).expand_as(probs), rtol=0, atol=0.01)
    if alone:
        (rival,) = learner.rivals
        mu = rival.policy(foes, t_env=0)[0, 0].exp()[:, :2]
        wanted = (mu * (mu / torch.tensor([0.2, 0.8])).log()).sum(-1).mean()
        found = learner.inference.divergence(learner.rivals, t_env=0)["inference_kl"]()
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=1e-3)


def test_the_divergence_is_the_mean_over_all_pairs_whose_truth_is_known(world):
    """Two teammates believe of one each, and of three foes each: 2 and 6 equal pairs; those of scripts are left out."""
    learner, batch = make(world, policy_inference=True), met(world)
    learner.observe(batch)
    (rival,) = learner.rivals
    nets = learner.inference.nets
    both = float(learner.inference.divergence(learner.rivals, t_env=0)["inference_kl"])
    x = learner.controller.inputs(batch)[:, :-1]
    own = learner.controller.log_policy(batch, t_env=0)[:, :-1]
    foes = batch.rivals[0]
    seen = torch.cat([foes.obs, torch.eye(N).expand(*foes.obs.shape[:2], N, N)], -1)[:, :-1]

    def divergence(net, x, truth, available):
        beliefs = net(x).masked_fill(~available[:, :-1].unsqueeze(2), torch.finfo().min / 4).log_softmax(-1)
        return (truth.exp().unsqueeze(2) * (truth.unsqueeze(2) - beliefs)).sum(-1)[batch.mask]

    of_own = divergence(nets["beliefs"], x, own, batch.available)
    of_own = torch.stack([of_own[:, 0, 1], of_own[:, 1, 0]], -1)
    of_foes = divergence(nets["beliefs_foes"], seen, rival.policy(foes, t_env=0)[:, :-1], foes.available).flatten(1)
    assert both == pytest.approx(float(torch.cat([of_own, of_foes], -1).detach().mean()), rel=1e-4)
    script = dataclasses.replace(rival, controller=object(), lagging=None)
    again = make(world, policy_inference=True)
    again.meet([script])
    again.observe(batch)
    found = again.inference.divergence(again.rivals, t_env=0)["inference_kl"]
    assert float(found) == pytest.approx(float(of_own.detach().mean()), rel=1e-4)
    lone = make(world, script, alone=True, policy_inference=True)
    lone.observe(met(world, alone=True))
    assert "inference_kl" not in lone.train(met(world, alone=True), t_env=0)


@pytest.mark.parametrize("sharing", ["full", "none", (0, 0)])
def test_foes_have_networks_of_their_own_unless_all_own_agents_share_one(world, sharing):
    settings = EnsembleSettings(use_rnn=False, parameter_sharing=sharing, policy_ensemble=2)
    controller = EnsembleController(world.spec, settings, generators=world.generators())
    learner = MADDPGLearner(
        world.spec, MADDPGSettings(learner="maddpg_learner", policy_inference=True), controller, rivals=[FOES]
    )
    beliefs = learner.inference.nets["beliefs_foes"]
    assert len(beliefs.sets) == len(controller.groups)
    assert len(beliefs.sets[0].nets) == (1 if sharing == "full" else N)
    assert set(learner.networks()) == {"agent", "critic", "beliefs", "beliefs_foes"}


# -- who can be asked -------------------------------------------------------------------------------------------------


def test_what_acts_is_asked_for_its_policy_whatever_chooses_its_actions(world):
    """epsilon-greedy: 1 - epsilon on the best, epsilon shared out; soft and Boltzmann: what their learners believe."""
    foes = met(world).rivals[0]
    greedy = {"action_selector": "epsilon_greedy", "epsilon_start": 0.4, "epsilon_finish": 0.0}
    rival = foe_of(world, BasicController, ControllerSettings, lags=False, **greedy, epsilon_anneal_time=10)
    values = rival.controller.forward(foes).values.masked_fill(~foes.available, -torch.inf)
    best_ones = nn.functional.one_hot(values.argmax(-1), V)
    for t_env, epsilon in ((0, 0.4), (5, 0.2), (10, 0.0)):
        wanted = (1 - epsilon) * best_ones + epsilon * foes.available / foes.available.sum(-1, keepdim=True)
        log_pi = rival.policy(foes, t_env=t_env)
        torch.testing.assert_close(log_pi.exp(), wanted)
        assert log_pi.isfinite().all()
        torch.testing.assert_close(rival.following(foes, t_env=t_env), log_pi[:, 1:])
    soft = foe_of(world, lags=False, epsilon_start=0.3, epsilon_finish=0.3)
    field = foe_of(world, MeanFieldController, MeanFieldControllerSettings, lags=False)
    for one in (soft, field):
        torch.testing.assert_close(one.policy(foes, t_env=3), one.controller.log_policy(foes, t_env=3))


def test_draws_of_the_foes_next_actions_are_as_likely_as_their_lagging_policy_says(world):
    learner = make(world, target_policy="sample")
    batch = met(world)
    (rival,), (foes,) = learner.rivals, batch.rivals
    inputs = learner.controller.inputs(batch)
    drawn = torch.stack([learner._following(batch, inputs, 0)[:, :, 2:] for _ in range(2000)]).mean(0)
    logits = rival.lagging(rival.controller.inputs(foes))[:, 1:]
    wanted = logits.masked_fill(~foes.available[:, 1:], -torch.inf).softmax(-1)
    torch.testing.assert_close(drawn[batch.mask], wanted[batch.mask], rtol=0, atol=0.06)


def test_foes_with_memory_that_are_asked_need_whole_episodes(world):
    for foe, more, whole in (
        (foe_of(world), {}, False),
        (foe_of(world, use_rnn=True, lags=False), {}, True),
        (foe_of(world, use_rnn=True, lags=False), {"policy_inference": True}, False),
    ):
        learner = make(world, foe, batch_steps=5, batch_size=2, **more)
        stores = [
            Replay(spec, episode_limit=3, capacity=4, reward_dim=1, generator=np.random.default_rng(0))
            for spec in (FOES, learner.spec)
        ]
        stores[1].rivals = stores[:1]
        batch = met(world)
        stores[1].add(batch)
        learner.observe(batch)
        drawn = learner.draw(stores[1])
        assert (drawn.n_episodes, drawn.n_steps > 1) == ((2, True) if whole else (5, False))
        metrics = learner.train(drawn, t_env=0)
        assert all(np.isfinite(float(value)) for value in metrics.values())


def test_who_cannot_be_asked_is_refused_unless_inferred(world):
    mat = foe_of(world, MATController, MATControllerSettings, lags=False)
    script = dataclasses.replace(mat, controller=object(), plays="scripted:random")
    for rival in (mat, script):
        match = f"critics of 'agents' learn what 'foes' does next, but {rival.plays}, which .*policy_inference=true"
        with pytest.raises(UserError, match=match):
            make(world, rival)
        assert make(world, rival, policy_inference=True).rivals == (rival,)


def test_whose_actions_critics_know_is_a_setting():
    settings = {which: MADDPGSettings(learner="maddpg_learner", critic_teams=which) for which in ("all", "own")}
    assert {which: MADDPGLearner.sees_rivals(one) for which, one in settings.items()} == {"all": True, "own": False}
