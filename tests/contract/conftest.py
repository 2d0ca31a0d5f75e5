"""The whole program on the toy environment: settings are resolved as on the command line."""

import pytest

import learners
from core.registry import load
from core.settings import config_path, read_yaml
from training import options
from training.experiment import Experiment

SMALL = [
    "seed=1",
    "t_max=100000",
    "hidden_dim=8",
    "test_nepisode=4",
    "batch_size_run=4",
]
SMALLER = {"critic_hidden_dim": 8, "n_samples": 3, "mixing_embed_dim": 4, "hypernet_embed": 4}
SMALLER |= {"batch_size": 4, "buffer_size": 16}
"""Of what learners read; a new one that has such a setting is made small as well."""


def small(algorithm):
    """Words that make an algorithm quick."""
    learner = load(learners.REGISTRY, read_yaml(config_path("algs", algorithm))["learner"], "learner")
    words = [f"{key}={value}" for key, value in SMALLER.items() if key in learner.Settings.model_fields]
    return [*SMALL, *words, *([] if learner.on_policy else ["epsilon_anneal_time=100"])]


@pytest.fixture
def make_options(toy_env):
    """Resolve an algorithm on the toy environment: make_options("asae", "lr=0.1", "env_args.limit=3")."""

    def make(algorithm, *words):
        return options.resolve(algorithm, "toy", [*small(algorithm), *words])

    return make


@pytest.fixture
def make_experiment(make_options):
    """Build an experiment on the toy environment; closed at the end."""
    made = []

    def make(algorithm, *words):
        made.append(Experiment(make_options(algorithm, *words)))
        return made[-1]

    yield make
    for experiment in made:
        experiment.close()
