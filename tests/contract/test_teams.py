"""Two teams: every algorithm on each side, players that do not learn, and how learning begins (warm_start)."""

import numpy as np
import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder, iterate
from controllers.basic_controller import BasicController
from controllers.scripted_controller import ScriptedController
from core.data import TeamSpec, TeamStep
from core.errors import UserError
from core.protocols import Controller, Imitator
from core.settings import config_names
from envs.scripted import Memoryless
from training import snapshot
from training.experiment import Experiment
from training.options import resolve
from training.players import team_words, with_full_names

ALGORITHMS = config_names("algs")
TWO = "env_args.n_teams=2"
SIZES = {"hidden_dim": 8, "critic_hidden_dim": 8, "n_samples": 3, "batch_size": 4, "buffer_size": 16}


def sizes(team, algorithm):
    """Small networks for a team's own algorithm, as words of the command line."""
    read = resolve(algorithm, "toy", []).player.flat()
    return [f"team.{team}.{key}={value}" for key, value in SIZES.items() if key in read]


@pytest.fixture
def make_teams(toy_env):
    """Build an experiment with two teams: make_teams("asae", {"blue": "coma"}, "lr=0.1"); closed at the end."""
    made = []

    def make(algorithm, players, *words):
        own = [word for team, plays in players.items() if plays in ALGORITHMS for word in sizes(team, plays)]
        common = [TWO, "seed=1", "t_max=100000", "test_nepisode=4", "batch_size_run=4"]
        mine = [word.split(".", 2)[2] for word in sizes("red", algorithm)] if len(players) < 2 else []
        teams = [f"{team}={plays}" for team, plays in players.items()]
        made.append(Experiment(resolve(algorithm, "toy", [*common, *mine, *own, *words], teams)))
        return made[-1]

    yield make
    for experiment in made:
        experiment.close()


def weights(experiment, team):
    return {
        (file, key): value.clone()
        for file, network in experiment.teams[team].networks().items()
        for key, value in network.state_dict().items()
    }


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# -- algorithms against algorithms -----------------------------------------------------------------------------------


def counted(learner):
    """What each of its updates tells."""
    told, train = [], learner.train

    def spy(batch, **others):
        told.append(train(batch, **others))
        return told[-1]

    learner.train = spy
    return told


@pytest.mark.parametrize(("side", "opponent"), [("red", "asae"), ("red", "qmix"), ("blue", "coma"), ("blue", "qmix")])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_plays_every_team(make_teams, side, algorithm, opponent):
    """Each with its own learner, networks, buffer and update schedule; all numbers finite; both sides move."""
    experiment = make_teams(opponent, {side: algorithm})
    other = {"red": "blue", "blue": "red"}[side]
    before = {team: weights(experiment, team) for team in (side, other)}
    updates = {team: counted(experiment.teams[team].learner) for team in (side, other)}
    sink = iterate(experiment, 2)
    for team, plays in ((side, algorithm), (other, opponent)):
        own = experiment.teams[team]
        assert (own.replay is None) == (own.learner.on_policy and not own.learner.rehearses)
        player = experiment.options.player_of(team)
        assert player.plays == plays
        assert type(own.learner) is player.classes["learner"]
        metrics = [numbers for _, name, numbers in sink.learner_metrics if name == team]
        assert len(updates[team]) == (2 if own.learner.on_policy else 8)  # one per iteration, or per gathered episode
        told = updates[team] if own.learner.on_policy else updates[team][3::4]  # of an iteration's updates the last
        assert metrics == [{key: float(one) for key, one in update.items()} for update in told]
        assert all(np.isfinite(value) for numbers in metrics for value in numbers.values())
        after = weights(experiment, team)
        assert all(torch.isfinite(value).all() for value in after.values())
        assert not equal(before[team], after)
    assert all(stats.returns.keys() == experiment.teams.keys() for _, _, stats in sink.stats)


def test_a_teams_settings_are_its_own(make_teams):
    words = ["lr=0.01", "entropy_coef=0.2", "team.blue.lr=0.02"]
    options = make_teams("asae", {"blue": "coma"}, *words).options
    red, blue = options.player_of("red"), options.player_of("blue")
    assert (red.learner.lr, red.learner.entropy_coef) == (0.01, 0.2)
    assert (blue.learner.lr, blue.learner.entropy_coef) == (0.02, 0.001)  # coma.yaml's, not the other team's
    assert options.flat()["team"]["blue"]["lr"] == 0.02
    assert options.origins["team.blue.lr"] == "command line"
    assert options.origins["team.blue.entropy_coef"] == "algs/coma.yaml"
    assert options.title == "asae_blue-coma"


