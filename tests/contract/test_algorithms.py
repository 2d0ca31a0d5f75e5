"""What every registered algorithm must do, on a small environment."""

import copy
import itertools

import numpy as np
import pytest
import torch

import controllers
import learners
from components import checkpoint
from contract_helpers import Recorder, assert_equal, iterate
from controllers.mat_controller import MATController
from core.errors import UserError
from core.packing import Packing
from core.registry import load
from core.settings import config_names, config_path, read_yaml
from training.teams import check_parts

ALGORITHMS = config_names("algs")
DTYPES = {"floats": torch.float32, "image": torch.uint8}


def learner_of(algorithm):
    return load(learners.REGISTRY, read_yaml(config_path("algs", algorithm))["learner"], "learner")


def controller_of(algorithm):
    return load(controllers.REGISTRY, read_yaml(config_path("algs", algorithm)).get("mac", "basic_mac"), "controller")


ON_POLICY = [name for name in ALGORITHMS if learner_of(name).on_policy]
REPLAYING = [name for name in ALGORITHMS if name not in ON_POLICY or learner_of(name).rehearses]


# an algorithm with settings that give it other parts
ENSEMBLES = ["maddpg policy_inference=true policy_ensemble=2", "maddpg_epymarl policy_ensemble=3 policy_inference=true",
             "facmac policy_ensemble=2"]  # fmt: skip


def weights(experiment):
    return {
        (team, file, key): value.clone()
        for team, part in experiment.teams.items()
        for file, network in part.learner.networks().items()
        for key, value in network.state_dict().items()
    }


def grouped(algorithm, sharing):
    """Several networks, where an algorithm can have them."""
    return [] if controller_of(algorithm).one_network else [f"parameter_sharing={sharing}"]


def differ(first, second):
    """Whether two networks of one kind have other weights."""
    return not all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))


def test_no_algorithm_is_forgotten():
    assert {
        "asae",
        "coma",
        "coma_pymarl",
        "iql",
        "vdn",
        "qmix",
        "ia2c",
        "maa2c",
        "ippo",
        "mappo",
        "mat",
        "mat_dec",
        "mf_ac",
        "mf_q",
        "happo",
        "hatrpo",
        "maddpg",
        "maddpg_epymarl",
        "facmac",
        "qplex",
        "qtran",
        "wqmix_cw",
        "wqmix_ow",
        "dop",
    } <= set(ALGORITHMS)


@pytest.mark.parametrize("use_rnn", [True, False])
@pytest.mark.parametrize("sharing", ["full", "none", "[0, 0, 1]"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trains(make_experiment, algorithm, sharing, use_rnn):
    """All numbers stay finite, and every parameter of every agent network moves."""
    if controller_of(algorithm).one_network and (use_rnn or sharing != "full"):
        with pytest.raises(UserError, match="use_rnn=True" if use_rnn else "is one network"):
            make_experiment(algorithm, f"parameter_sharing={sharing}", f"use_rnn={use_rnn}")
        return
    if learner_of(algorithm).several_networks and sharing == "full":
        with pytest.raises(UserError, match="parameter_sharing=full gives all 3 one network"):
            make_experiment(algorithm, f"parameter_sharing={sharing}")
        return
    experiment = make_experiment(algorithm, f"parameter_sharing={sharing}", f"use_rnn={use_rnn}")
    team = experiment.teams["agents"]
    before = weights(experiment)
    sink = iterate(experiment, 4)
    assert sink.learner_metrics
    for _, _, metrics in sink.learner_metrics:
        assert all(np.isfinite(value) for value in metrics.values()), metrics
    after = weights(experiment)
    for key, value in after.items():
        assert torch.isfinite(value).all(), key
        assert not torch.equal(value, before[key]), key
    nets = team.controller.agents.nets
    assert len(nets) == {"full": 1, "none": 3}.get(sharing, 2)
    for first, second in itertools.pairwise(nets):
        assert differ(first, second)


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if not controller_of(name).one_network])
def test_agents_that_decide_one_after_another_are_refused(make_options, algorithm):
    """Only MAT's learner can improve them; the others take agents for independent."""
    words = ["mac=mat_mac", "use_rnn=false", "parameter_sharing=full"]
    own = controller_of(algorithm).Settings.model_fields.keys() - MATController.Settings.model_fields
    given = own & read_yaml(config_path("algs", algorithm)).keys()
    said = "which this run does not use" if given else r"mac=mat_mac: its agents decide one after another.*independent"
    with pytest.raises(UserError, match=said):
        check_parts(make_options(algorithm, *words))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("words", [["env_args.heavy_mask=true"], ["env_args.limit=1"], ["env_args.n_agents=1"],
                                   ["env_args.joint_obs=true", "env_args.ends=truncated"],
                                   ["env_args.kind=bytes", "obs_last_action=true"],
                                   ["env_args.kind=image", "env_args.joint_obs=true"]], ids=str)  # fmt: skip
