"""How right estimated advantages are: ASAE's, COMA's and MAPPO's of the same decisions, against rollouts.

    python benchmarks/advantage_quality.py --at 50000 200000 -- advantage=doubly_robust parameter_sharing=none
    python benchmarks/advantage_quality.py --env-config battle --decisions 1000 -- env_args.map_name=3m use_rnn=false

While ASAE trains, its present policies gather fresh episodes. The critic, which has not been fitted to them, judges
them as the learner would. At some of the decisions rollouts say what the marginal advantage of the executed action is
(eq. 4 of arXiv 2012.03488; replaying.py). The table has, for each kind of estimate,

    r       its correlation with the truth, as if that had no noise; 1 - r^2 is what is left of the truth's variance
            after the best scaling, and as many decisions as 1 / r^2 are worth one that is known exactly
    slope   how much of the truth comes through: 1 without bias
    sd      its standard deviation, in units of the truth's
    gain    r less that of MAPPO's advantage at the same lambda (0.95 for those that have none)

+- are standard errors over episodes. A_mar: ASAE's marginal advantage from the critic alone; A_ctf: COMA's; R: the
doubly robust residual; GAE: MAPPO's, with V(s) = E Q(s, u). "best" is the weight of R with the largest r.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np
import torch
from replaying import Decisions, Rollouts, Truth, some_decisions

from core.data import EpisodeBatch
from core.errors import UserError
from estimators.masked import masked_mean
from estimators.returns import continues_from_mask, gae, residuals
from learners.asae_learner import ASAELearner
from learners.critics.part import Iteration
from observers.sink import Sink
from training.experiment import Experiment
from training.options import resolve

FIXED = ["test_nepisode=0", "save_model=false", "t_max=1000000000", "seed=1"]
LAMBDAS, WEIGHTS = (0.0, 0.5, 0.8, 0.95, 1.0), (0.25, 0.5, 1.0)
MANY = 50  # samples that leave no noise worth mentioning in a marginal
AT_ONCE = 16  # episodes that the critic judges at once


def with_samples(learner: ASAELearner, m: int) -> ASAELearner:
    """A learner with the same networks and m joint samples; one is COMA."""
    other = copy.copy(learner)
    other.enumerated = None
    other.controller = copy.copy(learner.controller)
    other.controller.settings = learner.controller.settings.model_copy(update={"n_samples": m})
    return other


def lagging(learner: ASAELearner) -> ASAELearner:
    """A learner whose critic is the slow copy: an average over the last updates."""
    other = copy.copy(learner)
    other.critic = copy.copy(learner.critic)
    other.critic.net = learner.critic.target.net
    return other


@dataclass(frozen=True)
class Estimates:
    """What one critic makes of the same decisions.

    Attributes:
        kinds: name -> (estimates float64 [D], name of what it is compared with).
        value: the critic's, of the states.
    """

    kinds: dict[str, tuple[np.ndarray, str]]
    value: np.ndarray


@torch.no_grad()
def parts(learner: ASAELearner, it: Iteration) -> dict[str, torch.Tensor]:
    """A, V, R and GAE of executed actions: name -> [B, T, A]."""
    found: dict[str, list[torch.Tensor]] = {}
    for part in it.minibatches(torch.arange(it.batch.n_episodes).split(AT_ONCE)):
        result = learner.judge(replace(part, inputs=learner.critic.inputs(part.batch)))
        taken = result.first
        known = {
            "rewards": part.rewards.expand_as(taken),
            "discounts": part.discounts,
            "values": result.value,
            "continues": continues_from_mask(part.batch.mask).unsqueeze(-1),
        }
        new = {"A": result.advantage[:, :-1], "V": result.value[:, :-1]}
        new |= {f"R {lam:g}": residuals(**known, taken=taken, lam=lam) for lam in LAMBDAS}
        new |= {f"GAE {lam:g}": gae(**known, lam=lam) for lam in LAMBDAS}
        for name, x in new.items():
            found.setdefault(name, []).append(x)
    return {name: torch.cat(xs) for name, xs in found.items()}


def estimates(learner: ASAELearner, it: Iteration, decisions: Decisions) -> Estimates:
    """All kinds of estimates."""
    judges = (learner, with_samples(learner, 1), with_samples(learner, MANY), lagging(learner))
    asae, coma, many, slow = ({name: decisions.of(x) for name, x in parts(one, it).items()} for one in judges)
    m = f"m = {learner.controller.settings.n_samples}" if learner.enumerated is None else "exact"
    kinds = {f"A_mar, {m}": asae["A"], f"A_mar, m = {MANY}": many["A"], "A_mar, lagging critic": slow["A"]}
    kinds["A_ctf"] = coma["A"]
    found = {name: (x, "GAE 0.95") for name, x in kinds.items()}
    for lam in LAMBDAS:
        a, r, base = asae["A"], asae[f"R {lam:g}"], f"GAE {lam:g}"
        found[base] = (asae[base], base)
        for weight in WEIGHTS:
            found[f"A_mar + {weight:g} R {lam:g}"] = (a + weight * r, base)
        found[f"A_ctf + R {lam:g}"] = (coma["A"] + coma[f"R {lam:g}"], base)
    return Estimates(found, asae["V"])


class Comparison:
    """Estimates against the truth; errors by leaving out one episode at a time.

    Args:
        x: [K, D], estimates.
        truth: of the D decisions.
        episode: int64 [D].
    """

    def __init__(self, x: np.ndarray, truth: Truth, episode: np.ndarray) -> None:
        order = np.argsort(episode, kind="stable")
        starts = np.unique(episode[order], return_index=True)[1]
        t, noise = truth.advantage, truth.error**2
        self.noise = noise.mean()
        per_decision = [np.ones_like(t), t, t**2, noise, x, x**2, x * t]
        sums = [np.add.reduceat(s[..., order], starts, axis=-1) for s in per_decision]  # [E] or [K, E]
        self.r, self.slope, self.sd = (x[:, 0] for x in self._of_sums(*(s.sum(-1, keepdims=True) for s in sums)))
        self.without = self._of_sums(*(s.sum(-1, keepdims=True) - s for s in sums))[0]  # [K, E]

    @staticmethod
    def _of_sums(n, t, tt, noise, x, xx, xt) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
        true = tt / n - (t / n) ** 2 - noise / n  # the variance of what rollouts estimate
        own, both = xx / n - (x / n) ** 2, xt / n - x * t / n**2
        with np.errstate(divide="ignore", invalid="ignore"):
            return both / np.sqrt(own * true), both / true, np.sqrt(own / true)

    def error(self, k: int, less: int | None = None) -> float:
        """Standard error of r of estimate k, or of its difference from that of another (jackknife)."""
        values = self.without[k] - (0 if less is None else self.without[less])
        return float(np.sqrt((len(values) - 1) * values.var()))


def best_weight(a: np.ndarray, r: np.ndarray, truth: np.ndarray) -> float:
    """w with which a + w r is most like the truth (least squares); infinite where a is of no use."""
    both, wanted = np.stack([a - a.mean(), r - r.mean()]), truth - truth.mean()
    of_a, of_r = np.linalg.lstsq(both @ both.T, both @ wanted, rcond=None)[0]
    return float(of_r / of_a) if of_a > 0 else np.inf


def with_best(kinds: dict[str, tuple[np.ndarray, str]], truth: Truth) -> dict[str, tuple[np.ndarray, str]]:
    """The same, and for every lambda the sum whose weight suits the truth best."""
    found = dict(kinds)
    a = next(iter(kinds.values()))[0]
    for lam in LAMBDAS:
        r = kinds[f"A_mar + 1 R {lam:g}"][0] - a
        w = best_weight(a, r, truth.advantage)
        found[f"best: A_mar + {w:.2f} R {lam:g}"] = (r if np.isinf(w) else a + w * r, f"GAE {lam:g}")
    return found


def report(found: Estimates, truth: Truth, decisions: Decisions) -> None:
    """Print the table of one checkpoint."""
    kinds = with_best(found.kinds, truth)
    names = list(kinds)
    all_of = Comparison(np.stack([x for x, _ in kinds.values()]), truth, decisions.episode)
    spread = truth.advantage.std()
    print(
        f"  {len(decisions)} decisions; the true advantages' sd is {np.sqrt(max(spread**2 - all_of.noise, 0)):.3f}, "
        f"the share of noise in their rollouts {all_of.noise / spread**2:.2f}; correlation of the values "
        f"{np.corrcoef(found.value, truth.value)[0, 1]:.2f}"
    )
    print(f"  {'estimate':<28}{'r':>8}{'+-':>7}{'slope':>8}{'sd':>8}{'gain':>8}{'+-':>7}")
    for k, (name, (_, base)) in enumerate(kinds.items()):
        of = names.index(base)
        gain = f"{all_of.r[k] - all_of.r[of]:>8.3f}{all_of.error(k, of):>7.3f}" if k != of else ""
        numbers = f"{all_of.r[k]:>8.3f}{all_of.error(k):>7.3f}{all_of.slope[k]:>8.2f}{all_of.sd[k]:>8.2f}"
        print(f"  {name:<28}{numbers}{gain}", flush=True)


@torch.no_grad()
def judged(experiment: Experiment, rollouts: Rollouts, *, episodes: int, decisions: int) -> None:
    """Print the table of the present policies; what comes after does not notice."""
    ((name, team),) = experiment.teams.items()
    learner, t_env, streams = team.learner, experiment.t_env, team.controller.state_dict()
    runner = experiment.runner
    seeds = np.array([runner.seed_of(runner.launched + k) for k in range(episodes)], np.uint64)
    launched = runner.launched
    batches, stats = runner.collect({name: team.controller}, episodes, t_env=t_env)
    runner.launched = launched
    batch: EpisodeBatch = batches[name]
    log_pi = team.controller.log_policy(batch, t_env=t_env)
    it = learner.freeze(batch, log_pi)
    some = some_decisions(it.active, decisions, np.random.default_rng(t_env))
    entropy = masked_mean(-(log_pi.exp() * log_pi).sum(-1)[:, :-1], it.active)
    print(f"\n{t_env:,} steps: return {stats.returns[name].mean():.1f}, entropy {entropy:.2f}")
    truth = rollouts.truth(batch, seeds, log_pi, some, t_env)
    report(estimates(learner, it, some), truth, some)
    team.controller.load_state_dict(streams)


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--env-config", default="spread")
    cli.add_argument("--at", type=int, nargs="+", default=[50_000, 200_000], help="steps of training")
    cli.add_argument("--episodes", type=int, default=500, help="fresh episodes")
    cli.add_argument("--decisions", type=int, default=4000, help="how many of theirs have rollouts")
    cli.add_argument("--copies", type=int, default=16, help="pairs of rollouts of each decision")
    cli.add_argument("--horizon", type=int, help="steps of a rollout; 2 / (1 - gamma) if not given")
    cli.add_argument("words", nargs="*", help="settings: key=value")
    given = cli.parse_args(words)
    try:
        experiment = Experiment(resolve("asae", given.env_config, [*FIXED, *given.words]))
        try:
            gamma = experiment.options.learner.gamma
            horizon = given.horizon or (round(2 / (1 - gamma)) if gamma < 1 else experiment.spec.episode_limit)
            rollouts = Rollouts(experiment, copies=given.copies, horizon=horizon)
            sink = Sink(teams=tuple(experiment.teams))
            for steps in given.at:
                while experiment.t_env < steps:
                    experiment.iterate(sink)
                judged(experiment, rollouts, episodes=given.episodes, decisions=given.decisions)
        finally:
            experiment.close()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
