"""QTRAN against loops, its theorem on two matrices, and what each part of its loss moves."""

import pytest
import torch
from torch import nn

from controllers.basic_controller import BasicController, ControllerSettings
from core.errors import UserError
from learners.qtran_learner import QTRANLearner, QTRANSettings
from modules.critics.joint_critic import JointCritic

MATRICES = {
    "qtran": ([[8.0, -12, -12], [-12, 0, 0], [-12, 0, 0]], [4.0, 0, 0]),
    "climbing": ([[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]], [5.5, 3.5, 3.5]),
}


class JointTable(nn.Module):
    """Q(s, u) of two agents: [S, U, U]."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, state, actions):
        first, second = actions.unbind(-1)
        return self.values[state.argmax(-1), first, second].unsqueeze(-1)

    def each(self, state, actions):
        per_state, (first, second) = self.values[state.argmax(-1)], actions.unbind(-1)
        beside = torch.arange(per_state.shape[0])[:, None], torch.arange(per_state.shape[1])
        return torch.stack([per_state[(*beside, slice(None), second)], per_state[(*beside, first)]], 2)


class ValueTable(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, x):
        return (x * self.values).sum(-1, keepdim=True)


def make(world, *, kind="base", seed=0, **more):
    torch.manual_seed(seed)
    settings = ControllerSettings(obs_agent_id=False, use_rnn=False)
    controller = BasicController(world.spec, settings, generators=world.generators())
    controller.agents = world.Table(torch.randn(world.S, world.A, world.U))
    settings = QTRANSettings(
        learner="qtran_learner",
        qtran=kind,
        standardise_rewards=False,
        grad_norm_clip=1e9,
        **{"gamma": world.GAMMA, **more},
    )
    learner = QTRANLearner(world.spec, settings, controller)
    for net in (learner.net, learner.target.net):
        net["joint"] = JointTable(torch.randn(world.S, world.U, world.U))
        net["value"] = ValueTable(torch.randn(world.S))
    learner.target.net["agents"] = world.Table(torch.randn(world.S, world.A, world.U))
    learner.optimizer = learner.make_optimizer(list(learner.net.parameters()), 1e-2)
    return learner


def by_hand(world, learner, batch):
    """The three losses by loops, with gradient."""
    q, joint, value = (learner.net[name].values for name in ("agents", "joint", "value"))
    parts = {"joint_loss": [], "opt_loss": [], "nopt_loss": []}
    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            s, following, u = batch.state[b, t].argmax(), batch.state[b, t + 1].argmax(), batch.actions[b, t]
            best, following_best = (
                [max(allowed(batch, b, k, a), key=lambda x: q[z, a, x].item()) for a in range(world.A)]
                for k, z in ((t, s), (t + 1, following))
            )
            lagging = learner.target.net["joint"].values[following, following_best[0], following_best[1]]
            y = batch.rewards[b, t, 0] + (0 if batch.terminated[b, t] else world.GAMMA) * lagging
            parts["joint_loss"].append((joint[s, u[0], u[1]] - y.detach()) ** 2)
            fixed = joint[s].detach()

            def d(first, second, s=s, fixed=fixed):
                return q[s, 0, first] + q[s, 1, second] - fixed[first, second] + value[s]

            parts["opt_loss"].append(d(*best) ** 2)
            if learner.settings.qtran == "base":
                parts["nopt_loss"].append(min(d(u[0], u[1]), torch.tensor(0.0)) ** 2)
            else:
                rows = [[d(x, u[1]) for x in allowed(batch, b, t, 0)], [d(u[0], x) for x in allowed(batch, b, t, 1)]]
                parts["nopt_loss"].append(sum(min(row) ** 2 for row in rows) / 2)
    return {name: torch.stack(terms).mean() for name, terms in parts.items()}


def allowed(batch, b, t, agent):
    return batch.available[b, t, agent].nonzero().flatten().tolist()


@pytest.mark.parametrize("kind", ["base", "alt"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_losses_and_gradients_equal_a_loop(world, kind, seed):
    learner = make(world, kind=kind, seed=seed, lambda_opt=0.7, lambda_nopt=0.3)
    batch = world.some_batch(seed=seed)
    wanted = by_hand(world, learner, batch)
    total = wanted["joint_loss"] + 0.7 * wanted["opt_loss"] + 0.3 * wanted["nopt_loss"]
    total.backward()
    gradients = {name: learner.net[name].values.grad.clone() for name in ("agents", "joint", "value")}
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["loss"], total.detach())
    for name, number in wanted.items():
        torch.testing.assert_close(metrics[name], number.detach())
    for name, gradient in gradients.items():
        torch.testing.assert_close(learner.net[name].values.grad, gradient)


@pytest.mark.parametrize("kind", ["base", "alt"])
def test_conditions_do_not_move_the_joint_value(world, kind):
    """With targets that Q meets already, its gradient is exactly 0 though those of q and V are not."""
    learner = make(world, kind=kind)
    batch = world.batch([[0, 1], [2, 1]], [1, 1], [True, True], masked=False)
    with torch.no_grad():
        batch.rewards.copy_(learner.net["joint"](batch.state[:, :-1], batch.actions))
    learner.train(batch, t_env=0)
    assert torch.count_nonzero(learner.net["joint"].values.grad) == 0
    assert torch.count_nonzero(learner.net["agents"].values.grad) > 0
    assert torch.count_nonzero(learner.net["value"].values.grad) > 0


@pytest.mark.parametrize("kind", ["base", "alt"])
@pytest.mark.parametrize("game", MATRICES)
def test_the_exact_solution_of_a_matrix_costs_nothing(world, game, kind):
    """q1 = q2 = (4, 0, 0) and (5.5, 3.5, 3.5), V = 0, Q the payoffs: all conditions hold for every joint action."""
    payoffs, own = MATRICES[game]
    learner, n = make(world, kind=kind), world.U**2
    batch = world.batch([[0, 1]] * n, [1] * n, [True] * n, masked=False)
    joint = torch.cartesian_prod(torch.arange(world.U), torch.arange(world.U))
    batch.actions[:, 0] = joint
    payoffs = torch.tensor(payoffs)
    batch.rewards[:, 0, 0] = payoffs[joint[:, 0], joint[:, 1]]
    with torch.no_grad():
        learner.net["joint"].values[0] = payoffs
        learner.net["agents"].values[0] = torch.tensor(own)
        learner.net["value"].values.zero_()
    metrics = learner.train(batch, t_env=0)
    if kind == "base":
        assert float(metrics["loss"]) == pytest.approx(0, abs=1e-10)
    else:  # the minimum over own actions is reached at 0 beside greedy partners alone
        assert float(metrics["opt_loss"]) == pytest.approx(0, abs=1e-10)


def test_two_agents_with_rewards_of_their_own_are_refused(world):
    controller = BasicController(world.individual, ControllerSettings(), generators=world.generators())
    with pytest.raises(UserError, match="one team reward"):
        QTRANLearner(world.individual, QTRANSettings(learner="qtran_learner"), controller, reward_dim=world.A)


def test_values_of_all_own_actions_are_those_of_the_joint_actions():
    torch.manual_seed(0)
    net, state = JointCritic(4, 3, 5, hidden_dim=8), torch.randn(2, 3, 4)
    actions = torch.randint(0, 5, (2, 3, 3))
    every = net.each(state, actions)
    assert every.shape == (2, 3, 3, 5)
    for agent in range(3):
        for own in range(5):
            changed = actions.clone()
            changed[..., agent] = own
            torch.testing.assert_close(every[:, :, agent, own], net(state, changed).squeeze(-1))
