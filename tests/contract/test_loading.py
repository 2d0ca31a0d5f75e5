"""Training on from loaded networks (checkpoint_path=), which is not a resume."""

import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder
from core.settings import config_names
from training import snapshot
from training.resuming import shape_differences


@pytest.mark.parametrize("algorithm", config_names("algs"))
def test_target_networks_follow_loaded_networks(make_experiment, tmp_path, algorithm):
    """A target that kept its random weights would be bootstrapped from until its next update."""
    first, second = make_experiment(algorithm), make_experiment(algorithm, "seed=2")
    first.iterate(Recorder())
    parts = snapshot.parts(first, sink={}, run="")
    snapshot.load_networks(second, checkpoint.save(tmp_path / "models", first.t_env, parts))
    trained = first.teams["agents"].learner.networks()
    for name, network in second.teams["agents"].learner.networks().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, trained[name].state_dict()[key])
    for target in second.teams["agents"].learner.targets().values():
        for key, value in target.net.state_dict().items():
            assert torch.equal(value, target.online.state_dict()[key]), key


def test_of_another_environment_its_name_alone_is_told():
    there = {"env": "spread", "env_args": {"n_agents": 4}, "hidden_dim": 32}
    here = {"env": "toy", "env_args": {"size": 4}, "hidden_dim": 64}
    assert shape_differences(there, here) == "env='spread' there and 'toy' here, hidden_dim=32 there and 64 here"
    assert shape_differences(there, there | {"env_args": {"n_agents": 3}}) == "env_args.n_agents=4 there and 3 here"
