"""Learners see real rows alone: what they learn then is what they learn from padded ones that are masked."""

from dataclasses import replace

import pytest
import torch

from contract_helpers import iterate
from core.packing import Packing
from learners import q_learner
from modules.sparse_rows import LiveColumns

LIMIT = "env_args.limit=9"
REPLAYED = [
    "qmix use_rnn=true q_lambda=0.5 obs_last_action=true",
    "qmix hypernet_layers=1 bootstrap_time_limit=false parameter_sharing=none env_args.heavy_mask=true",
    "vdn q_lambda=0.5 bootstrap_time_limit=false use_rnn=true",
    "iql common_reward=false env_args.individual_rewards=true q_lambda=0.5 bootstrap_time_limit=false use_rnn=true",
    "iql env_args.kind=bytes obs_last_action=true use_rnn=true optimizer=rmsprop",
    "qplex q_lambda=0.5 double_q=false env_args.heavy_mask=true",
    "qtran qtran=alt use_rnn=true env_args.heavy_mask=true",
    "wqmix_cw use_rnn=true bootstrap_time_limit=false env_args.heavy_mask=true",
    "wqmix_ow q_lambda=0.5 buffer_dtype=float16",
    "mf_q use_rnn=true q_lambda=0.5 env_args.heavy_mask=true",
    "qmix env_args.limit=1",
]
NEW = [
    "asae critic_value_head=true resync=true num_mini_batch=2",
    "asae own_action=expected advantage=critic env_args.heavy_mask=true",
    "asae marginal=exact own_action=expected advantage=critic bootstrap_time_limit=false",
    "asae epsilon_start=0.4 epsilon_finish=0.2 parameter_sharing=none obs_last_action=true",
    "coma critic_update_by=timestep critic_updates=2 critic_last_action=true env_args.heavy_mask=true",
    "coma_pymarl use_rnn=true env_args.kind=bytes",
    "mappo use_rnn=true num_mini_batch=2 env_args.heavy_mask=true",
    "ia2c common_reward=false env_args.individual_rewards=true use_rnn=true bootstrap_time_limit=false",
    "maddpg use_rnn=true policy_inference=true policy_ensemble=2 q_lambda=0.5",
    "facmac use_rnn=true mixer=nonmonotonic q_lambda=0.5 env_args.heavy_mask=true",
    "dop use_rnn=true bootstrap_time_limit=false",
]


def masked(monkeypatch):
    monkeypatch.setattr(Packing, "of", lambda real: None)


def learned(team, batch):
    """All that an update tells and moves."""
    told = {key: torch.as_tensor(float(value)) for key, value in team.learner.train(batch, t_env=0).items()}
    weights = {
        f"{name}.{key}": value.clone()
        for name, network in team.networks().items()
        for key, value in network.state_dict().items()
    }
    return told | weights


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=2e-4, atol=2e-6, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("case", REPLAYED)
def test_replayed_rows_teach_what_padded_episodes_do(make_experiment, monkeypatch, case):
    """Of networks that have moved already, so that the lagging ones are others."""
    algorithm, *words = case.split()
    results = []
    for packs in (True, False):
        words_of = [LIMIT, "batch_size=16", "env_args.ends=mixed", *words]
        experiment = make_experiment(algorithm, *words_of)
        iterate(experiment, 5)
        team = experiment.teams["agents"]
        with monkeypatch.context() as patched:
            if packs:
                batch = team.learner.draw(team.replay)
            else:
                masked(patched)
                batch = team.replay.sample(16)
                assert (~batch.mask).any() or "env_args.limit=1" in words
            results.append(learned(team, batch))
    assert_same(*results)


@pytest.mark.parametrize("case", ["qmix", "iql use_rnn=true", "wqmix_cw"])
def test_inputs_of_many_agents_without_their_zero_columns_teach_the_same(make_experiment, monkeypatch, case):
    algorithm, *words = case.split()
    results = []
    for large in (1, 1 << 40):
        experiment = make_experiment(algorithm, LIMIT, "batch_size=16", "env_args.ends=mixed", *words)
        iterate(experiment, 5)
        team = experiment.teams["agents"]
        batch = team.learner.draw(team.replay)
        batch.obs[..., 1:] = 0  # most columns
        with monkeypatch.context() as patched:
            patched.setattr(q_learner, "LARGE", large)
            results.append(learned(team, batch))
            narrow = isinstance(team.learner._see(batch, 0).inputs, LiveColumns)
            assert narrow == (large == 1)
    assert_same(*results)


@pytest.mark.parametrize("case", NEW)
def test_new_episodes_teach_the_same_packed_or_padded(make_experiment, monkeypatch, case):
    algorithm, *words = case.split()
    results = []
    for packs in (True, False):
        experiment = make_experiment(algorithm, LIMIT, *words)
        team = experiment.teams["agents"]
        batch = experiment.runner.collect(experiment.controllers, 16, t_env=0)[0]["agents"]
        assert batch.packing is not None
        with monkeypatch.context() as patched:
            if not packs:
                masked(patched)
                batch = batch.to("cpu")
            batch = team.played(batch, episode=16)
            team.learner.observe(batch)
            results.append(learned(team, batch))
    assert_same(*results)


def die(batch, *, whole):
    """Agents have one action left from some step on; ``whole``: no episode ends before the others."""
    n_episodes, n_rows, n_agents = batch.available.shape[:3]
    times = torch.arange(n_rows).view(1, -1, 1)
    dead = times >= torch.randint(n_rows, (n_episodes, 1, n_agents), generator=torch.Generator().manual_seed(2))
    first = torch.arange(batch.available.shape[3]) == 0
    available = torch.where(dead.unsqueeze(-1), first, batch.available)
    mask = torch.ones_like(batch.mask) if whole else batch.mask
    return replace(batch, available=available, actions=batch.actions.masked_fill(dead[:, :-1], 0), mask=mask)


@pytest.mark.parametrize(
    "case",
    [
        "asae obs_last_action=true",
        "asae active_masks=false use_rnn=false epochs=2 resync=true",
        "coma epsilon_start=0.4 epsilon_finish=0.2 env_args.kind=bytes",
        "ia2c use_rnn=true",
        "mappo use_rnn=true num_mini_batch=2",
        "mappo use_rnn=true num_mini_batch=2 whole",
        "mat_dec",
    ],
)
def test_policies_see_no_agent_behind_its_last_choice(make_experiment, monkeypatch, case):
    """Who has one action decides nothing, so that there is nothing to learn for its network."""
    algorithm, *words = case.removesuffix(" whole").split()
    results = []
    for packs in (True, False):
        experiment = make_experiment(algorithm, LIMIT, *words)
        team = experiment.teams["agents"]
        batch = die(experiment.runner.collect(experiment.controllers, 16, t_env=0)[0]["agents"], whole="whole" in case)
        with monkeypatch.context() as patched:
            if not packs:
                masked(patched)
                batch = batch.to("cpu")
            assert not packs or batch.deciding.shape == batch.available.shape[:3]
            team.learner.observe(batch)
            results.append(learned(team, batch))
    assert_same(*results)
