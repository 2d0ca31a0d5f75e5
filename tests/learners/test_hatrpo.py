"""HATRPO: worked numbers of the climbing game, what is accepted and what is not; tables for networks."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from components.trust_region import FlatParameters
from estimators import surrogates
from learners import hatrpo_learner
from learners.hatrpo_learner import HATRPOLearner
from sequential_tools import CLIMBING, climbing, make, per_action, policies, value_of

KEEP = {"kl_threshold": 0.01, "line_search_accept": 0.5}


def kl_of(learner, agent):
    """True KL of an agent that was uniform before."""
    uniform = torch.full((3,), 1 / 3).log()
    return surrogates.kl(uniform, policies(learner)[agent].log()).item()


def first_turn(learner, batch):
    """Train, and return the metrics of the first turn."""
    turns, real = [], learner.turn
    learner.turn = lambda *args, **named: turns.append(real(*args, **named)) or turns[-1]
    learner.train(batch, t_env=0)
    return turns[0]


def take_whole_steps(monkeypatch):
    """Whatever they lead to."""

    def whole_step(parameters, step, accepts, *, tries, factor):
        parameters.write(parameters.read() + step)
        accepts(1.0)
        return 0

    monkeypatch.setattr(hatrpo_learner, "line_search", whole_step)


def test_the_full_step_leaves_the_region_and_the_second_is_taken(world):
    learner, batch = climbing(world, HATRPOLearner, damping=0.0, **KEEP)
    metrics = first_turn(learner, batch)
    assert metrics["step_share"] == pytest.approx(0.8)
    assert metrics["step_kl"].item() == pytest.approx(0.006551, abs=2e-5)
    assert kl_of(learner, 0) == pytest.approx(0.006551, abs=2e-5)
    step = learner.controller.agents.nets[0].values[0, 0].detach()
    torch.testing.assert_close(step, 0.8 * torch.tensor([-0.0808, -0.1181, 0.1988]), atol=2e-4, rtol=0)
    gained = policies(learner)[0] @ CLIMBING.mean(1) - CLIMBING.mean()
    assert gained.item() == pytest.approx(0.5919, abs=1e-3)


def test_damping_shortens_the_step_and_it_is_taken_at_once(world):
    learner, batch = climbing(world, HATRPOLearner, damping=0.1, **KEEP)
    metrics = first_turn(learner, batch)
    assert (metrics["step_accepted"], metrics["step_share"]) == (1.0, 1.0)
    assert metrics["step_kl"].item() == pytest.approx(0.00789, abs=2e-5)
    step = learner.controller.agents.nets[0].values[0, 0].detach()
    torch.testing.assert_close(step, torch.tensor([-0.0708, -0.1035, 0.1744]), atol=2e-4, rtol=0)


def test_the_second_agents_step_follows_the_firsts(world, monkeypatch):
    """Both take the full step."""

    take_whole_steps(monkeypatch)
    learner, batch = climbing(world, HATRPOLearner, damping=0.0, **KEEP)
    seen, real = {}, learner.turn

    def turn(it, advantages, *, t_env):
        seen[it.group] = advantages
        return real(it, advantages, t_env=t_env)

    learner.turn = turn
    learner.train(batch, t_env=0)
    expected = torch.tensor([-2.0035, -1.2179, 5.4569])
    torch.testing.assert_close(per_action(seen[1], batch, 1), expected, atol=3e-3, rtol=0)
    wanted = torch.tensor([[0.3043, 0.2932, 0.4025], [0.2937, 0.3037, 0.4026]])
    torch.testing.assert_close(policies(learner), wanted, atol=2e-4, rtol=0)
    assert value_of(CLIMBING, learner) == pytest.approx(-2.2058, abs=2e-3)
    assert kl_of(learner, 0) == pytest.approx(0.010289, abs=3e-5)


def test_steps_that_do_not_see_each_other(world, monkeypatch):
    """Both take the full step from the old policies: in this game nearly the same."""
    take_whole_steps(monkeypatch)
    learner, batch = climbing(world, HATRPOLearner, damping=0.0, **KEEP)
    real, credit = learner.turn, batch.rewards - CLIMBING.mean()
    learner.turn = lambda it, _, *, t_env: real(it, credit, t_env=t_env)
    learner.train(batch, t_env=0)
    assert value_of(CLIMBING, learner) == pytest.approx(-2.2057, abs=2e-3)


class Bell(nn.Module):
    """A Gaussian policy on a fine grid of actions [U]; its mean is the parameter."""

    def __init__(self, grid, mean, deviation):
        super().__init__()
        self.grid, self.deviation, self.mean = grid, deviation, nn.Parameter(torch.tensor(mean))

    def forward(self, x):
        logits = -((self.grid - self.mean) ** 2) / (2 * self.deviation**2)
        return logits.expand(*x.shape[:-1], -1)


@pytest.mark.parametrize(
    ("deviation", "at_once", "in_turn"), [(0.3, -0.0025, 0.0275), (0.5, -0.0625, 0.1875), (1.0, -0.5625, 0.9375)]
)
def test_gaussians_in_turn_do_not_pull_apart(world, monkeypatch, deviation, at_once, in_turn):
    """r = a1 a2, means (-.25, .25), a KL of .5, which moves a mean by its deviation; exact sums over all actions.

    At once they get -(deviation - .25)^2, in turn deviation^2 - .0625, as the second sees where the first has gone.
    """
    take_whole_steps(monkeypatch)
    grid = torch.arange(-8 * deviation - 1, 8 * deviation + 1, deviation / 3)
    n = len(grid)
    played = torch.cartesian_prod(torch.arange(n), torch.arange(n))
    batch, found = world.batch([[0, 4]] * n**2, [1] * n**2, [True] * n**2, masked=False), []
    rewards, available = grid[played].prod(-1), torch.ones(n**2, 2, 2, n, dtype=torch.bool)
    batch = replace(batch, actions=played.unsqueeze(1), rewards=rewards.view(-1, 1, 1), available=available)
    for sequential in (False, True):
        learner = make(world, HATRPOLearner, spec=replace(world.spec, n_actions=n), kl_threshold=0.5, damping=0.0)
        nets = learner.controller.agents.nets = nn.ModuleList(Bell(grid, mean, deviation) for mean in (-0.25, 0.25))
        chance = torch.stack([net(torch.zeros(1)).softmax(-1).detach() for net in nets])
        advantages = (n**2 * chance[0, played[:, 0]] * chance[1, played[:, 1]] * (rewards + 0.0625)).view(-1, 1, 1)
        learner.credit = lambda it, log_pi, advantages=advantages: (advantages.expand(-1, -1, 2), {})
        learner.order, real = (lambda: [0, 1]), learner.turn
        if not sequential:
            learner.turn = lambda it, _, *, t_env, real=real, a=advantages: real(it, a, t_env=t_env)
        learner.train(batch, t_env=0)
        found.append((nets[0].mean * nets[1].mean).item())
    assert found == pytest.approx([at_once, in_turn], abs=2e-3)


def test_one_agent_alone_takes_the_step_of_trpo(world):
    """sqrt(2 delta / x^T H x) x with (F + damping) x = g, solved as a matrix, and the first length that is accepted."""
    spec, batch = replace(world.spec, n_agents=1), world.some_batch().of_agents(torch.tensor([0]))
    settings = {"damping": 0.1, "kl_threshold": 0.01, "standardise_advantages": True, "conjugate_steps": 30}
    learner = make(world, HATRPOLearner, spec=spec, acting={"hidden_dim": 4}, **settings)
    flat = FlatParameters(learner.controller.agents.parameters())
    log_pi = learner.controller.log_policy(batch, t_env=0)
    it = learner.freeze(batch, log_pi.detach())
    before, advantages = flat.read(), learner.credit(it, None)[0]
    taken = log_pi[:, :-1].gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    gradient = flat.gradient((taken * advantages)[batch.mask].mean(), keep=True)
    kept = log_pi[:, :-1][batch.mask]
    rows = torch.stack([flat.gradient(entry, keep=True) for entry in kept.flatten()])
    weights = (kept.exp() / len(kept)).detach().flatten()
    matrix = rows.t() @ (weights.unsqueeze(-1) * rows) + 0.1 * torch.eye(len(before))
    x = torch.linalg.solve(matrix, gradient)
    step = (2 * 0.01 / (x @ matrix @ x)).sqrt() * x
    metrics = learner.train(batch, t_env=0)
    assert metrics["step_accepted"] == 1
    moved = flat.read() - before
    assert (moved - metrics["step_share"] * step).norm() < 0.02 * step.norm()


def test_a_rejected_step_leaves_every_bit(world):
    learner, batch = climbing(world, HATRPOLearner, damping=0.0, line_search_tries=1, **KEEP)
    table = learner.controller.agents.nets[0].values
    table.data.add_(0.1)  # the same policy, of numbers that are not round
    before = table.detach().clone()
    metrics = first_turn(learner, batch)
    assert (metrics["step_accepted"], metrics["step_share"], metrics["step_kl"]) == (0.0, 0.0, 0.0)
    assert torch.equal(table, before)


@pytest.mark.parametrize("use_rnn", [True, False])
def test_no_agent_leaves_its_region(world, use_rnn):
    """Of networks, over several iterations, whatever the lengths that were tried."""
    settings = {"damping": 1e-3, "kl_threshold": 0.02, "standardise_advantages": True, "active_masks": True}
    learner, batch = (
        make(world, HATRPOLearner, acting={"use_rnn": use_rnn, "hidden_dim": 16}, **settings),
        world.some_batch(),
    )
    moved = 0
    for _ in range(5):
        with torch.no_grad():
            it = learner.freeze(batch, learner.controller.log_policy(batch, t_env=0))
        metrics = learner.train(batch, t_env=0)
        with torch.no_grad():
            new = learner.controller.log_policy(batch, t_env=0)[:, :-1]
        kl = surrogates.kl(it.log_pi[:, :-1], new)
        for agent in range(2):
            assert kl[..., agent][it.weights[..., agent]].mean() <= 0.02 + 1e-6
        moved += float(metrics["step_accepted"])
        assert float(metrics["step_kl"]) > 0
    assert moved > 4


def test_without_advantages_nothing_moves(world):
    learner, batch = make(world, HATRPOLearner), world.some_batch()
    before = [p.detach().clone() for p in learner.controller.agents.parameters()]
    learner.credit = lambda it, log_pi: (torch.zeros(4, 3, 2), {})
    metrics = learner.train(batch, t_env=0)
    assert float(metrics["step_accepted"]) == 0
    after = learner.controller.agents.parameters()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_the_entropy_bonus_is_climbed_too(world):
    learner = make(world, HATRPOLearner, entropy_coef=1.0)
    for net in learner.controller.agents.nets:
        net.fc2.bias.data[0] = 2.0
    learner.credit = lambda it, log_pi: (torch.zeros(4, 3, 2), {})
    found = [float(learner.train(world.some_batch(masked=False), t_env=0)["entropy"]) for _ in range(3)]
    assert found[0] < found[1] < found[2]


def test_padding_counts_nowhere(world):
    batch, found = world.some_batch(), []
    for rubbish in (0.0, 1e3):
        learner = make(world, HATRPOLearner, standardise_advantages=True)
        rewards = batch.rewards.masked_fill(~batch.mask.unsqueeze(-1), rubbish)
        learner.train(replace(batch, rewards=rewards), t_env=0)
        found.append([p.detach().clone() for net in learner.networks().values() for p in net.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
