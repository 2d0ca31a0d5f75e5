"""The mean action of acting is that of learning: slots that restart, deaths, all neighbours, other processes."""

import pickle

import numpy as np
import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder
from core.errors import UserError
from envs.battle.battle import Battle
from envs.particle.predator_prey import PredatorPrey
from envs.particle.simple_tag import SimpleTag
from envs.particle.spread import Spread
from envs.particle.spread_paper import SpreadPaper
from runners.parallel_runner import Collection
from training import snapshot
from training.experiment import Experiment
from training.options import resolve

QUICK = ["seed=3", "hidden_dim=8", "test_nepisode=0", "recommended=false"]
NEAREST = ["neighbours=nearest", "neighbour_count=1"]
BATTLE = ["env_args.map_name=3m"]
WORLDS = [
    ("battle", BATTLE),
    ("battle", [*BATTLE, "neighbours=radius", "neighbour_radius=2.5", "obs_last_action=true"]),
    ("battle", [*BATTLE, *NEAREST, "use_rnn=false", "parameter_sharing=none"]),
    ("spread", ["env_args.time_limit=6", "neighbours=radius", "neighbour_radius=0.7"]),
]


@pytest.fixture
def make():
    made = []

    def make(config, env, *words, teams=()):
        made.append(Experiment(resolve(config, env, [*QUICK, *words], teams=teams)))
        return made[-1]

    yield make
    for experiment in made:
        experiment.close()


def acted(experiment, monkeypatch, n_episodes):
    """Episodes of the first team, and what its networks read in each row: [B, T, A, I]; nan where nobody acted."""
    name, controller = next(iter(experiment.controllers.items()))
    limit = experiment.runner.spec.episode_limit
    shape = (n_episodes, limit, controller.spec.n_agents, controller.input_dim)
    seen, read, step, choose = torch.full(shape, torch.nan), [], Collection.step, controller._choose

    def reading(*args):
        read.append(controller._inputs.clone())
        return choose(*args)

    def stepping(self, actions):
        seen[self.row[self.slots], self.time[self.slots]] = read[-1][self.slots]
        return step(self, actions)

    with monkeypatch.context() as patched:
        patched.setattr(controller, "_choose", reading)
        patched.setattr(Collection, "step", stepping)
        batch = experiment.runner.collect(experiment.controllers, n_episodes, t_env=0)[0][name]
    return batch, seen[:, : batch.n_steps], controller


@pytest.mark.parametrize(("env", "words"), WORLDS, ids=lambda one: " ".join(one) if isinstance(one, list) else one)
def test_what_acted_is_what_the_learner_reads(make, monkeypatch, env, words):
    """Exactly, though slots play several episodes that end at different times."""
    experiment = make("mf_q", env, "n_envs=2", "batch_size_run=7", *words)
    batch, seen, controller = acted(experiment, monkeypatch, 7)
    inputs = controller.inputs(batch)[:, :-1]
    assert torch.equal(inputs[batch.mask], seen[batch.mask])
    means = inputs[..., -controller.spec.n_actions :]
    assert (means[:, 0] == 0).all()
    assert (means[:, 1:][batch.mask[:, 1:]].sum(-1) > 0).any()
    if env == "battle":
        living = (batch.available[:, :-1].sum(-1) > 1)[batch.mask]
        assert (~living).any(), "nobody died: nothing was tried"
        assert len(set(batch.mask.sum(1).tolist())) > 1, "all episodes are of one length: nothing was tried"


def test_episodes_of_toys_with_ends_of_all_kinds(make_experiment, monkeypatch):
    for words in (
        ["env_args.heavy_mask=true"],
        ["env_args.fail_every=2"],
        ["env_args.kind=image"],
        ["env_args.kind=bytes"],
    ):
        experiment = make_experiment("mf_q", "n_envs=2", "batch_size_run=12", *words)
        batch, seen, controller = acted(experiment, monkeypatch, 12)
        inputs = controller.inputs(batch)[:, :-1]
        assert torch.equal(inputs[batch.mask], seen[batch.mask])


def test_means_do_not_follow_what_padding_holds(make_experiment):
    controller = make_experiment("mf_q").controllers["agents"]
    batch = make_experiment("iql").runner.collect(make_experiment("iql").controllers, 6, t_env=0)[0]["agents"]
    before = controller.field.of(batch)
    batch.actions[~batch.mask] = 3
    after = controller.field.of(batch)
    assert torch.equal(before[batch.rows], after[batch.rows])
    assert not torch.equal(before, after)


