"""``parameter_sharing=seps`` in whole experiments: what is found is as if it had been given, and is found once."""

import pytest
import torch

from components import checkpoint
from contract_helpers import iterate
from core.errors import UserError
from training import grouping, options, snapshot
from training.experiment import Experiment
from training.teams import check_parts

SEPS = ["parameter_sharing=seps", "env_args.kinds=2", "seps_steps=500", "seps_lr=3e-3", "seps_batch_size=64"]
ON, OFF = "mappo", "qmix"


def weights(experiment):
    return {
        (team, file, key): value.clone()
        for team, part in experiment.teams.items()
        for file, network in part.networks().items()
        for key, value in network.state_dict().items()
    }


def groups(experiment, team="agents"):
    return experiment.controllers[team].groups


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture
def saved(make_experiment, tmp_path, monkeypatch):
    """A run of an algorithm after three iterations, its checkpoint; and nobody gathers any more."""

    def make(algorithm, *words):
        experiment = make_experiment(algorithm, *SEPS, *words)
        iterate(experiment)
        parts = snapshot.parts(experiment, sink={}, run=str(tmp_path))
        folder = checkpoint.save(tmp_path / algorithm, experiment.t_env, parts)
        monkeypatch.setattr(grouping, "_gathered", lambda *_: pytest.fail("gathered again"))
        return experiment, folder

    return make


@pytest.mark.parametrize("algorithm", [ON, OFF])
def test_what_is_found_is_as_if_it_had_been_given(make_experiment, algorithm):
    """Bit for bit: gathering leaves no trace in the seeds and random streams of training, and costs none of t_max."""
    found = make_experiment(algorithm, *SEPS)
    assert groups(found) == [[0, 2], [1]]
    assert (found.t_env, found.episode, found.runner.launched) == (0, 0, 0)
    given = make_experiment(algorithm, "parameter_sharing=[0, 1, 0]", "env_args.kinds=2")
    assert iterate(found).learner_metrics == iterate(given).learner_metrics
    assert equal(weights(found), weights(given))


def test_it_is_a_setting_of_the_run_from_there_on(make_experiment):
    chosen = make_experiment(ON, *SEPS).options
    assert chosen.flat()["parameter_sharing"] == "seps"
    assert chosen.flat()["seps_groups"] == {"agents": [0, 1, 0]}
    assert grouping.told(chosen) == {"groups": "2 of 3 agents, found by seps: 0 1 0"}
    assert grouping.told(make_experiment(ON).options) == {}


def test_agents_that_are_alike_are_one_group(make_experiment):
    assert groups(make_experiment(ON, *SEPS, "env_args.kinds=1")) == [[0, 1, 2]]


@pytest.mark.parametrize("algorithm", [ON, OFF])
def test_a_resumed_run_goes_on_bit_for_bit_without_gathering(make_experiment, saved, algorithm):
    first, folder = saved(algorithm)
    second = Experiment(options.resolve(None, None, [f"resume={folder}"]))
    snapshot.restore(second, folder)
    assert groups(second) == [[0, 2], [1]]
    assert iterate(first).learner_metrics == iterate(second).learner_metrics
    assert equal(weights(first), weights(second))
    second.close()
    for words in (["parameter_sharing=none"], ["parameter_sharing=[0, 1, 0]"]):
        with pytest.raises(UserError, match="continues a run with parameter_sharing='seps' exactly"):
            options.resolve(None, None, [f"resume={folder}", *words])


def test_a_test_a_new_run_from_its_networks_and_a_frozen_policy_have_the_groups(make_experiment, saved):
    first, folder = saved(ON)
    tested = Experiment(options.resolve(None, None, [f"checkpoint_path={folder}", "evaluate=true"]))
    snapshot.load_networks(tested, folder)
    assert equal(weights(first), weights(tested))
    tested.close()
    again = make_experiment(ON, *SEPS, f"checkpoint_path={folder}", "seed=2")
    snapshot.load_networks(again, folder)
    assert groups(again) == [[0, 2], [1]]
    assert equal(weights(first), weights(again))
    two = ["env_args.n_teams=2", "env_args.kinds=2", "hidden_dim=8", "critic_hidden_dim=8"]
    play = options.resolve(ON, "toy", two, [f"red=checkpoint:{folder}"])
    frozen = Experiment(play)
    assert groups(frozen, "red") == [[0, 2], [1]]  # a run of one team has one policy
    assert groups(frozen, "blue") == [[0, 1]]
    frozen.close()


