"""What learners tell later is what they would have told at once, and costs nothing that is not asked for."""

import copy
import gc
import weakref

import pytest
import torch

from contract_helpers import assert_equal, iterate
from core.data import EpisodeBatch
from core.metrics import Later
from core.settings import config_names, config_path, read_yaml

CASES = [
    *{read_yaml(config_path("algs", name))["learner"]: name for name in config_names("algs")}.values(),
    "asae advantage=doubly_robust critic_value_head=true resync=true num_mini_batch=2",
    "asae own_action=expected advantage=critic",
    "coma critic_update_by=timestep critic_updates=2",
    "ippo num_mini_batch=2 target_critic=true value_norm=true standardise_rewards=false",
    "qtran qtran=alt",
    "maddpg policy_inference=true policy_ensemble=2",
]
OFTEN = ["target_update_interval_or_tau=1.5", "env_args.limit=6"]  # what lags is copied at every update


def trained(make_experiment, case):
    """A team, and what its learner has told of its last update, not computed."""
    algorithm, *more = case.split()
    experiment = make_experiment(algorithm, *OFTEN, *more)
    iterate(experiment, 2)
    team = experiment.teams["agents"]
    batch = experiment.runner.collect(experiment.controllers, 4, t_env=0)[0]["agents"]
    return team, team.learn(batch, episode=experiment.episode + 4, t_env=experiment.t_env)


def state_of(team):
    """All that learning changes, random streams included."""
    weights = {name: net.state_dict() for name, net in team.networks().items()}
    return team.state_dict() | {"weights": weights, "torch": torch.get_rng_state()}


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_those_of_their_update(make_experiment, monkeypatch, case):
    """Read once ``train`` has moved networks, targets and statistics, they are what they were when they were made."""
    team, metrics = trained(make_experiment, case)
    before = copy.deepcopy(state_of(team))
    later = {name: float(metric) for name, metric in metrics.items()}
    assert_equal(state_of(team), before)
    make = Later.__init__

    def at_once(self, *args):
        make(self, *args)
        self()

    monkeypatch.setattr(Later, "__init__", at_once)
    again, metrics = trained(make_experiment, case)
    assert {name: float(metric) for name, metric in metrics.items()} == later
    assert_equal(state_of(again), before)


@pytest.mark.parametrize(("case", "name"), [("asae", "marginal_standard_error"), ("qmix", "td_error_abs")])
def test_what_only_tells_is_not_computed_by_learning(make_experiment, case, name):
    assert isinstance(trained(make_experiment, case)[1][name], Later)


@pytest.fixture
def new_objects():
    """What was there before is left out by the collector: looking through all of it takes most of the time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("new_objects")
@pytest.mark.parametrize("case", CASES)
def test_metrics_hold_no_graph_and_no_batch_once_they_are_dropped(make_experiment, monkeypatch, case):
    batches, make = [], EpisodeBatch.__init__

    def spy(self, **fields):
        make(self, **fields)
        batches.append(weakref.ref(self))

    monkeypatch.setattr(EpisodeBatch, "__init__", spy)
    team, metrics = trained(make_experiment, case)
    assert [x for x in gc.get_objects() if type(x) is torch.Tensor and x.grad_fn is not None] == []
    del metrics
    gc.collect()
    latest = getattr(getattr(team.learner, "inference", None), "latest", None)  # from which it will learn again
    assert all(ref() is None or ref() is latest for ref in batches)