def test_a_team_without_a_player_of_its_own_plays_the_runs_algorithm_with_its_settings(make_teams):
    options = make_teams("coma", {}, "gamma=0.5", "team.blue.lr=0.02").options
    red, blue = options.player_of("red"), options.player_of("blue")
    assert (red.learner.gamma, blue.learner.gamma) == (0.5, 0.5)
    assert (red.learner.lr, blue.learner.lr) == (0.0003, 0.02)
    assert options.title == "coma"
    assert "team" not in make_teams("coma", {}).options.flat()


@pytest.mark.parametrize(("algorithm", "team"), [("asae", "blue"), ("qmix", "red"), ("coma", "red")])
def test_a_team_learns_a_trivial_game_whoever_plays_the_other(toy_env, algorithm, team):
    """Hints say which action is right; the other team, which acts at random, adds noise to the reward only."""
    words = [TWO, "seed=1", "t_max=4000", "test_interval=100000", "test_nepisode=40", "save_model=false"]
    quick = {
        "pg": ["lr=0.005", "critic_lr=0.01", "critic_updates=4", "use_rnn=false", "gamma=0.5", "entropy_coef=0.02",
               "standardise_advantages=true", "target_update_interval_or_tau=0.1", "returns=td_lambda"],
        "q": ["lr=0.002", "batch_size=16", "buffer_size=200", "use_rnn=false", "gamma=0.5",
              "epsilon_anneal_time=2000", "target_update_interval_or_tau=20"],
    }["q" if algorithm == "qmix" else "pg"]  # fmt: skip
    other = {"red": "blue", "blue": "red"}[team]
    experiment, sink = Experiment(resolve(algorithm, "toy", [*words, *quick], [f"{other}=random"])), Recorder()
    try:
        experiment.run(sink, save=lambda: None)
    finally:
        experiment.close()
    stats = sink.tests[-1][2]
    n = experiment.teams[team].spec.n_agents
    others = experiment.teams[other].spec.n_agents
    share = (stats.returns[team].sum() / stats.lengths.sum() + others / 3) / n  # chance: one of three available
    assert share > 0.9


# -- players that do not learn ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hinted", "scripted:hinted"])
def test_a_scripted_opponent_acts_as_specified_and_learns_nothing(make_teams, text):
    experiment = make_teams("coma", {"blue": text}, "env_args.limit=3")
    blue = experiment.teams["blue"]
    assert (blue.learner, blue.replay, blue.networks(), blue.n_parameters) == (None, None, {}, 0)
    batches, _ = experiment.runner.collect(experiment.controllers, 8, t_env=0)
    batch = batches["blue"]
    assert torch.equal(batch.actions[batch.mask], batch.obs[:, :-1][batch.mask][..., :4].argmax(-1))
    sink = iterate(experiment)
    assert {name for _, name, _ in sink.learner_metrics} == {"red"}
    assert experiment.options.title == "coma_blue-hinted"
    assert experiment.options.flat()["team"] == {"blue": {"plays": "scripted:hinted"}}


def test_the_random_player_has_streams_of_its_own_which_tests_do_not_touch(make_teams):
    runs = []
    for tests in (False, True):
        experiment = make_teams("coma", {"blue": "random"})
        actions = []
        for _ in range(3):
            if tests:
                experiment.test(Recorder())
            batches, _ = experiment.runner.collect(experiment.controllers, 4, t_env=0)
            actions.append(batches["blue"].actions)
        runs.append(actions)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    counts = np.bincount(torch.cat([a.flatten() for a in runs[0]]).numpy(), minlength=4)
    assert (counts > 0).all()


@pytest.fixture
def trained(make_teams, tmp_path):
    """A checkpoint of asae (red) against coma (blue)."""
    experiment = make_teams("asae", {"blue": "coma"}, "team.blue.hidden_dim=5", "team.blue.obs_last_action=true")
    iterate(experiment)
    return checkpoint.save(tmp_path / "models", experiment.t_env, snapshot.parts(experiment, sink={}, run=""))