def test_what_was_done_can_be_told(make_experiment):
    """Replayed episodes: the mean is of what was done, not of what was chosen; and it travels to no other process."""
    experiment = make_experiment("mf_q")
    controller = experiment.controllers["agents"]
    controller.begin(4)
    step = experiment.runner.env.reset(np.arange(4), np.zeros(4, np.uint64)).teams[0]
    for _ in range(2):
        controller.act(step, t_env=0)
        controller.took(np.array([[0, 2, 2]] * 4))
    controller.act(step, t_env=0)
    assert controller._inputs[0, :, -4:].tolist() == [[0, 0, 1, 0], [0.5, 0, 0.5, 0], [0.5, 0, 0.5, 0]]
    travelled = pickle.loads(pickle.dumps(controller))
    assert not hasattr(travelled, "_executed")
    travelled.begin(4)
    travelled.act(step, t_env=0)
    assert (travelled._inputs[..., -4:] == 0).all()


@pytest.mark.parametrize(
    ("cls", "changes", "team"),
    [
        (Spread, {}, 0),
        (SpreadPaper, {}, 0),
        (SimpleTag, {}, 0),
        (SimpleTag, {"n_preys": 2}, 1),
        (PredatorPrey, {}, 0),
        (PredatorPrey, {}, 1),
        (Battle, {"map_name": "2s3z"}, 0),
        (Battle, {"map_name": "MMM2"}, 0),
    ],
)
def test_environments_say_where_agents_are(cls, changes, team):
    env = cls(2, cls.Args(**changes))
    spec, state = env.spec.teams[team], env.reset(np.arange(2), np.arange(2, dtype=np.uint64)).teams[team].state
    found = state[:, np.array(spec.positions)] * np.array(spec.position_units)
    first = sum(one.n_agents for one in env.spec.teams[:team])
    if cls is Battle:
        units = env.simulator.units[:, : spec.n_agents]
        wanted = np.stack([units["x"], units["y"]], -1) - 16
    else:
        wanted = env.positions[:, first : first + spec.n_agents]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len(np.unique(wanted)) > 3


@pytest.mark.parametrize("algorithm", ["mf_q", "mf_ac"])
@pytest.mark.parametrize("env", ["matrix_game", "battle"])
def test_distances_are_refused_where_places_are_not_known(make, algorithm, env):
    words = ["env_args.obs_instead_of_state=true"] if env == "battle" else []
    with pytest.raises(UserError, match="neighbours=nearest: this environment does not say where"):
        make(algorithm, env, *NEAREST, *words)


def test_both_against_one_another(make):
    experiment = make("mf_ac", "predator_prey", "env_args.time_limit=8", "batch_size_run=2",
                      "team.prey.batch_size=2", "team.prey.neighbours=nearest", "team.prey.neighbour_count=1",
                      teams=["prey=mf_q"])  # fmt: skip
    sink = Recorder()
    for _ in range(3):
        experiment.iterate(sink)
    assert {team for _, team, _ in sink.learner_metrics} == {"predator", "prey"}


def test_a_frozen_opponent_acts_at_the_temperature_of_sampled_tests(make, make_experiment, tmp_path):
    first = make_experiment("mf_q", "env_args.n_teams=2", "team.blue.evaluation_temperature=0.3")
    folder = checkpoint.save(tmp_path / "models", 0, snapshot.parts(first, sink={}, run=""))
    second = Experiment(
        resolve("iql", "toy", ["env_args.n_teams=2", "batch_size=4"], teams=[f"blue=checkpoint:{folder}"])
    )
    blue = second.controllers["blue"]
    assert [blue.temperature(t) for t in (0, 10**6)] == [0.3, 0.3]
    assert (blue.temperature.start, first.controllers["blue"].temperature.start) == (0.3, 1.0)
    batch = second.runner.collect(second.controllers, 3, t_env=0)[0]["blue"]
    assert (batch.last_actions("floats")[:, 1:].sum(-1) == 1).all()
    second.close()


def test_a_policy_by_distances_cannot_be_exported(make):
    controller = make("mf_q", "spread", *NEAREST).controllers["agents"]
    with pytest.raises(UserError, match=r"neighbours=nearest: .* read from the state"):
        controller.graphs()
