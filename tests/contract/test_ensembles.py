"""Ensembles of sub-policies: who plays what, and what the learner and the replay know of it."""

import collections
import dataclasses

import numpy as np
import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder
from core.errors import UserError
from training import snapshot

K = 3
WORDS = ["policy_ensemble=3", "batch_size_run=6", "n_envs=4"]  # slots play several episodes


def gathered(experiment, n=6, **more):
    return experiment.runner.collect(experiment.controllers, n, t_env=more.pop("t_env", 0), **more)[0]["agents"]


@pytest.mark.parametrize("use_rnn", [True, False])
@pytest.mark.parametrize("sharing", ["full", "none", "[0, 1, 0]"])
def test_agents_play_one_sub_policy_throughout_an_episode(make_experiment, use_rnn, sharing):
    """Greedy actions are those of the sub-policy that the batch names, from its own memory."""
    experiment = make_experiment("maddpg", *WORDS, f"use_rnn={use_rnn}", f"parameter_sharing={sharing}")
    controller = experiment.teams["agents"].controller
    batch = gathered(experiment, greedy=True)
    assert batch.policies.shape == (6, 3)
    assert set(batch.policies.unique().tolist()) <= set(range(K))
    inputs = controller.inputs(batch)
    each = torch.stack([member(inputs) for member in controller.agents.members])
    for b in range(6):
        for a in range(3):
            own = each[batch.policies[b, a], b, :, a].masked_fill(~batch.available[b, :, a], -torch.inf)
            length = int(batch.mask[b].sum())
            assert torch.equal(own.argmax(-1)[:length], batch.actions[b, :length, a])
    torch.testing.assert_close(
        controller.forward(batch).values[batch.rows], torch.stack(
            [torch.stack([each[batch.policies[b, a], b, :, a] for a in range(3)], 1) for b in range(6)]
        )[batch.rows]
    )  # fmt: skip


def test_every_agent_draws_uniformly_for_every_episode(make_experiment):
    experiment = make_experiment("maddpg", *WORDS, "parameter_sharing=none")
    drawn = torch.cat([gathered(experiment, 60).policies for _ in range(20)])
    counts = torch.stack([(drawn == k).sum(0) for k in range(K)])
    assert ((counts - 400) ** 2 / 400).sum(0).max() < 13.8  # chi-square, 2 degrees of freedom, p = 0.001
    pairs = collections.Counter(map(tuple, drawn[:, :2].tolist()))
    assert len(pairs) == K * K  # not one for all agents


def test_tests_draw_from_a_stream_of_their_own(make_experiment):
    experiment = make_experiment("maddpg", *WORDS)
    explore = experiment.teams["agents"].controller.generators["explore"]
    before = explore.get_state()
    policies = gathered(experiment, 60, t_env=None, greedy=True).policies
    assert len(policies.unique()) == K
    assert torch.equal(explore.get_state(), before)


def test_dropped_episodes_leave_no_trace(make_experiment):
    experiment = make_experiment("maddpg", *WORDS, "env_args.fail_every=3")
    batch = gathered(experiment, 12)
    assert ((batch.policies >= 0) & (batch.policies < K)).all()


def test_the_replay_keeps_what_was_played(make_experiment):
    experiment = make_experiment("maddpg", *WORDS, "batch_size=6")
    replay = experiment.teams["agents"].replay
    batch = gathered(experiment)
    replay.add(batch)
    np.testing.assert_array_equal(replay.arrays["policies"][:6], batch.policies.numpy())


def test_a_guide_has_no_sub_policies_and_its_episodes_are_shared_out(make_experiment):
    words = [
        "warm_start=scripted:random",
        "warm_start_episodes=60",
        "batch_size_run=60",
        "batch_size=60",
        "buffer_size=60",
    ]
    experiment = make_experiment("maddpg", "policy_ensemble=3", *words)
    experiment.iterate(Recorder())
    stored = experiment.teams["agents"].replay.arrays["policies"][:60]
    assert set(np.unique(stored).tolist()) == set(range(K))


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("guide_k", [0, 3])
def test_who_infers_and_has_sub_policies_learns_from_any_guide(make_experiment, tmp_path, k, guide_k):
    """A script has no sub-policies, and another run's may be more than there are here."""
    guide = "scripted:random"
    if guide_k:
        other = make_experiment("maddpg", f"policy_ensemble={guide_k}")
        guide = f"checkpoint:{checkpoint.save(tmp_path / 'models', 0, snapshot.parts(other, sink={}, run=''))}"
    words = [f"policy_ensemble={k}", "policy_inference=true", f"warm_start={guide}", "warm_start_episodes=12"]
    experiment, sink = make_experiment("maddpg", *words, "batch_size_run=12", "batch_size=6"), Recorder()
    for _ in range(2):
        experiment.iterate(sink)
    assert len(sink.learner_metrics) > 0
    if k > 1:
        stored = experiment.teams["agents"].replay.arrays["policies"][:12]
        assert set(np.unique(stored).tolist()) == set(range(k))