def test_networks_of_both_teams_are_loaded_whatever_the_other_team_keeps(make_teams, tmp_path):
    """mappo has statistics of its values, which come with them; iql has none, and is asked for none."""
    players = {"blue": "iql"}
    first = make_teams("mappo", players)
    iterate(first)
    folder = checkpoint.save(tmp_path / "models", first.t_env, snapshot.parts(first, sink={}, run=""))
    second = make_teams("mappo", players, "seed=2")
    snapshot.load_networks(second, folder)
    assert all(equal(weights(first, team), weights(second, team)) for team in ("red", "blue"))


def test_a_frozen_opponent_is_the_checkpoints_policy_and_never_changes(make_teams, trained):
    experiment = make_teams("qmix", {"blue": f"checkpoint:{trained}"})
    blue = experiment.teams["blue"]
    assert (blue.learner, blue.replay) == (None, None)
    saved = checkpoint.read(trained, "blue_agent.th")
    settings = experiment.options.player_of("blue").controller
    assert (settings.hidden_dim, settings.obs_last_action) == (5, True)  # of the checkpoint's run
    sink = iterate(experiment, 5)
    assert {name for _, name, _ in sink.learner_metrics} == {"red"}
    now = blue.controller.agents.state_dict()
    assert now.keys() == saved.keys()
    assert all(torch.equal(now[key], saved[key]) for key in saved)
    assert experiment.options.title == "qmix_blue-frozen"


def test_a_frozen_opponent_acts_without_exploration_in_training(make_teams, tmp_path):
    first = make_teams("asae", {"blue": "iql"})  # epsilon 1 at the start
    folder = checkpoint.save(tmp_path / "models", 0, snapshot.parts(first, sink={}, run=""))
    experiment = make_teams("asae", {"blue": f"checkpoint:{folder}"})
    blue = experiment.controllers["blue"]
    batch = experiment.runner.collect(experiment.controllers, 8, t_env=0)[0]["blue"]
    best = blue.forward(batch).values[:, :-1].masked_fill(~batch.available[:, :-1], -torch.inf).argmax(-1)
    assert torch.equal(best[batch.mask], batch.actions[batch.mask])


def test_a_frozen_policy_of_the_other_team_does_not_fit(make_teams, trained):
    for other in (trained / "blue_agent.th", trained / "red_agent.th"):
        other.rename(trained / f"{'red' if 'blue' in other.name else 'blue'}_swapped")
    (trained / "red_swapped").rename(trained / "red_agent.th")
    (trained / "blue_swapped").rename(trained / "blue_agent.th")
    with pytest.raises(UserError, match=r"blue_agent\.th does not fit the team 'blue' of toy: .*number of agents"):
        make_teams("asae", {"blue": f"checkpoint:{trained}"})


def test_a_frozen_policy_that_does_not_fit_is_told_by_what_shapes_it_alone(make_teams, trained):
    """Not by what critics of either run, or the other team's networks, have otherwise."""
    with pytest.raises(UserError, match=r"or network size\. Different: hidden_dim=5 there and 6 here\.$"):
        make_teams("qmix", {"blue": f"checkpoint:{trained}"}, "team.blue.hidden_dim=6")


def test_a_scripted_team_cannot_be_taken_from_a_checkpoint(make_teams, tmp_path):
    first = make_teams("asae", {"blue": "random"})
    folder = checkpoint.save(tmp_path / "models", 0, snapshot.parts(first, sink={}, run=""))
    with pytest.raises(UserError, match="no networks of blue: scripted:random played them"):
        make_teams("asae", {"blue": f"checkpoint:{folder}"})


def test_scripted_players_are_controllers():
    class First(Memoryless):
        def act(self, step, generator):
            return step.available.argmax(-1) + 0 * generator.integers(9)

    streams = {name: np.random.default_rng(k) for k, name in enumerate(("explore", "test_policy"))}
    controller = ScriptedController(First(), generators=streams)
    kept = controller.state_dict()
    available = np.array([[[False, True], [True, True]]])
    step = TeamStep(obs=np.zeros((1, 2, 3)), state=np.zeros((1, 1)), available=available, rewards=np.zeros((1, 1)))
    for greedy, t_env, stream in ((False, 3, "explore"), (True, None, "test_policy"), (False, None, "test_policy")):
        before = controller.state_dict()
        assert controller.act(step, t_env=t_env, greedy_policy=greedy).tolist() == [[1, 0]]
        after = controller.state_dict()
        assert {name for name in after if after[name] != before[name]} == {stream}
    controller.load_state_dict(kept)
    assert controller.state_dict() == kept
    methods = {name for name in vars(Controller) if not name.startswith("_")} - {"forward"}  # only learners need it
    assert methods <= set(dir(controller))


