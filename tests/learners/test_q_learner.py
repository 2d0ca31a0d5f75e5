"""Q-learning against loops over episodes, with tables for networks."""

import pytest
import torch

from controllers.basic_controller import BasicController, ControllerSettings
from core.errors import UserError
from learners.q_learner import QLearner, QLearnerSettings


def make(world, mixer, *, double_q=True, individual=False, seed=0, **more):
    torch.manual_seed(seed)
    spec = world.individual if individual else world.spec
    controller = BasicController(
        spec, ControllerSettings(obs_agent_id=False, use_rnn=False), generators=world.generators()
    )
    online, lagging = torch.randn(world.S, world.A, world.U), torch.randn(world.S, world.A, world.U)
    controller.agents = world.Table(online)
    settings = QLearnerSettings(
        learner="q_learner",
        mixer=mixer,
        double_q=double_q,
        standardise_rewards=False,
        grad_norm_clip=1e9,
        **{"gamma": world.GAMMA, **more},
    )
    learner = QLearner(spec, settings, controller, reward_dim=world.A if individual else 1)
    with torch.no_grad():
        learner.target.net["agents"].values.copy_(lagging)
        for parameter in learner.target.net["mixer"].parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return learner, online.clone().requires_grad_(), lagging


def by_hand(world, learner, batch, online, lagging, *, double_q):
    """Squared errors, targets and chosen values of every real step, by loops: lists of tensors [1] or [A]."""
    errors, targets, chosen = [], [], []
    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            s, following = batch.state[b, t].argmax(), batch.state[b, t + 1].argmax()
            taken = torch.stack([online[s, a, batch.actions[b, t, a]] for a in range(world.A)])
            best, actions = [], []
            for a in range(world.A):
                judge = online if double_q else lagging
                u = max(allowed(batch, b, t + 1, a), key=lambda u: judge[following, a, u].item())
                best.append(lagging[following, a, u])
                actions.append(u)

            def mix(net, q, k, table, actions, b=b):
                more = []
                if learner.settings.mixer == "qplex":  # it also reads the greatest values and the actions
                    s, agents = batch.state[b, k].argmax(), range(world.A)
                    greatest = [max(table[s, a, u].item() for u in allowed(batch, b, k, a)) for a in agents]
                    more = [torch.tensor(greatest).view(1, 1, -1), actions.view(1, 1, -1)]
                return net(q.view(1, 1, -1), batch.state[b, k].view(1, 1, -1), *more).view(-1)

            target_mixer = learner.target.net["mixer"]
            value = mix(target_mixer, torch.stack(best), t + 1, lagging, torch.tensor(actions)).detach()
            bootstrap = 0.0 if batch.terminated[b, t] else world.GAMMA
            target = batch.rewards[b, t] + bootstrap * value
            total = mix(learner.mixer, taken, t, online, batch.actions[b, t])
            errors.append((total - target) ** 2)
            targets.append(target.expand_as(total))
            chosen.append(total)
    return torch.stack(errors), torch.stack(targets), torch.stack(chosen)


def allowed(batch, b, t, agent):
    return batch.available[b, t, agent].nonzero().flatten().tolist()


