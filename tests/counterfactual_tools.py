"""COMA and ASAE on the world of tables (tests/learners/conftest.py)."""

import torch

from controllers.asae_controller import ASAEController, ASAEControllerSettings
from controllers.basic_controller import BasicController, ControllerSettings
from learners.asae_learner import ASAELearner, ASAESettings
from learners.coma_learner import COMALearner
from learners.counterfactual import CounterfactualSettings

BASE = {"gamma": 0.9, "standardise_rewards": False, "grad_norm_clip": 1e9, "entropy_coef": 0.03}


def make_coma(world, *, seed=0, sharing="full", epsilon=0.0, **settings):
    torch.manual_seed(seed)
    acting = ControllerSettings(
        obs_agent_id=False, use_rnn=False, parameter_sharing=sharing, epsilon_start=epsilon, epsilon_finish=epsilon
    )
    controller = BasicController(world.spec, acting, generators=world.generators())
    return COMALearner(world.spec, CounterfactualSettings(learner="coma_learner", **{**BASE, **settings}), controller)


def make_asae(world, *, spec=None, seed=0, n_samples=1, sharing="full", epsilon=0.0, **settings):
    torch.manual_seed(seed)
    spec = spec or world.spec
    acting = ASAEControllerSettings(
        obs_agent_id=False,
        use_rnn=False,
        n_samples=n_samples,
        parameter_sharing=sharing,
        epsilon_start=epsilon,
        epsilon_finish=epsilon,
    )
    controller = ASAEController(spec, acting, generators=world.generators())
    return ASAELearner(spec, ASAESettings(learner="asae_learner", **{**BASE, **settings}), controller)


def iteration(learner, batch):
    with torch.no_grad():
        log_pi = learner.controller.log_policy(batch, t_env=0)
    return learner.freeze(batch, log_pi)


def tabular(world, learner, seed=5):
    """Give the learner tables for actors, critic and target critic."""
    torch.manual_seed(seed)
    s, a, u = world.S, world.A, world.U
    learner.controller.agents = world.Table(torch.randn(s, a, u))
    critic = learner.critic
    critic.net = world.TableCritic(torch.randn(s, a, u, u))
    lagging = torch.randn(s, a, u, u)
    lagging[4] = lagging[4, :, :1]  # in the last state the partner has no influence: bootstrapping has no noise
    critic.target.online, critic.target.net = critic.net, world.TableCritic(lagging)
    learner.actor_optimizer = learner.make_optimizer(list(learner.controller.agents.parameters()), 1e-3)
    critic.optimizer = learner.make_optimizer(list(critic.net.parameters()), 1e-3)
    return learner
