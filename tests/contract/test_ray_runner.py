"""``runner=ray``: the episodes of ``parallel``, wherever and how often they are played. One Ray serves all tests."""

import importlib.util
from functools import partial

import numpy as np
import pytest
import torch

from components import checkpoint
from contract_helpers import Recorder
from core.errors import UserError
from core.seeding import episode_seed
from runners import ray_workers
from runners.parallel_runner import ParallelRunner, Rewards
from runners.ray_runner import RayRunner, RemoteEnvs
from runners.ray_share import Host
from toy_vec_envs import Drawing, MortalArgs, MortalVecEnv, ToyArgs, ToyVecEnv
from training import options, snapshot
from training.experiment import Experiment
from training.filming import film

PLACED = ["runner=ray", "ray_workers=2"]
SMALL = ["seed=1", "hidden_dim=8", "batch_size_run=5", "test_nepisode=5", "test_sampled=true"]


class Here:
    """Workers that are functions of this process: shares without Ray."""

    n = 3

    def __init__(self):
        self.hosts = [Host(1) for _ in range(self.n)]
        self.asked = 0

    def kept(self, value):
        return value

    def each(self, what, jobs):
        for job in reversed(jobs):  # in any order
            self.asked += 1
            yield getattr(self.hosts[self.asked % self.n], what)(*job)

    def everywhere(self, what, *given):
        for host in self.hosts:
            getattr(host, what)(*given)

    def leave(self):
        pass


@pytest.fixture
def here(monkeypatch):
    """Let runner=ray play in this process."""
    workers = Here()
    monkeypatch.setattr(ray_workers.Workers, "join", lambda *rest: workers)
    monkeypatch.setattr(options, "check_installed", lambda option: None)
    return workers