def test_odd_environments(make_experiment, algorithm, words):
    experiment = make_experiment(algorithm, *words)
    for _, _, metrics in iterate(experiment, 3).learner_metrics:
        assert all(np.isfinite(value) for value in metrics.values()), metrics


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_run_and_another_another(make_experiment, algorithm):
    runs = [weights_after(make_experiment(algorithm, f"seed={seed}")) for seed in (1, 1, 2)]
    assert_equal(runs[0], runs[1])
    assert any(not torch.equal(runs[0][key], runs[2][key]) for key in runs[0])


def weights_after(experiment, n=3):
    iterate(experiment, n)
    return weights(experiment)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_images_teach_what_their_floats_teach(make_experiment, algorithm, joint):
    """Bytes from the environment to the networks: the same training as with floats between 0 and 1."""
    words = ["obs_last_action=true", f"env_args.joint_obs={joint}", *grouped(algorithm, [0, 1, 0])]
    read = learner_of(algorithm).Settings.model_fields
    words += [f"{key}=true" for key in ("obs_individual_obs", "critic_last_action") if key in read]
    images = make_experiment(algorithm, *words, "env_args.kind=image")
    floats = make_experiment(algorithm, *words, "env_args.rounded=true")
    for experiment, dtype in ((images, torch.uint8), (floats, torch.float32)):
        batch = experiment.runner.collect(experiment.controllers, 4, t_env=0)[0]["agents"]
        team = experiment.teams["agents"]
        if team.replay is not None:
            team.replay.add(batch)
            batch = team.replay.sample(4)
        assert batch.obs.dtype == batch.state.dtype == dtype
        assert team.controller.inputs(batch).dtype == DTYPES[team.controller.input_kind]
        assert (batch.state.data_ptr() == batch.obs.data_ptr()) == joint
        team.learner.observe(batch)
        team.learner.train(batch, t_env=0)
    for key, value in weights(images).items():
        torch.testing.assert_close(value, weights(floats)[key], rtol=1e-3, atol=1e-4, msg=str(key))


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [(name, "floats") for name in [*ALGORITHMS, *ENSEMBLES]]
    + [(name, "image") for name in [*REPLAYING, *ENSEMBLES]],  # of which a buffer alone keeps any
)
def test_saved_and_loaded_runs_go_on_bit_for_bit(make_experiment, tmp_path, algorithm, kind):
    """Through files: networks, optimisers, targets, statistics, random streams and the replay buffer."""
    algorithm, *more = algorithm.split()
    words = [*more, *grouped(algorithm, [0, 1, 0]), "target_update_interval_or_tau=3", f"env_args.kind={kind}"]
    first, second = make_experiment(algorithm, *words), make_experiment(algorithm, *words)
    iterate(first)
    parts = {}
    for name, team in first.teams.items():
        parts[name] = {
            "networks": {file: net.state_dict() for file, net in team.learner.networks().items()},
            "team": team.state_dict(),
            "replay": team.replay.state_dict() if team.replay else None,
        }
    folder = checkpoint.save(tmp_path / "models", first.t_env, parts)
    for name, team in second.teams.items():
        saved = checkpoint.read(folder, name)
        for file, network in team.learner.networks().items():
            network.load_state_dict(saved["networks"][file])
        team.load_state_dict(saved["team"])
        if team.replay:
            team.replay.load_state_dict(saved["replay"])
    second.t_env, second.episode = first.t_env, first.episode
    second.runner.launched = first.runner.launched
    sinks = [iterate(first, 3), iterate(second, 3)]
    assert_equal(weights(first), weights(second))
    assert_equal(*[[m for _, _, m in sink.learner_metrics] for sink in sinks])
    for team in first.teams:
        assert_equal(first.teams[team].state_dict(), second.teams[team].state_dict())


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, *ENSEMBLES])
def test_tests_do_not_change_training(make_experiment, algorithm):
    algorithm, *more = algorithm.split()
    runs = []
    for words in (["test_interval=1", "test_sampled=true", "test_nepisode=5"], ["test_nepisode=0"]):
        experiment, sink = make_experiment(algorithm, "t_max=60", "save_model=false", *words, *more), Recorder()
        experiment.run(sink, save=lambda: None)
        runs.append((weights(experiment), sink))
    assert_equal(runs[0][0], runs[1][0])
    assert_equal(runs[0][1].learner_metrics, runs[1][1].learner_metrics)
    assert len(runs[0][1].tests) > 4
    assert not runs[1][1].tests
    assert {prefix for _, prefix, _ in runs[0][1].tests} == {"test_", "test_sampled_"}


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, *ENSEMBLES])
def test_two_teams(make_experiment, algorithm):
    algorithm, *more = algorithm.split()
    experiment = make_experiment(algorithm, "env_args.n_teams=2", *more)
    before = weights(experiment)
    sink = iterate(experiment, 4)
    assert {team for _, team, _ in sink.learner_metrics} == {"red", "blue"}
    after = weights(experiment)
    assert {team for team, _, _ in after} == {"red", "blue"}
    for key, value in after.items():
        assert not torch.equal(value, before[key]), key
    returns = sink.stats[0][2].returns
    assert returns.keys() == {"red", "blue"}
    np.testing.assert_allclose(returns["red"], -returns["blue"])  # a game between them
    red, blue = (experiment.teams[name].controller.agents for name in ("red", "blue"))
    assert differ(red, blue)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_individual_rewards_are_learnt_or_refused(make_experiment, algorithm):
    words = ["env_args.individual_rewards=true", "common_reward=false"]
    settings = make_experiment(algorithm).options.learner
    if learner_of(algorithm).learns_individual_rewards(settings):
        for _, _, metrics in iterate(make_experiment(algorithm, *words)).learner_metrics:
            assert np.isfinite(list(metrics.values())).all()
        return
    with pytest.raises(UserError, match="team reward"):
        make_experiment(algorithm, *words)


