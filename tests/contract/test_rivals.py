"""Learners whose critics know other teams: what they store, learn from, save and refuse, in whole experiments."""

import numpy as np
import pytest
import torch

import contract_helpers
from components import checkpoint
from contract_helpers import Recorder, assert_equal
from core.errors import UserError
from training import snapshot
from training.experiment import Experiment
from training.options import resolve

TWO = ["env_args.n_teams=2", "seed=1", "t_max=100000", "test_nepisode=4", "batch_size_run=4", "hidden_dim=8"]
SMALL = [*TWO, "critic_hidden_dim=8", "batch_size=4", "buffer_size=16"]
INFERS = "policy_inference=true"


@pytest.fixture
def make(toy_env):
    """make("lr=0.1", algorithm="maddpg", blue="asae"): an experiment with two teams, closed at the end."""
    made = []

    def make(*words, algorithm="maddpg", blue=None):
        teams = [] if blue is None else [f"blue={blue}"]
        made.append(Experiment(resolve(algorithm, "toy", [*SMALL, *words], teams)))
        return made[-1]

    yield make
    for experiment in made:
        experiment.close()


def iterate(experiment, n=3):
    sink = contract_helpers.iterate(experiment, n)
    for _, _, metrics in sink.learner_metrics:
        assert np.isfinite(list(metrics.values())).all(), metrics
    return sink


def state_of(experiment):
    """All that a checkpoint keeps."""
    return snapshot.parts(experiment, sink={}, run="")


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_the_replay_keeps_what_the_other_team_keeps_of_itself(make):
    """Sub-policies included, of which a guide has none: both teams know the same ones."""
    guided = ["team.blue.warm_start=scripted:random", "team.blue.warm_start_episodes=8"]
    experiment = make("policy_ensemble=2", "env_args.limit=6", *guided)
    iterate(experiment, 5)  # 20 episodes: the ring goes round
    red, blue = (experiment.teams[name].replay for name in ("red", "blue"))
    for kept, own in ((red.rivals[0], blue), (blue.rivals[0], red)):
        assert kept.arrays.keys() == own.arrays.keys()
        assert "policies" in own.arrays
        for key, array in own.arrays.items():
            np.testing.assert_array_equal(kept.arrays[key], array, err_msg=key)


def test_who_does_not_ask_pays_nothing(make):
    asking, other = make(blue="qmix"), make("critic_teams=own")
    sizes = [experiment.teams["red"].replay.n_bytes for experiment in (asking, other)]
    kept = asking.teams["red"].replay.rivals[0]
    assert sizes[0] == sizes[1] + kept.n_bytes
    assert not other.teams["red"].replay.rivals
    assert not asking.teams["blue"].replay.rivals
    seen = []
    for name in ("red", "blue"):
        learner = asking.teams[name].learner
        learner.observe = lambda batch, real=learner.observe, name=name: (seen.append((name, batch)), real(batch))
    iterate(asking, 1)
    assert {name: len(batch.rivals) for name, batch in seen} == {"red": 1, "blue": 0}


def test_the_memory_of_replays_counts_other_teams(make):
    budget = 200_000
    words = [word for word in SMALL if not word.startswith("buffer_size")]
    experiment = Experiment(resolve("maddpg", "toy", [*words, f"buffer_memory={budget / 2**30!r}"], []))
    try:
        total = sum(team.replay.n_bytes for team in experiment.teams.values())
        assert 0.98 * budget < total <= budget
    finally:
        experiment.close()


# -- opponents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], [INFERS]], ids=str)
@pytest.mark.parametrize("opponent", ["asae", "iql", "mf_q", "maddpg", "maddpg_epymarl", "facmac", "ippo"])
def test_it_learns_beside_every_kind_of_player_that_can_be_asked(make, opponent, words):
    sink = iterate(make(*words, "standardise_rewards=true", blue=opponent))
    red = [metrics for _, team, metrics in sink.learner_metrics if team == "red"]
    assert red
    assert all(("inference_kl" in metrics) == bool(words) for metrics in red)


@pytest.mark.parametrize("opponent", ["mat", "random", "hinted"])
def test_who_cannot_be_asked_must_be_inferred_or_left_out(make, opponent):
    with pytest.raises(UserError, match=r"'red' learn what 'blue' does next, but .*Give the team 'red' policy_inf"):
        make(blue=opponent)
    iterate(make("critic_teams=own", blue=opponent))
    experiment = make(INFERS, blue=opponent)
    beliefs = experiment.teams["red"].networks()["beliefs_blue"]
    before = [value.clone() for value in beliefs.parameters()]
    iterate(experiment)
    assert not any(torch.equal(*pair) for pair in zip(beliefs.parameters(), before, strict=True))


