"""Weighted QMIX against loops, and the fit that its weights make of matrices."""

import pytest
import torch

from controllers.basic_controller import BasicController, ControllerSettings
from learners.wqmix_learner import WQMIXLearner, WQMIXSettings


def make(world, weighting, *, seed=0, mixer="vdn", **more):
    torch.manual_seed(seed)
    settings = ControllerSettings(obs_agent_id=False, use_rnn=False)
    controller = BasicController(world.spec, settings, generators=world.generators())
    controller.agents = world.Table(torch.randn(world.S, world.A, world.U))
    settings = WQMIXSettings(
        learner="wqmix_learner", mixer=mixer, weighting=weighting, standardise_rewards=False, grad_norm_clip=1e9,
        **{"gamma": world.GAMMA, "central_hidden_dim": 8, **more},
    )  # fmt: skip
    learner = WQMIXLearner(world.spec, settings, controller)
    for net in (learner.net, learner.target.net):
        net["central_agent"] = world.Table(torch.randn(world.S, world.A, world.U))
    learner.target.net["agents"] = world.Table(torch.randn(world.S, world.A, world.U))
    learner.optimizer = learner.make_optimizer(list(learner.net.parameters()), 1e-2)
    return learner


def by_hand(world, learner, batch):
    """Weighted and central squared errors by loops, with gradient; and which decisions have full weight."""
    net, target, s_ = learner.net, learner.target.net, batch.state
    weighted, central, full = [], [], []

    def q_star(nets, b, t, actions):
        s = s_[b, t].argmax()
        chosen = torch.stack([nets["central_agent"].values[s, a, actions[a]] for a in range(world.A)])
        return nets["central_mixer"](chosen.view(1, 1, -1), s_[b, t].view(1, 1, -1)).squeeze()

    for b in range(batch.n_episodes):
        for t in range(int(batch.mask[b].sum())):
            best, following = (
                [
                    max(
                        batch.available[b, k, a].nonzero().flatten().tolist(),
                        key=lambda u: net["agents"].values[s_[b, k].argmax(), a, u].item(),
                    )
                    for a in range(world.A)
                ]
                for k in (t, t + 1)
            )
            discount = 0 if batch.terminated[b, t] else world.GAMMA
            y = (batch.rewards[b, t, 0] + discount * q_star(target, b, t + 1, following)).detach()
            s, u = s_[b, t].argmax(), batch.actions[b, t]
            total = sum(net["agents"].values[s, a, u[a]] for a in range(world.A))
            if learner.settings.weighting == "optimistic":
                full.append(bool(total < y))
            else:
                full.append(u.tolist() == best or bool(y > q_star(net, b, t, best)))
            weighted.append((1 if full[-1] else learner.settings.wqmix_alpha) * (total - y) ** 2)
            central.append((q_star(net, b, t, u) - y) ** 2)
    return torch.stack(weighted).mean(), torch.stack(central).mean(), full


@pytest.mark.parametrize("weighting", ["central", "optimistic"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_losses_and_gradients_equal_a_loop(world, weighting, seed):
    learner, batch = make(world, weighting, seed=seed), world.some_batch(seed=seed)
    weighted, central, full = by_hand(world, learner, batch)
    assert 0 < sum(full) < len(full)
    (weighted + central).backward()
    wanted = {name: p.grad.clone() for name, p in learner.net.named_parameters() if p.grad is not None}
    metrics = learner.train(batch, t_env=0)
    torch.testing.assert_close(metrics["loss"], (weighted + central).detach())
    torch.testing.assert_close(metrics["central_loss"], central.detach())
    assert float(metrics["full_weight_share"]) == pytest.approx(sum(full) / len(full))
    got = dict(learner.net.named_parameters())
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name].grad, gradient, rtol=1e-4, atol=1e-6)


GAMES = {
    "qtran": [[8.0, -12, -12], [-12, 0, 0], [-12, 0, 0]],
    "climbing": [[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]],
}


class Payoffs(torch.nn.Module):
    """Q*(s, u) of a matrix game, where every agent's value is the number of its action."""

    def __init__(self, payoffs):
        super().__init__()
        self.payoffs = payoffs

    def forward(self, q, state):
        first, second = q.long().unbind(-1)
        return self.payoffs[first, second].unsqueeze(-1)


@pytest.mark.parametrize("weighting", ["central", "optimistic"])
@pytest.mark.parametrize(
    ("game", "alpha", "greedy"),
    [("qtran", 1.0, 0.0), ("qtran", 0.1, 8.0), ("climbing", 0.5, 5.0), ("climbing", 0.1, 11.0)],
)
def test_small_weights_let_sums_of_values_find_the_best_corner(world, game, alpha, greedy, weighting):
    """Sums of values are fitted to all nine payoffs of a matrix, beside a perfect Q*."""
    learner, n, payoffs = make(world, weighting, wqmix_alpha=alpha), world.U**2, torch.tensor(GAMES[game])
    joint = torch.cartesian_prod(torch.arange(world.U), torch.arange(world.U))
    batch = world.batch([[0, 1]] * n, [1] * n, [True] * n, masked=False)
    batch.actions[:, 0] = joint
    batch.rewards[:, 0, 0] = payoffs[joint[:, 0], joint[:, 1]]
    for net in (learner.net, learner.target.net):
        net["central_agent"] = world.Table(torch.arange(float(world.U)).expand(world.S, world.A, -1))
        net["central_mixer"] = Payoffs(payoffs)
    with torch.no_grad():
        learner.net["agents"].values.zero_()
    learner.optimizer = learner.make_optimizer(list(learner.net["agents"].parameters()), 0.1)
    for _ in range(300):
        learner.train(batch, t_env=0)
    best = learner.net["agents"].values[0].argmax(-1)
    assert float(payoffs[best[0], best[1]]) == greedy