@pytest.fixture(scope="session")
def workers():
    """Two processes of a Ray of this machine, which the runners of all tests here share."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install -r requirements-ray.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        joined = ray_workers.Workers.join(None, 2, 1)
        yield joined
        joined.leave()


def assert_same(first, second):
    (batches, stats), (expected, expected_stats) = first, second
    assert batches.keys() == expected.keys()
    for team, batch in batches.items():
        for key, value in batch.tensors().items():
            assert torch.equal(value, getattr(expected[team], key)), (team, key)
    assert_same_stats(stats, expected_stats)


def assert_same_stats(stats, expected):
    assert stats.dropped == expected.dropped
    np.testing.assert_array_equal(stats.lengths, expected.lengths)
    for mine, theirs in ((stats.returns, expected.returns), (stats.info, expected.info)):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            np.testing.assert_array_equal(value, theirs[key])


def assert_same_streams(first, second):
    for team, controller in first.controllers.items():
        expected = second.controllers[team].state_dict()
        assert [name for name, state in controller.state_dict().items() if not torch.equal(state, expected[name])] == []
    assert first.runner.launched == second.runner.launched


def seed_of(k):
    return episode_seed(3, "train_env", k)


@pytest.mark.parametrize("fail_every", [0, 2, 3])
@pytest.mark.parametrize("n_episodes", [1, 2, 8, 13])
def test_dropped_episodes_are_replaced_as_in_one_process(here, n_episodes, fail_every):
    args = ToyArgs(limit=6, n_teams=2, fail_every=fail_every, individual_rewards=True)
    make, rewards = partial(ToyVecEnv, args=args), Rewards(common=False)
    one = ParallelRunner(make(n_episodes), seed_of=seed_of, rewards=rewards)
    many = RayRunner(RemoteEnvs(make, n_episodes, here), seed_of=seed_of, rewards=rewards)
    assert many.spec == one.spec
    mine, theirs = ({team.name: Drawing() for team in one.spec.teams} for _ in range(2))
    for _ in range(3):
        first, second = (runner.collect(who, n_episodes, t_env=0) for runner, who in ((one, mine), (many, theirs)))
        assert_same(second, first)
        played, expected = (runner.play(who, n_episodes, t_env=0) for runner, who in ((many, theirs), (one, mine)))
        assert_same_stats(played, expected)
        assert many.launched == one.launched
        assert [who.state_dict() for who in mine.values()] == [who.state_dict() for who in theirs.values()]


def test_fewer_environments_than_episodes_play_in_rounds(here, make_experiment):
    """Greedy episodes are the same; sampled ones are those of several calls."""
    one, many = make_experiment("coma"), make_experiment("coma", *PLACED, "n_envs=3", "batch_size_run=8")
    greedy = {"t_env": None, "greedy": True}
    assert many.runner.env.n_envs == 3
    assert_same(many.runner.collect(many.controllers, 8, **greedy), one.runner.collect(one.controllers, 8, **greedy))
    one.runner.env.close()
    one.runner = one.make_runner(3, "train_env")
    one.runner.launched = many.runner.launched
    stats = many.runner.play(many.controllers, 8, t_env=0)
    rounds = [one.runner.play(one.controllers, n, t_env=0) for n in (3, 3, 2)]
    np.testing.assert_array_equal(stats.lengths, np.concatenate([round.lengths for round in rounds]))
    returns = np.concatenate([round.returns["agents"] for round in rounds])
    np.testing.assert_array_equal(stats.returns["agents"], returns)


def test_films_are_played_in_this_process(here, make_experiment, tmp_path):
    experiment = make_experiment("coma", *PLACED, "replay_episodes=1")
    before = here.asked
    assert film(experiment, tmp_path / "film.gif").exists()
    assert here.asked == before


@pytest.fixture
def pair():
    """The same experiment by parallel and by ray; closed at the end."""
    made = []

    def make(algorithm, env, *words):
        for placed in ([], PLACED):
            made.append(Experiment(options.resolve(algorithm, env, [*SMALL, *placed, *words])))
        return made[-2:]

    yield make
    for experiment in made:
        experiment.close()


LIMITS = {"spread": ["env_args.time_limit=8"]}


@pytest.mark.parametrize("env", ["matrix_game", "spread", "battle"])
@pytest.mark.parametrize("algorithm", ["asae", "iql", "mat", "mf_q"])
def test_the_same_seeds_give_the_same_episodes(here, pair, env, algorithm):
    """soft_policies, epsilon_greedy, and one draw for each agent; greedy and not."""
    one, many = pair(algorithm, env, *LIMITS.get(env, []))
    for t_env, greedy in ((20_000, False), (None, True), (None, False)):
        first, second = (each.runner.collect(each.controllers, 5, t_env=t_env, greedy=greedy) for each in (one, many))
        assert_same(second, first)
        assert_same_streams(many, one)


def trained(experiment, n):
    sink = Recorder()
    for _ in range(n):
        experiment.iterate(sink)
    experiment.test(sink)
    return sink


def assert_same_runs(first, second):
    assert first.learner_metrics == second.learner_metrics
    for mine, theirs in ((first.stats, second.stats), (first.tests, second.tests)):
        assert [row[:2] for row in mine] == [row[:2] for row in theirs]
        for (_, _, stats), (_, _, expected) in zip(mine, theirs, strict=True):
            assert_same_stats(stats, expected)


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [("asae", []), ("iql", ["batch_size=5", "buffer_size=10"]), ("maddpg", ["batch_size=5", "policy_ensemble=3"])],
)
def test_runs_on_ray_are_those_of_one_process(workers, pair, algorithm, words):
    one, many = pair(algorithm, "matrix_game", *words)
    expected = trained(one, 3)
    assert_same_runs(trained(many, 3), expected)
    assert_same_streams(many, one)


def test_a_process_that_dies_loses_nothing(workers, tmp_path, capfd):
    """Its episodes are played again, by others and in the one that takes its place."""
    rewards, expected = Rewards(), None
    grave = tmp_path / "grave"
    for args in (MortalArgs(limit=6), MortalArgs(limit=6, grave=str(grave))):
        make = partial(MortalVecEnv, args=args)
        if expected is None:
            runner = ParallelRunner(make(6), seed_of=seed_of, rewards=rewards)
        else:
            runner = RayRunner(RemoteEnvs(make, 6, workers), seed_of=seed_of, rewards=rewards)
        who = {team.name: Drawing() for team in runner.spec.teams}
        found = [runner.collect(who, 6, t_env=0) for _ in range(2)]
        expected = expected or found
    for first, second in zip(found, expected, strict=True):
        assert_same(first, second)
    assert len(grave.read_text()) == 2  # processes that have died
    err = capfd.readouterr().err
    assert err.count("its episodes are played again (try ") == 2


def test_episodes_that_end_every_process_end_the_run(workers, tmp_path):
    make = partial(MortalVecEnv, args=MortalArgs(grave=str(tmp_path / "grave"), deaths=100))
    runner = RayRunner(RemoteEnvs(make, 1, workers), seed_of=lambda k: 4, rewards=Rewards())
    with pytest.raises(UserError, match="The same episodes have ended 4 processes"):
        runner.collect({"agents": Drawing()}, 1, t_env=0)


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(here, pair, tmp_path):
    words = ["batch_size=5", "buffer_size=10"]
    _, whole = pair("iql", "matrix_game", *words)
    _, again = pair("iql", "matrix_game", *words)
    first = trained(whole, 2)
    folder = checkpoint.save(tmp_path / "models", whole.t_env, snapshot.parts(whole, sink={}, run="x"))
    expected = trained(whole, 2)
    snapshot.restore(again, folder)
    assert_same_runs(trained(again, 2), expected)
    assert_same_streams(again, whole)
    assert first.learner_metrics != expected.learner_metrics


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["device=cuda"], ["device=cpu"]),
        (["ray_address=127.0.0.1:1"], ["127.0.0.1:1", "ray_address", "refused"]),
        (["ray_address=head"], ["ray_address head", "host:port"]),
    ],
)
def test_mistakes(monkeypatch, words, expected):
    with pytest.raises(UserError) as caught:
        Experiment(options.resolve("iql", "matrix_game", [*SMALL, *PLACED, *words]))
    assert [word for word in expected if word not in str(caught.value)] == []


def test_without_ray_one_line_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"runner=ray needs Ray.*pip install -r requirements-ray\.txt"):
        options.resolve("iql", "matrix_game", [*SMALL, *PLACED])