@pytest.mark.parametrize("use_rnn", [True, False])
def test_what_others_may_know_of_a_policy_is_the_mean_of_the_sub_policies(make_experiment, use_rnn):
    controller = make_experiment("maddpg", *WORDS, f"use_rnn={use_rnn}").teams["agents"].controller
    batch = gathered(make_experiment("maddpg", *WORDS))
    each = [dataclasses.replace(batch, policies=torch.full_like(batch.policies, k)) for k in range(K)]
    wanted = sum(controller.acting_policy(one, t_env=0).exp() for one in each) / K
    known = controller.known_policy(batch, t_env=0)
    torch.testing.assert_close(known.exp(), wanted)
    assert not torch.allclose(controller.acting_policy(batch, t_env=0)[batch.rows], known[batch.rows], atol=1e-3)


def test_the_divergence_of_approximations_does_not_depend_on_what_was_drawn(make_experiment):
    """Of teammates and of rivals; the best approximation can only be of the mean."""
    experiment = make_experiment("maddpg", *WORDS, "policy_inference=true", "env_args.n_teams=2", "batch_size=6")
    experiment.iterate(Recorder())
    learner = experiment.teams["red"].learner

    def divergence(batch):
        learner.inference.latest = batch
        return learner.inference.divergence(learner.rivals, t_env=0)["inference_kl"]()

    batch = learner.inference.latest
    others = [dataclasses.replace(one, policies=(one.policies + 1) % K) for one in (batch, *batch.rivals)]
    assert torch.equal(divergence(batch), divergence(dataclasses.replace(others[0], rivals=tuple(others[1:]))))


def test_networks_of_other_ensembles_do_not_fit_and_it_is_said_why(make_experiment, tmp_path):
    other = make_experiment("maddpg", "policy_ensemble=3")
    folder = checkpoint.save(tmp_path / "models", 0, snapshot.parts(other, sink={}, run=""))
    with pytest.raises(UserError, match=r"Different: policy_ensemble=3 there and 2 here\.$"):
        snapshot.load_networks(make_experiment("maddpg", "policy_ensemble=2"), folder)


def test_networks_without_approximations_do_not_fit_and_it_is_said_why(make_experiment, tmp_path):
    folder = checkpoint.save(tmp_path / "models", 0, snapshot.parts(make_experiment("maddpg"), sink={}, run=""))
    said = r"has no beliefs\.th; it holds: .* Different: policy_inference=False there and True here\.$"
    with pytest.raises(UserError, match=said):
        snapshot.load_networks(make_experiment("maddpg", "policy_inference=true"), folder)


def test_one_sub_policy_is_the_basic_controller(make_experiment):
    plain, one = (make_experiment("ippo", f"mac={mac}") for mac in ("basic_mac", "ensemble_mac"))
    first, second = gathered(plain), gathered(one)
    assert second.policies is None
    for name, value in first.tensors().items():
        assert torch.equal(value, getattr(second, name)), name


@pytest.mark.parametrize("algorithm", ["ippo", "qmix", "coma"])
def test_other_learners_refuse_ensembles(make_experiment, algorithm):
    with pytest.raises(UserError, match=r"policy_ensemble=2: .* learns one policy for every agent"):
        make_experiment(algorithm, "mac=ensemble_mac", "policy_ensemble=2")


def test_a_single_graph_cannot_draw(make_experiment):
    experiment = make_experiment("maddpg", "policy_ensemble=2")
    with pytest.raises(UserError, match="export a run with policy_ensemble=1"):
        experiment.teams["agents"].controller.graphs()