def test_who_learns_individual_rewards():
    """A capability of a learner with its settings, not of a name."""
    able = {"ia2c", "ippo", "ippo_epymarl", "iql", "maa2c", "mappo", "mappo_epymarl", "mat_dec", "mf_ac", "mf_q"}
    unable = {"asae", "coma", "coma_pymarl", "coma_tuned", "dop", "happo", "hatrpo", "mat", "qmix", "vdn"}
    for name in able | unable:
        learner = learner_of(name)
        settings = learner.Settings(**{
            key: value for key, value in read_yaml(config_path("algs", name)).items()
            if key in learner.Settings.model_fields
        })  # fmt: skip
        assert learner.learns_individual_rewards(settings) == (name in able), name


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_individual_rewards_made_common(make_experiment, algorithm):
    runs = {}
    for words in ([], ["env_args.individual_rewards=true"],
                  ["env_args.individual_rewards=true", "reward_scalarisation=mean"]):  # fmt: skip
        experiment = make_experiment(algorithm, *words)
        batches, _ = experiment.runner.collect(experiment.controllers, 4, t_env=0)
        runs[len(words)] = batches["agents"].rewards
    torch.testing.assert_close(runs[0], runs[1])
    torch.testing.assert_close(runs[0] / 3, runs[2])


def test_common_reward_cannot_be_split(make_experiment):
    with pytest.raises(UserError, match="one team reward"):
        make_experiment("iql", "common_reward=false")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_padding_has_no_influence(make_experiment, algorithm):
    """Whatever stands in the padding, the same iteration gives the same networks and metrics."""
    words = ["env_args.limit=6"]
    if not read_yaml(config_path("algs", algorithm)).get("value_norm"):
        words.append("standardise_rewards=true")
    experiments = [make_experiment(algorithm, *words) for _ in range(2)]
    results = []
    for rubbish, experiment in enumerate(experiments):
        team = experiment.teams["agents"]
        batch = experiment.runner.collect(experiment.controllers, 6, t_env=0)[0]["agents"]
        assert (~batch.mask).any()
        if rubbish:
            batch = spoil(batch)
        team.learner.observe(batch)
        metrics = team.learner.train(batch, t_env=0)
        results.append((weights(experiment), {k: torch.as_tensor(float(v)) for k, v in metrics.items()}))
    assert_equal_up_to_rounding(*results)