def test_a_team_without_agents_is_refused(toy_env):
    with pytest.raises(UserError, match="team 'blue' of toy has no agents"):
        Experiment(resolve("coma", "toy", [TWO, "env_args.n_agents=1"], []))


# -- names of teams --------------------------------------------------------------------------------------------------

NAMES = ("predators", "preys")


@pytest.mark.parametrize("given", ["prey", "preys"])
@pytest.mark.parametrize("names", [NAMES, ("predator", "prey")])
def test_singular_and_plural_name_the_same_team(given, names):
    assert with_full_names({given: {"plays": "coma"}}, names, "tag") == {names[1]: {"plays": "coma"}}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"pray": {}}, ["no team 'pray'", "Did you mean 'preys'", "predators, preys"]),
        ({"agents": {}}, ["no team 'agents'", "predators, preys"]),
        ({"prey": {"plays": "a"}, "preys": {"plays": "b"}}, ["preys", "two ways", "plays"]),
    ],
)
def test_names_that_are_no_team(asked, expected):
    with pytest.raises(UserError) as caught:
        with_full_names(asked, NAMES, "tag")
    assert [word for word in expected if word not in str(caught.value)] == []


def test_settings_under_two_names_of_a_team_are_joined():
    asked = team_words(["prey=coma"], {"preys": {"lr": 1}})
    assert with_full_names(asked, NAMES, "tag") == {"preys": {"plays": "coma", "lr": 1}}


# -- the first episodes from elsewhere -------------------------------------------------------------------------------

GUIDED = ["warm_start=scripted:hinted", "warm_start_episodes=10"]


def test_without_warm_start_nothing_changes(make_experiment):
    """The settings alone, off, give the very run that there was before (their defaults)."""
    runs = []
    for words in ([], ["warm_start=", "warm_start_episodes=0", "warm_start_epochs=3"]):
        experiment = make_experiment("asae", *words)
        assert experiment.teams["agents"].guide is None
        iterate(experiment)
        runs.append(weights(experiment, "agents"))
    assert equal(*runs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_guide_gathers_the_first_episodes_and_no_more(make_experiment, algorithm):
    learner = make_experiment(algorithm).teams["agents"].learner
    if learner.on_policy and not isinstance(learner, Imitator):
        with pytest.raises(UserError, match="cannot learn from another's episodes"):
            make_experiment(algorithm, *GUIDED)
        return
    experiment = make_experiment(algorithm, *GUIDED)  # 4 episodes per iteration: 3 iterations
    team = experiment.teams["agents"]
    learnt, real = [], team.learner.observe
    team.learner.observe = lambda batch: (learnt.append(batch), real(batch))
    sink = iterate(experiment, 5)
    for k, batch in enumerate(learnt):
        hints = batch.obs[:, :-1][batch.mask][..., :4].argmax(-1)
        assert torch.equal(batch.actions[batch.mask], hints) == (k < 3)
    imitated = ["imitation_loss" in numbers for _, _, numbers in sink.learner_metrics]
    if team.learner.on_policy:
        assert imitated == [True] * 3 + [False] * 2
        assert all("pg_loss" in numbers for _, _, numbers in sink.learner_metrics[3:])
    else:
        assert not any(imitated)
    if team.replay is not None:
        assert team.replay.size == 16
    assert all(np.isfinite(value) for _, _, numbers in sink.learner_metrics for value in numbers.values())
    assert experiment.controllers["agents"] is team.controller  # tests are its own


@pytest.mark.parametrize("algorithm", ["asae", "coma", "coma_pymarl"])
def test_imitation_brings_the_actors_to_the_guide_and_the_critic_to_its_value(make_experiment, algorithm):
    """The guide earns 3 per step and no episode truly ends: with gamma 0.5 its value is 6; that of chance is 2."""
    words = ["warm_start=scripted:hinted", "warm_start_episodes=800", "env_args.ends=truncated", "lr=0.02"]
    words += [
        "warm_start_epochs=10",
        "critic_lr=0.02",
        "critic_updates=8",
        "gamma=0.5",
        "standardise_rewards=false",
        "batch_size_run=20",
    ]
    words += ["hidden_dim=16", "critic_hidden_dim=32", "critic_update_by=batch", "target_update_interval_or_tau=0.1"]
    experiment = make_experiment(algorithm, *words, "entropy_coef=0", "returns=td_lambda", "epsilon_start=0.01",
                                 "epsilon_finish=0.01")  # fmt: skip
    sink = iterate(experiment, 25)
    assert "imitation_loss" in sink.learner_metrics[-1][2]
    team = experiment.teams["agents"]
    batch = experiment.runner.collect({"agents": team.guide}, 40, t_env=0)[0]["agents"]
    probability = team.controller.log_policy(batch, t_env=0)[:, :-1].exp().gather(-1, batch.actions.unsqueeze(-1))
    assert probability[batch.mask].mean() > 0.95
    learner = team.learner
    q = learner.critic.q(learner.critic.inputs(batch), pad(batch.actions).unsqueeze(2)).squeeze(3)
    taken = q[:, :-1].gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)  # [B, T, A]
    assert (taken[batch.mask] - 6).abs().mean() < 0.5
    assert isinstance(learner, Imitator)