def test_every_team_has_groups_of_its_own(make_experiment):
    both = make_experiment(ON, *SEPS, "env_args.n_teams=2")
    assert [groups(both, team) for team in ("red", "blue")] == [[[0, 2], [1]], [[0], [1]]]
    assert both.options.flat()["seps_groups"] == {"red": [0, 1, 0], "blue": [0, 1]}
    assert grouping.told(both.options)["red groups"] == "2 of 3 agents, found by seps: 0 1 0"
    words = [word for word in SEPS if not word.startswith("parameter")]
    small = ["hidden_dim=8", "critic_hidden_dim=8", "env_args.n_teams=2", "batch_size_run=4", "seed=1"]
    own = options.resolve(ON, "toy", [*words, *small, "team.red.parameter_sharing=seps", "parameter_sharing=none"])
    one = Experiment(own)
    assert [groups(one, team) for team in ("red", "blue")] == [[[0, 2], [1]], [[0], [1]]]
    assert one.options.flat()["team"]["red"]["seps_groups"] == {"red": [0, 1, 0]}
    assert one.options.flat()["seps_groups"] == {}
    one.close()


def test_players_of_both_teams(toy_env, tmp_path):
    """--team: one learns on the policy, the other from replay; exact resume."""
    off = [f"team.blue.{word}" for word in (*SEPS[:1], *SEPS[2:], "batch_size=4", "buffer_size=16", "hidden_dim=8")]
    words = [*SEPS, *off, "env_args.n_teams=2", "hidden_dim=8", "critic_hidden_dim=8", "seed=1", "batch_size_run=4"]
    first = Experiment(options.resolve(ON, "toy", words, ["blue=vdn"]))
    assert [groups(first, team) for team in ("red", "blue")] == [[[0, 2], [1]], [[0], [1]]]
    iterate(first)
    folder = checkpoint.save(tmp_path / "models", first.t_env, snapshot.parts(first, sink={}, run=str(tmp_path)))
    second = Experiment(options.resolve(None, None, [f"resume={folder}"]))
    snapshot.restore(second, folder)
    assert iterate(first).learner_metrics == iterate(second).learner_metrics
    assert equal(weights(first), weights(second))
    rows = {"red groups": "2 of 3 agents, found by seps: 0 1 0", "blue groups": "2 of 2 agents, found by seps: 0 1"}
    assert grouping.told(second.options) == rows
    first.close()
    second.close()


def test_learners_that_need_several_networks_or_have_one(make_experiment, monkeypatch):
    assert len(groups(make_experiment("happo", *SEPS))) == 2
    with pytest.raises(UserError, match=r"parameter_sharing=seps \(which found one group\) gives all 3 one network"):
        make_experiment("happo", *SEPS, "env_args.kinds=1")
    monkeypatch.setattr(grouping, "_gathered", lambda *_: pytest.fail("gathered what cannot be used"))
    with pytest.raises(UserError, match="parameter_sharing=seps: MAT is one network"):
        make_experiment("mat", *SEPS)


def test_a_sweep_is_checked_without_gathering(make_options, monkeypatch):
    monkeypatch.setattr(grouping, "_gathered", lambda *_: pytest.fail("gathered"))
    check_parts(make_options("happo", *SEPS))
    with pytest.raises(UserError, match="MAT is one network"):
        check_parts(make_options("mat", *SEPS))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["env_args.n_agents=1"], "'agents' has one agent, so there is nobody .*: give parameter_sharing=full"),
        (["seps_hidden_dim=100000000000"], "Not enough memory for seps's autoencoder.*: lower seps_hidden_dim"),
        (["env_args.kind=image"], "observations of 'agents' are pictures"),
        (["seps_steps=0"], "seps_steps=0 .*greater than or equal to 1"),
        (["seps_groups={agents: [0, 1, 1]}"], r"seps_groups is what a run finds: give parameter_sharing=\[0, 0, 1\]"),
    ],
)
def test_mistakes(make_experiment, words, told):
    with pytest.raises(UserError, match=told):
        make_experiment(ON, *SEPS, *words)