@pytest.mark.parametrize("words", [["use_rnn=true"], ["use_rnn=false", "parameter_sharing=none"]], ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_networks_leave_the_padding_out(make_experiment, monkeypatch, algorithm, words):
    """What they learn from the real rows alone is what they learn from all, which are masked."""
    if controller_of(algorithm).one_network:
        words = []
    results = []
    for packs in (True, False):
        experiment, found, of = make_experiment(algorithm, "env_args.limit=9", *words), [], Packing.of

        def spy(real, packs=packs, found=found, of=of):
            found.append(of(real) if packs else None)
            return found[-1]

        batch = experiment.runner.collect(experiment.controllers, 16, t_env=0)[0]["agents"]
        with monkeypatch.context() as patched:
            patched.setattr(Packing, "of", spy)
            experiment.teams["agents"].learner.observe(batch)
            metrics = experiment.teams["agents"].learner.train(batch, t_env=0)
        assert any(found) == packs
        results.append((weights(experiment), {k: torch.as_tensor(float(v)) for k, v in metrics.items()}))
    assert_equal_up_to_rounding(*results)


def spoil(batch):
    batch = copy.deepcopy(batch)
    length = batch.mask.sum(1)
    beyond = torch.arange(batch.n_steps + 1) > length[:, None]
    g = torch.Generator().manual_seed(0)
    batch.obs[beyond] = torch.randn(batch.obs[beyond].shape, generator=g) * 5
    batch.state[beyond] = torch.randn(batch.state[beyond].shape, generator=g) * 5
    batch.rewards[~batch.mask] = 100.0
    batch.actions[~batch.mask] = torch.randint(0, 4, batch.actions[~batch.mask].shape, generator=g)
    return batch


def assert_equal_up_to_rounding(first, second):
    for a, b in zip(first, second, strict=True):
        for key, value in a.items():
            torch.testing.assert_close(value, b[key], rtol=1e-4, atol=1e-6, msg=str(key))


@pytest.mark.parametrize("kind", ["floats", "bytes", "image"])
@pytest.mark.parametrize("algorithm", [name for name in ON_POLICY if not controller_of(name).one_network])
def test_what_acted_is_what_the_learner_believes(make_experiment, algorithm, kind):
    """The behaviour policy of the learner is that of the controller, exploration floor included."""
    words = ["obs_last_action=true", "env_args.ends=truncated", f"env_args.kind={kind}"]
    experiment = make_experiment(algorithm, *words)
    controller = experiment.controllers["agents"]
    acted = []
    original = controller._choose

    def spy(available, select):
        def seen(values, available):
            acted.append(values.clone())
            return select(values, available)

        return original(available, seen)

    controller._choose = spy
    batch = experiment.runner.collect(experiment.controllers, 4, t_env=30)[0]["agents"]
    values = controller.forward(batch).values
    for t in range(batch.n_steps):
        real = batch.mask[:, t]
        torch.testing.assert_close(acted[t][real], values[real, t], rtol=1e-4, atol=1e-5)
    epsilon = controller.epsilon(30)
    settings = experiment.options.player.controller
    assert (epsilon > 0) == (settings.epsilon_start > 0)
    soft = values.masked_fill(~batch.available, -torch.inf).softmax(-1)
    mixed = (1 - epsilon) * soft + epsilon * batch.available / batch.available.sum(-1, keepdim=True)
    torch.testing.assert_close(controller.log_policy(batch, t_env=30).exp(), mixed)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_greedy_actions_are_the_best_of_whole_episodes(make_experiment, algorithm):
    experiment = make_experiment(algorithm, "obs_last_action=true")
    batch = experiment.runner.collect(experiment.controllers, 6, t_env=None, greedy=True)[0]["agents"]
    values = experiment.controllers["agents"].forward(batch).values[:, :-1]
    best = values.masked_fill(~batch.available[:, :-1], -torch.inf).argmax(-1)
    assert torch.equal(best[batch.mask], batch.actions[batch.mask])
