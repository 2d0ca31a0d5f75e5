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


@pytest.mark.parametrize("algorithm", ["mappo", "mat"])
def test_the_statistics_of_values_come_with_the_critic(make_experiment, tmp_path, capsys, algorithm):
    """It says values in their units; a run that evaluates, or rewards that are other numbers, have no use for them."""
    first = make_experiment(algorithm, "env_args.individual_rewards=true")
    first.iterate(Recorder())
    folder = checkpoint.save(tmp_path / "models", first.t_env, snapshot.parts(first, sink={}, run=""))
    moments = first.teams["agents"].learner.critic.norm.moments
    assert moments.any()
    for words, taken in ((["env_args.individual_rewards=true"], True), (["value_norm=false"], None)):
        second = make_experiment(algorithm, "seed=2", *words)
        snapshot.load_networks(second, folder)
        told = capsys.readouterr().err
        assert ("in other units (value_norm=True there and False here)" in told) == (taken is None), told
        norm = second.teams["agents"].learner.critic.norm
        assert (None if norm is None else torch.equal(norm.moments, moments)) == taken
    if algorithm == "mappo":
        second = make_experiment(algorithm, "env_args.individual_rewards=true", "common_reward=false")
        snapshot.load_networks(second, folder)
        assert not second.teams["agents"].learner.critic.norm.moments.any()


def test_of_another_environment_its_name_alone_is_told():
    there = {"env": "spread", "env_args": {"n_agents": 4}, "hidden_dim": 32}
    here = {"env": "toy", "env_args": {"size": 4}, "hidden_dim": 64}
    assert shape_differences(there, here) == "env='spread' there and 'toy' here, hidden_dim=32 there and 64 here"
    assert shape_differences(there, there | {"env_args": {"n_agents": 3}}) == "env_args.n_agents=4 there and 3 here"
