"""The whole program on the toy environment: settings are resolved as on the command line."""

import pytest

import options
from experiment import Experiment

SMALL = [
    "seed=1",
    "t_max=100000",
    "hidden_dim=8",
    "test_nepisode=4",
    "batch_size_run=4",
]
OF_LEARNER = {
    "asae": ["critic_hidden_dim=8", "n_samples=3"],
    "coma": ["critic_hidden_dim=8"],
    "coma_pymarl": ["critic_hidden_dim=8"],
    "happo": ["critic_hidden_dim=8"],
    "hatrpo": ["critic_hidden_dim=8"],
    "iql": ["batch_size=4", "buffer_size=16", "epsilon_anneal_time=100"],
    "vdn": ["batch_size=4", "buffer_size=16", "epsilon_anneal_time=100"],
    "qmix": ["batch_size=4", "buffer_size=16", "epsilon_anneal_time=100", "mixing_embed_dim=4", "hypernet_embed=4"],
}


@pytest.fixture
def make_options(toy_env):
    """Resolve an algorithm on the toy environment: make_options("asae", "lr=0.1", "env_args.limit=3")."""

    def make(algorithm, *words):
        return options.resolve(algorithm, "toy", [*SMALL, *OF_LEARNER.get(algorithm, []), *words])

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