def pad(actions):
    return torch.cat([actions, actions[:, -1:]], 1)


def test_a_warm_start_helps_and_is_told_from_the_policys_own_tests(make_experiment):
    results = {}
    for words in ([], ["warm_start=scripted:hinted", "warm_start_episodes=80"]):
        experiment = make_experiment("asae", "lr=0.005", "test_nepisode=40", "batch_size_run=8", *words)
        iterate(experiment, 10)
        sink = Recorder()
        experiment.test(sink)
        stats = sink.tests[-1][2]
        results[len(words)] = stats.info["hits"].sum() / (3 * stats.lengths.sum())
    assert results[2] > 0.9 > results[0]


def test_a_saved_policy_can_be_the_guide(make_experiment, make_teams, trained, tmp_path):
    """In a run of two teams and in one of one team: the policy of the checkpoint gathers, with its own settings."""
    experiment = make_teams("qmix", {"red": "iql", "blue": "iql"}, f"team.blue.warm_start=checkpoint:{trained}",
                            "team.blue.warm_start_episodes=4")  # fmt: skip
    saved = checkpoint.read(trained, "blue_agent.th")
    guide = experiment.teams["blue"].guide
    assert isinstance(guide, BasicController)
    assert guide.settings.hidden_dim == 5
    assert all(torch.equal(value, saved[key]) for key, value in guide.agents.state_dict().items())
    assert experiment.teams["blue"].actor(3) is guide
    assert experiment.teams["blue"].actor(4) is experiment.controllers["blue"]
    assert experiment.teams["red"].guide is None
    one = make_experiment("coma")
    folder = checkpoint.save(tmp_path / "one", 0, snapshot.parts(one, sink={}, run=""))
    guided = make_experiment("iql", f"warm_start=checkpoint:{folder}", "warm_start_episodes=4").teams["agents"].guide
    assert equal({"": guided.agents.nets[0].fc2.weight}, {"": one.controllers["agents"].agents.nets[0].fc2.weight})


def test_a_guide_is_a_stream_of_its_own(make_experiment):
    """What the guide draws leaves the team's own exploration as it is."""
    team = make_experiment("iql", "warm_start=scripted:random", "warm_start_episodes=4").teams["agents"]
    other = make_experiment("iql").teams["agents"]
    spec = TeamSpec(name="agents", n_agents=3, n_actions=4, obs_dim=6, state_dim=13, reward_dim=1)
    step = TeamStep(obs=np.zeros((2, 3, 6), np.float32), state=np.zeros((2, 13), np.float32),
                    available=np.ones((2, spec.n_agents, spec.n_actions), bool), rewards=np.zeros((2, 1)))  # fmt: skip
    team.guide.act(step, t_env=0)
    for name, state in team.controller.state_dict().items():
        assert torch.equal(state, other.controller.state_dict()[name])