def test_a_frozen_opponent_is_asked_too(make, tmp_path):
    """One with a memory and sub-policies of its own run, which single steps cannot show: whole episodes are drawn."""
    first = make("use_rnn=true", "policy_ensemble=3")
    iterate(first, 2)
    folder = checkpoint.save(tmp_path / "models", first.t_env, state_of(first))
    experiment = make("batch_steps=8", blue=f"checkpoint:{folder}")
    iterate(experiment)
    red = experiment.teams["red"]
    assert red.replay.rivals[0].arrays["policies"].max() == 2
    drawn = red.learner.draw(red.replay)
    assert (drawn.n_episodes, drawn.rivals[0].policies.shape) == (4, (4, 2))


def test_agents_learn_what_a_script_does(make):
    """A script does what it is told: beliefs come to it."""
    words = ["inference_lr=0.05", "inference_entropy=0", "batch_size_run=16", "buffer_size=64", "env_args.n_agents=2"]
    experiment = make(INFERS, *words, blue="hinted")
    learner, losses = experiment.teams["red"].learner, []
    fit = learner.inference.fit

    def spy():
        told = fit()
        losses.append(float(told["inference_loss"]))
        return told

    learner.inference.fit = spy
    iterate(experiment, 10)
    (seen,) = learner.inference.latest.rivals
    numbers = torch.eye(1).expand(*seen.obs.shape[:2], 1, 1)
    beliefs = learner.inference.nets["beliefs_blue"](torch.cat([seen.obs, numbers], -1))  # [B, T+1, 2, 1, U]
    right = beliefs.argmax(-1) == seen.obs[..., :4].argmax(-1).unsqueeze(2)
    assert right[seen.rows].float().mean() > 0.95
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.5


# -- saving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["floats", "image"])
@pytest.mark.parametrize(
    ("algorithm", "blue", "words"),
    [
        ("maddpg", None, []),
        ("maddpg", None, [INFERS, "policy_ensemble=2", "env_args.joint_obs=true"]),
        ("maddpg", "random", [INFERS, "policy_ensemble=3", "parameter_sharing=[0, 1, 0]"]),
        ("maddpg", "iql", ["common_reward=false", "env_args.individual_rewards=true", "obs_individual_obs=true"]),
        ("maddpg_epymarl", None, [INFERS, "policy_ensemble=2", "env_args.joint_obs=true"]),
        ("maddpg_epymarl", "asae", []),
    ],
)
def test_a_resumed_run_goes_on_bit_for_bit(make, tmp_path, algorithm, blue, words, kind):
    words = [*words, "target_update_interval_or_tau=3", f"env_args.kind={kind}"]
    first, second = (make(*words, algorithm=algorithm, blue=blue) for _ in range(2))
    iterate(first)
    folder = checkpoint.save(tmp_path / "models", first.t_env, state_of(first))
    if INFERS in words:
        assert (folder / "red_beliefs_blue.th").is_file()
    snapshot.restore(second, folder)
    sinks = [iterate(first), iterate(second)]
    assert sinks[0].learner_metrics == sinks[1].learner_metrics
    assert_equal(*({k: v for k, v in state_of(one).items() if k != "settings.pt"} for one in (first, second)))


def test_an_evaluation_asks_nobody(make, tmp_path):
    """A run is tested against whoever is to play: its critics are not used."""
    first = make()
    iterate(first, 1)
    folder = checkpoint.save(tmp_path / "models", first.t_env, state_of(first))
    words = ["evaluate=true", f"checkpoint_path={folder}"]
    tested = Experiment(resolve(None, None, words, ["blue=random"]))
    try:
        snapshot.load_networks(tested, folder)
        assert tested.test(Recorder())["test_"].returns["red"].shape == (4, 1)
    finally:
        tested.close()


def test_critics_that_know_another_team_do_not_fit_those_that_do_not(make, tmp_path):
    first = make()
    folder = checkpoint.save(tmp_path / "models", first.t_env, state_of(first))
    with pytest.raises(UserError, match=r"red_critic\.th does not fit.*critic_teams='all' there and 'own' here"):
        snapshot.load_networks(make("critic_teams=own"), folder)
