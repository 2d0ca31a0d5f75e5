"""The whole program on the toy environment: settings are resolved as on the command line."""

import shutil

import pytest

import core.settings
import envs
import options
import toy_vec_envs  # noqa: F401  (importable by its registry line)
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
    "iql": ["batch_size=4", "buffer_size=16", "epsilon_anneal_time=100"],
    "vdn": ["batch_size=4", "buffer_size=16", "epsilon_anneal_time=100"],
    "qmix": ["batch_size=4", "buffer_size=16", "epsilon_anneal_time=100", "mixing_embed_dim=4", "hypernet_embed=4"],
}


@pytest.fixture
def make_options(tmp_path, monkeypatch):
    """Resolve an algorithm on the toy environment: make_options("asae", "lr=0.1", "env_args.limit=3")."""
    original = core.settings.CONFIG_DIR
    folder = tmp_path / "config"
    shutil.copytree(original, folder)
    (folder / "envs" / "toy.yaml").write_text("env: toy\n")
    monkeypatch.setattr(core.settings, "CONFIG_DIR", folder)
    if hasattr(options, "CONFIG_DIR"):
        monkeypatch.setattr(options, "CONFIG_DIR", folder)
    monkeypatch.setitem(envs.REGISTRY, "toy", "toy_vec_envs:ToyVecEnv")

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