def test_settings_of_seps_that_nothing_reads(make_experiment, make_options):
    """One word where no team has its groups found; what one of the teams reads is no mistake."""
    with pytest.raises(UserError, match=r"^seps_lr, seps_steps: nothing reads this without parameter_sharing=seps"):
        make_experiment(ON, "seps_steps=500", "seps_lr=0.1")
    with pytest.raises(UserError, match=r"^seps_steps: nothing reads"):
        check_parts(make_options(ON, "seps_steps=500", "parameter_sharing=none"))  # of a sweep
    teams = ["env_args.n_teams=2", "team.red.parameter_sharing=seps"]
    with pytest.raises(UserError, match=r"^team\.blue\.seps_lr: .* without team\.blue\.parameter_sharing=seps"):
        check_parts(make_options(ON, *teams, "team.blue.seps_lr=0.1"))
    check_parts(make_options(ON, *teams, "seps_steps=500", "team.red.seps_lr=0.1", "team.blue.lr=0.1"))
    with pytest.raises(UserError, match=r"^seps_steps: nothing reads"):
        check_parts(make_options(ON, *teams, "seps_steps=500", "team.red.parameter_sharing=full"))


def test_a_team_of_one_beside_another_is_a_group(make_experiment):
    experiment = make_experiment(ON, *SEPS, "env_args.n_agents=2", "env_args.n_teams=2")
    assert experiment.teams["blue"].controller.groups == [[0]]
    assert set(experiment.options.player.controller.seps_groups) == {"red"}


def test_networks_of_other_groups(make_experiment, saved, tmp_path):
    """As many networks would fit, and act for the wrong agents."""
    _, folder = saved(ON)
    other = make_experiment(ON, "parameter_sharing=[0, 1, 1]", f"checkpoint_path={folder}")
    with pytest.raises(
        UserError, match=r"other groups of agents of 'agents': \[\[0, 2\], \[1\]\] there, \[\[0\], \[1, 2\]"
    ):
        snapshot.load_networks(other, folder)
    frozen = ["red=checkpoint:" + str(folder)]
    words = ["env_args.n_teams=2", "team.red.parameter_sharing=[0, 0, 1]"]
    with pytest.raises(UserError, match=r"other groups .*parameter_sharing=\[0, 1, 0\]"):
        Experiment(options.resolve(ON, "toy", words, frozen))
    full = make_experiment(OFF)
    place = checkpoint.save(tmp_path / "full", 1, snapshot.parts(full, sink={}, run=""))
    with pytest.raises(UserError, match=r"has no groups of 'agents' that seps found \(parameter_sharing=full there\)"):
        make_experiment(OFF, *SEPS, f"checkpoint_path={place}")
    with pytest.raises(UserError, match="none are known for these 3"):
        Experiment(options.resolve(None, None, [f"checkpoint_path={place}", "evaluate=true", "parameter_sharing=seps"]))
    with pytest.raises(UserError, match="those of 3 agents are known for these 4"):
        Experiment(options.resolve(None, None, [f"checkpoint_path={folder}", "evaluate=true", "env_args.n_agents=4"]))


def found(env, *words):
    """Groups of the one team of an environment of ours."""
    small = ["seed=1", "test_nepisode=0", "hidden_dim=8", "critic_hidden_dim=8", "batch_size_run=10"]
    experiment = Experiment(options.resolve(ON, env, [*small, "parameter_sharing=seps", *words]))
    experiment.close()
    return experiment


def test_the_types_of_a_battle_are_found():
    """MMM2: two marauders, seven marines, a medivac, by what they meet: the words for their types are left out."""
    experiment = found("battle", "env_args.map_name=MMM2")
    assert experiment.options.player.controller.seps_groups["agents"] == experiment.spec.teams[0].types


def test_the_agents_of_spread_are_one_group():
    experiment = found("spread", "seps_steps=5000", "seps_epochs=5")
    assert groups(experiment) == [[0, 1, 2]]