@pytest.mark.parametrize("double_q", [True, False])
@pytest.mark.parametrize(
    ("mixer", "individual"), [("none", False), ("none", True), ("vdn", False), ("qmix", False), ("qplex", False)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_loss_targets_and_gradient_equal_a_loop(world, mixer, individual, double_q, seed):
    learner, online, lagging = make(world, mixer, double_q=double_q, individual=individual, seed=seed)
    batch = world.some_batch(seed=seed, reward_dim=world.A if individual else 1)
    errors, targets, chosen = by_hand(world, learner, batch, online, lagging, double_q=double_q)
    mixer_before = [p.detach().clone() for p in learner.mixer.parameters()]
    errors.mean().backward()
    expected_mixer = [p.grad.clone() for p in learner.mixer.parameters()]
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["loss"], errors.mean().detach())
    torch.testing.assert_close(metrics["target_mean"](), targets.mean().detach())
    torch.testing.assert_close(metrics["q_taken_mean"](), chosen.mean().detach())
    torch.testing.assert_close(metrics["td_error_abs"](), errors.detach().sqrt().mean())
    torch.testing.assert_close(learner.controller.agents.values.grad, online.grad)
    for parameter, before, gradient in zip(learner.mixer.parameters(), mixer_before, expected_mixer, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert not torch.equal(parameter, before)


@pytest.mark.parametrize("lam", [0.3, 1.0])
@pytest.mark.parametrize(("mixer", "individual"), [("none", True), ("vdn", False), ("qmix", False)])
def test_lambda_targets_equal_a_loop(world, mixer, individual, lam):
    """G_t = r_t + d_t ((1 - lambda) v_{t+1} + lambda G_{t+1}); the last step of an episode bootstraps only."""
    learner, online, lagging = make(world, mixer, individual=individual, q_lambda=lam)
    batch = world.some_batch(reward_dim=world.A if individual else 1)
    _, one_step, chosen = by_hand(world, learner, batch, online, lagging, double_q=True)
    one_step, targets = list(one_step), []
    for b in range(batch.n_episodes):
        length = int(batch.mask[b].sum())
        steps, following = [one_step.pop(0) for _ in range(length)], None
        for t in reversed(range(length)):
            target = steps[t]
            if following is not None and not batch.terminated[b, t]:
                target = (1 - lam) * target + lam * (batch.rewards[b, t] + world.GAMMA * following)
            following = target
            targets.append(target)
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["target_mean"](), torch.stack(targets).mean())
    torch.testing.assert_close(metrics["q_taken_mean"](), chosen.mean().detach())


def test_one_step_by_hand(world):
    """r = 2, gamma = .9; the target's value of the best next action is 7 by double Q and 10 without."""
    for double_q, terminated, target in ((True, False, 8.3), (False, False, 11.0), (True, True, 2.0)):
        learner, *_ = make(world, "none", double_q=double_q)
        batch = world.batch([[0, 1]], [1], [terminated], masked=False)
        batch.rewards.fill_(2.0)
        with torch.no_grad():
            learner.controller.agents.values[1] = torch.tensor([0.0, 5.0, 1.0])
            learner.target.net["agents"].values[1] = torch.tensor([10.0, 7.0, -3.0])
        assert float(learner.train(batch, t_env=0)["target_mean"]) == pytest.approx(target)


def test_a_cut_is_valued_or_taken_for_an_end(world):
    """Two steps with r = 2 each, cut; the following state's value is 7, the second state's is 3."""
    for valued, last in ((True, 2 + 0.9 * 7), (False, 2.0)):
        learner, *_ = make(world, "none", bootstrap_time_limit=valued)
        batch = world.batch([[0, 2, 1], [0, 2]], [2, 1], [False, True], masked=False)
        batch.rewards.fill_(2.0)
        with torch.no_grad():
            for agents in (learner.controller.agents, learner.target.net["agents"]):
                agents.values[1], agents.values[2] = torch.tensor([0.0, 7.0, 1.0]), torch.tensor([3.0, 0.0, 1.0])
        wanted = (2 + 0.9 * 3 + last + 2) / 3  # the shorter episode has a true end and padding after it
        assert float(learner.train(batch, t_env=0)["target_mean"]) == pytest.approx(wanted)


def test_an_unavailable_next_action_is_not_bootstrapped(world):
    learner, *_ = make(world, "none")
    batch = world.batch([[0, 1]], [1], [False], masked=False)
    batch.rewards.fill_(2.0)
    batch.available[:, 1, :, 1] = False
    with torch.no_grad():
        learner.controller.agents.values[1] = torch.tensor([0.0, 5.0, 1.0])
        learner.target.net["agents"].values[1] = torch.tensor([10.0, 7.0, -3.0])
    assert float(learner.train(batch, t_env=0)["target_mean"]) == pytest.approx(2 + 0.9 * -3)


def test_individual_rewards_reach_their_agents_only(world):
    learner, *_ = make(world, "none", individual=True, lr=0.1)
    batch = world.batch([[0, 4]], [1], [True], masked=False, reward_dim=2)
    batch.rewards[0, 0] = torch.tensor([5.0, -5.0])
    with torch.no_grad():
        learner.controller.agents.values.zero_()
    learner.train(batch, t_env=0)
    values = learner.controller.agents.values.detach()
    assert values[0, 0, batch.actions[0, 0, 0]] > 0
    assert values[0, 1, batch.actions[0, 0, 1]] < 0


@pytest.mark.parametrize("mixer", ["vdn", "qmix", "qplex"])
def test_mixers_need_one_team_reward(world, mixer):
    with pytest.raises(UserError, match="one team reward"):
        make(world, mixer, individual=True)


def test_the_target_follows_after_its_interval(world):
    learner, *_ = make(world, "vdn", target_update_interval_or_tau=2)
    batch, before = world.some_batch(), learner.target.net["agents"].values.clone()
    learner.train(batch, t_env=0)
    assert torch.equal(learner.target.net["agents"].values, before)
    learner.train(batch, t_env=0)
    assert torch.equal(learner.target.net["agents"].values, learner.controller.agents.values)


@pytest.mark.parametrize("standardise", [True, "scale", False])
def test_reward_statistics(world, standardise):
    learner, *_ = make(world, "none")
    settings = learner.settings.model_copy(update={"standardise_rewards": standardise})
    learner = QLearner(world.spec, settings, learner.controller)
    batch = world.some_batch()
    learner.observe(batch)
    seen = batch.rewards[batch.mask].double()
    centre = seen.mean() if standardise is True else 0.0
    scale = seen.std(correction=0) if standardise else 1.0
    got = learner.rewards(batch)
    torch.testing.assert_close(got, ((batch.rewards.double() - centre) / scale).float())
    assert got.shape == batch.rewards.shape


@pytest.mark.parametrize(("bounded", "target"), [(True, 2 + 0.9 * 20), (False, 2 + 0.9 * 700)])
def test_targets_stay_among_the_values_that_rewards_allow(world, bounded, target):
    """Rewards of 2 and gamma .9 allow values from 0 to 20, so a bootstrap of 700 is an overestimate."""
    learner, *_ = make(world, "none", double_q=False, bound_targets=bounded)
    batch = world.batch([[0, 1]], [1], [False], masked=False)
    batch.rewards.fill_(2.0)
    learner.observe(batch)
    with torch.no_grad():
        learner.target.net["agents"].values[1] = torch.tensor([10.0, 700.0, -3.0])
    assert float(learner.train(batch, t_env=0)["target_mean"]) == pytest.approx(target)


def test_the_value_range_without_limits(world):
    learner, *_ = make(world, "none")
    assert [x.item() for x in learner.value_range()] == [-torch.inf, torch.inf]  # nothing seen
    endless, *_ = make(world, "none", gamma=1.0)
    batch = world.batch([[0, 1]], [1], [False], masked=False)
    endless.observe(batch)
    assert [x.item() for x in endless.value_range()] == [-torch.inf, torch.inf]
