"""HAPPO and HATRPO on the world of tables (tests/learners/conftest.py), and whole games of one step."""

import itertools
from dataclasses import replace

import torch
from torch import nn

from controllers.basic_controller import BasicController, ControllerSettings
from learners.happo_learner import HAPPOLearner
from modules.sharing import Grouped

CLIMBING = torch.tensor([[11.0, -30.0, 0.0], [-30.0, 7.0, 0.0], [0.0, 6.0, 5.0]])
BASE = {"gamma": 0.9, "standardise_rewards": False, "grad_norm_clip": 1e9, "entropy_coef": 0.0, "critic_lr": 1e-4}


class Constant(nn.Module):
    """A critic that says the same of every state."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, inputs, packing=None):
        return self.value.expand(*inputs.shape[:-1], 1)


def make(world, kind=HAPPOLearner, *, sharing="none", spec=None, seed=0, reward_dim=1, acting=None, **settings):
    """A learner with networks; ``acting`` are settings of its controller."""
    torch.manual_seed(seed)
    spec = spec or world.spec
    chosen = {"obs_agent_id": False, "use_rnn": False, "parameter_sharing": sharing, **(acting or {})}
    controller = BasicController(spec, ControllerSettings(**chosen), generators=world.generators())
    section = kind.Settings(learner=f"{kind.__name__[:-7].lower()}_learner", **{**BASE, **settings})
    return kind(spec, section, controller, reward_dim=reward_dim)


def tabular(world, learner, logits, value=0.0):
    """Give the learner tables of logits [S, A, U] for the actors, and a constant for the critic."""
    controller, critic = learner.controller, learner.critic
    controller.agents = Grouped(lambda agents: world.Table(logits[:, agents]), controller.groups)
    critic.net = Constant(value)
    critic.optimizer = learner.make_optimizer(list(critic.net.parameters()), 1e-4)
    learner.actor_optimizer = learner.make_actor_optimizer()
    return learner


def policies(learner):
    """[A, U] in state 0 of networks that are tables."""
    return torch.stack([net.values[0, 0].detach().softmax(-1) for net in learner.controller.agents.nets])


def value_of(payoff, learner):
    """What the present policies get: sum pi^1(u) pi^2(u') payoff(u, u')."""
    first, second = policies(learner)
    n = len(payoff)
    return float(first[:n] @ payoff @ second[:n])


def every_joint_action(world, payoff, repeated=None):
    """A batch of one-step games in state 0, every joint action as often as ``repeated`` says (once)."""
    n = len(payoff)
    played = [
        (u, v)
        for u, v in itertools.product(range(n), repeat=2)
        for _ in range(1 if repeated is None else repeated[u][v])
    ]
    b = len(played)
    batch = world.batch([[0, 4]] * b, [1] * b, [True] * b, masked=False)
    batch.available[..., n:] = False
    actions = torch.tensor(played)
    rewards = payoff[actions[:, 0], actions[:, 1]]
    return replace(batch, actions=actions.unsqueeze(1), rewards=rewards.view(b, 1, 1))


def climbing(world, kind, *, order=(0, 1), **settings):
    """Both agents uniform, V what that gets; the groups move in a given order."""
    learner = tabular(world, make(world, kind, **settings), torch.zeros(world.S, 2, 3), CLIMBING.mean())
    learner.order = lambda: list(order)
    return learner, every_joint_action(world, CLIMBING)


def per_action(advantages, batch, agent):
    """E[advantage | the agent's action], from [B, 1] of one agent."""
    return torch.stack([advantages[batch.actions[:, 0, agent] == u].mean() for u in range(3)])
