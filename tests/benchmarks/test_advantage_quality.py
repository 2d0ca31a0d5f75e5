"""The judge of advantages, where the truth is known: games of one and of two steps."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from forward_critic import ForwardCritic
from training.experiment import Experiment
from training.options import resolve

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import advantage_quality
from replaying import Decisions, Rollouts, Truth, some_decisions

TINY = ["--at", "1", "--episodes", "2", "--decisions", "4", "--copies", "2", "--horizon", "2"]
PAYOFF = torch.tensor([[11.0, -30, 0], [-30, 7, 0], [0, 6, 5]])
ONE_STEP = ["env_args.game=climbing", "env_args.episode_length=1", "standardise_rewards=false"]
TWO_STEP = ["env_args.game=two_step", "standardise_rewards=false", "gamma=0.5"]
STAGES = torch.tensor([[[0.0, 0], [0, 0]], [[7, 7], [7, 7]], [[0, 1], [1, 8]]])


class Exact(ForwardCritic):
    """The critic that knows the payoffs of climbing."""

    def forward(self, own, shared, joint, packing=None):
        beside = torch.stack([PAYOFF[:, joint[..., 1]].movedim(0, -1), PAYOFF[joint[..., 0]]], 2)
        return beside  # [B, T, A, M, U]


@pytest.fixture
def make():
    made = []

    def build(env, *words):
        fixed = ["test_nepisode=0", "save_model=false", "seed=3", "use_rnn=false", "parameter_sharing=none"]
        made.append(Experiment(resolve("asae", env, [*fixed, *words])))
        return made[-1]

    yield build
    for experiment in made:
        experiment.close()


def gathered(experiment, n=40):
    """Fresh episodes: learner, iteration, seeds."""
    (team,) = experiment.teams.values()
    runner = experiment.runner
    seeds = np.array([runner.seed_of(runner.launched + k) for k in range(n)], np.uint64)
    batch = runner.collect({"agents": team.controller}, n, t_env=0)[0]["agents"]
    with torch.no_grad():
        return team.learner, team.learner.freeze(batch, team.controller.log_policy(batch, t_env=0)), seeds


def truth_of(experiment, it, seeds, decisions, *, copies=300, horizon=3):
    return Rollouts(experiment, copies=copies, horizon=horizon).truth(it.batch, seeds, it.log_pi, decisions, 0)


def closed_form(payoff, pi, decisions, it):
    """Marginal advantages in a game of one step, of policies pi [A, U]: [D]."""
    q = [payoff @ pi[1], payoff.t() @ pi[0]]
    rows = [q[a] - pi[a] @ q[a] for a in range(2)]
    actions = it.batch.actions.numpy()[decisions.episode, decisions.step, decisions.agent]
    return np.array([float(rows[a][u]) for a, u in zip(decisions.agent, actions, strict=True)])


def test_rollouts_find_the_marginal_advantages_of_a_matrix_game(make):
    experiment = make("matrix_game", *ONE_STEP)
    _, it, seeds = gathered(experiment)
    decisions = some_decisions(it.active, 50, np.random.default_rng(0))
    truth = truth_of(experiment, it, seeds, decisions)
    expected = closed_form(PAYOFF, it.log_pi[0, 0].exp(), decisions, it)
    assert np.abs((truth.advantage - expected) / truth.error).max() < 4.5
    assert truth.error.mean() < 0.2 * expected.std()


def test_rollouts_go_on_with_the_policies_and_discount(make):
    """two_step: agent 1's first action decides which game follows; agent 2's first changes nothing."""
    experiment = make("matrix_game", *TWO_STEP)
    _, it, seeds = gathered(experiment)
    decisions = some_decisions(it.active, 160, np.random.default_rng(0))
    truth = truth_of(experiment, it, seeds, decisions)
    first, second = decisions[decisions.step == 0], decisions.step == 1
    stage = it.batch.state.argmax(-1)
    policies = {int(s): it.log_pi[tuple(torch.nonzero(stage == s)[0])].exp() for s in stage.unique()}
    value = torch.stack(
        [policies[s][0] @ STAGES[s] @ policies[s][1] if s in policies else torch.tensor(0) for s in range(3)]
    )
    leads_to = 0.5 * torch.stack([value[1:], value[1:]], 1)  # [U, U]
    expected = closed_form(leads_to, policies[0], first, it)
    found = truth.advantage[~second]
    assert np.abs(found - expected).max() < 4.5 * truth.error[~second].max()
    assert np.abs(expected).max() > 10 * truth.error[~second].max()
    assert truth.value[~second] == pytest.approx(float((leads_to.t() @ policies[0][0])[0]), abs=0.2)
    for s in (1, 2):
        here = second & (stage.numpy()[decisions.episode, decisions.step] == s)
        expected = closed_form(STAGES[s], policies[s], decisions[here], it)
        assert np.abs(truth.advantage[here] - expected).max() < 4.5 * truth.error[here].max() + 1e-6


def test_histories_are_replayed_too(make):
    """At a decision the networks see what they saw in the episode: memory and last actions."""
    experiment = make("matrix_game", *TWO_STEP, "use_rnn=true", "obs_last_action=true")
    _, it, seeds = gathered(experiment)
    decisions = some_decisions(it.active[:, 1:], 20, np.random.default_rng(0))
    decisions = Decisions(decisions.episode, decisions.step + 1, decisions.agent)
    (team,) = experiment.teams.values()
    seen, step = [], team.controller.agents.step

    def spied(*given):
        seen.append(step(*given)[0].log_softmax(-1))
        return step(*given)

    team.controller.agents.step = spied
    truth_of(experiment, it, seeds, decisions, copies=2)
    expected = it.log_pi[decisions.episode, decisions.step].repeat_interleave(2, 0)
    for half in seen[2:4]:  # of the second step
        torch.testing.assert_close(half[: len(expected)], expected.detach(), atol=1e-5, rtol=1e-4)


def test_an_exact_critic_is_right_about_everything(make, capsys):
    experiment = make("matrix_game", *ONE_STEP, "marginal=exact", "obs_individual_obs=false")
    (team,) = experiment.teams.values()
    net = Exact()
    net.enumerate = lambda own, shared, partners, packing=None: torch.stack(
        [PAYOFF[:, partners[0, :, 1]].t(), PAYOFF[partners[1, :, 0]]]
    ).expand(*shared.shape[:2], -1, -1, -1)
    team.learner.critic.net = net
    learner, it, seeds = gathered(experiment)
    decisions = some_decisions(it.active, 60, np.random.default_rng(0))
    truth = truth_of(experiment, it, seeds, decisions)
    found = advantage_quality.estimates(learner, it, decisions)
    kinds = {name: x for name, (x, _) in found.kinds.items()}
    assert kinds["A_mar, exact"] == pytest.approx(closed_form(PAYOFF, it.log_pi[0, 0].exp(), decisions, it), abs=1e-4)
    for name in ("A_mar + 1 R 0", "A_mar + 0.25 R 1"):  # the residual is 0
        assert kinds[name] == pytest.approx(kinds["A_mar, exact"], abs=1e-4)
    table = advantage_quality.Comparison(np.stack(list(kinds.values())), truth, decisions.episode)
    r = dict(zip(kinds, table.r, strict=True))
    assert r["A_mar, exact"] == pytest.approx(1, abs=0.01)
    assert r["A_ctf"] < 0.9  # the partners' actions are in it
    advantage_quality.report(found, truth, decisions)
    assert "A_mar, exact                   1.00" in capsys.readouterr().out


def test_estimates_are_the_learners(make):
    words = ["advantage=doubly_robust", "residual_lambda=0.8", "residual_weight=0.5", "standardise_advantages=false"]
    experiment = make("spread", "env_args.time_limit=6", *words)
    (team,) = experiment.teams.values()
    learner, it, _ = gathered(experiment, 12)
    streams = team.controller.state_dict()
    parts = advantage_quality.parts(learner, it)
    team.controller.load_state_dict(streams)
    with torch.no_grad():
        expected = learner.credit(learner.freeze(it.batch, it.log_pi), None)[0]
    torch.testing.assert_close(parts["A"] + 0.5 * parts["R 0.8"], expected, atol=1e-5, rtol=1e-4)


def test_the_noise_of_rollouts_is_taken_out():
    """Estimates with a known correlation, a truth that is half noise."""
    random, n = np.random.default_rng(0), 20_000
    true, none = random.normal(size=n), np.zeros(n)
    x = np.stack([2 * true + 2 * random.normal(size=n), true, random.normal(size=n)])
    episode = np.arange(n) // 400
    table = advantage_quality.Comparison(x, Truth(true + random.normal(size=n), none + 1, true), episode)
    assert table.r == pytest.approx([0.5**0.5, 1, 0], abs=0.03)
    assert table.slope == pytest.approx([2, 1, 0], abs=0.05)
    assert table.sd == pytest.approx([8**0.5, 1, 1], rel=0.03)
    table = advantage_quality.Comparison(x, Truth(true, none, true), episode)
    assert table.error(0) == pytest.approx(0.5 / n**0.5, rel=0.25)  # (1 - r^2) / sqrt(n)
    assert table.error(2) == pytest.approx(1 / n**0.5, rel=0.25)
    assert table.error(1, 1) == 0
    assert advantage_quality.best_weight(true, x[2], true) == pytest.approx(0, abs=0.01)
    assert advantage_quality.best_weight(true, x[2], true + 3 * x[2]) == pytest.approx(3)
    assert advantage_quality.best_weight(-true, x[2], true) == np.inf


def test_judging_changes_nothing_and_prints_a_table(make, capsys):
    def trained(judge):
        experiment = make("spread", "env_args.time_limit=6", "advantage=doubly_robust")
        sink = advantage_quality.Sink(teams=("agents",))
        experiment.iterate(sink)
        if judge:
            rollouts = Rollouts(experiment, copies=4, horizon=5)
            advantage_quality.judged(experiment, rollouts, episodes=12, decisions=20)
        experiment.iterate(sink)
        (team,) = experiment.teams.values()
        return torch.cat([p.flatten() for p in team.learner.critic.net.parameters()])

    torch.testing.assert_close(trained(judge=True), trained(judge=False), atol=0, rtol=0)
    assert "A_mar + 1 R 0.95" in capsys.readouterr().out


def test_battles_are_replayed(make):
    """And what is done in them matters: half of the copies do something else."""
    experiment = make("battle", "env_args.map_name=3m", "batch_size_run=4")
    _, it, seeds = gathered(experiment, 4)
    late = it.active.clone()
    late[:, :5] = False
    some = some_decisions(late, 24, np.random.default_rng(0))
    truth = truth_of(experiment, it, seeds, some, copies=2, horizon=10)
    assert np.isfinite(truth.advantage).all()
    assert (truth.advantage != 0).any()
    assert truth.value.std() > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env-config", "toy"], "cannot be replayed"),
        (["--env-config", "battle", *TINY, "--", "env_args.obs_timestep_number=true"], "time limit"),
        (["--", "lrr=1"], "lrr"),
    ],
)
def test_a_mistake_is_one_message(words, said, toy_env, capsys):
    assert advantage_quality.main(words) == 2
    assert said in capsys.readouterr().err
