"""How right the critic's advantages are: ASAE's marginal advantages on spread against rollouts of the same policies.

    python benchmarks/advantage_quality.py --at 20000 50000 100000 200000 -- parameter_sharing=none

While ASAE trains, situations are taken from its own episodes. In each, every action of every agent is followed by
rollouts in which the partners and all later actions come from the present policies; the mean discounted return of
these rollouts, less its mean under the agent's policy, is what eq. 4 of arXiv 2012.03488 defines. The table has its
correlation with what the critic gives for the same policies (weighted by the policy), the correlation of the values,
and the share of the rollouts' own noise in the variance of their advantages (the correlation cannot be 1).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import numpy as np
import torch

from core.data import EpisodeBatch
from envs.particle.spread import Spread, SpreadArgs
from estimators.masked import masked_log_softmax
from observers.sink import Sink
from training.experiment import Experiment
from training.options import resolve

FIXED = ["test_nepisode=0", "save_model=false", "t_max=1000000000", "seed=1", "use_rnn=false", "recommended=false"]
ROLLOUTS, HORIZON = 128, 40


@dataclass(frozen=True)
class Situations:
    """States of spread: positions and velocities [S, 2A, 2], observations [S, A, O]."""

    positions: np.ndarray
    velocities: np.ndarray
    obs: np.ndarray


def situations(batch: EpisodeBatch, n: int, random: np.random.Generator) -> Situations:
    """Draw n states from episodes, read off the observations (layout: envs/particle/spread_kernels.py)."""
    agents = batch.obs.shape[2]
    obs = batch.obs[:, :-1].flatten(0, 1).numpy()
    obs = obs[random.choice(len(obs), n, replace=False)]
    own, landmarks = obs[:, :, 2:4], obs[:, 0, 4 : 4 + 2 * agents].reshape(n, agents, 2)
    positions = np.concatenate([own, landmarks + own[:, :1]], 1).astype(np.float64)
    velocities = np.concatenate([obs[:, :, 0:2], np.zeros_like(own)], 1).astype(np.float64)
    return Situations(positions, velocities, obs)


class Judge:
    """Compares a learner's advantages with rollouts of its controller.

    Args:
        experiment: a run of asae on spread with use_rnn=false.
    """

    def __init__(self, experiment: Experiment) -> None:
        (team,) = experiment.teams.values()
        self.learner, self.agents = team.learner, team.controller.agents
        self.n_agents, self.n_actions = team.spec.n_agents, team.spec.n_actions
        self.hidden = team.controller.settings.hidden_dim
        self.gamma = team.learner.settings.gamma
        self.env = Spread(ROLLOUTS * self.n_actions, SpreadArgs(n_agents=self.n_agents, time_limit=HORIZON + 1))
        self.random = torch.Generator().manual_seed(0)

    @torch.inference_mode()
    def policy(self, obs: np.ndarray) -> torch.Tensor:
        """Probabilities [N, A, U] of the present policies."""
        x = torch.from_numpy(obs.copy())
        agent_id = torch.eye(self.n_agents).expand(len(x), -1, -1)
        logits, _ = self.agents.step(torch.cat([x, agent_id], -1), torch.zeros(*x.shape[:2], self.hidden))
        return masked_log_softmax(logits, torch.ones_like(logits, dtype=torch.bool)).exp()

    def draw(self, pi: torch.Tensor) -> np.ndarray:
        """Joint actions int64 [N, A] from probabilities [N, A, U]."""
        drawn = torch.multinomial(pi.flatten(0, 1), 1, generator=self.random)
        return drawn.view(pi.shape[:2]).numpy()

    def rolled_out(self, states: Situations, s: int, agent: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean discounted return of every action of one agent in one state, and its standard error: [U] each."""
        env, rows = self.env, ROLLOUTS * self.n_actions
        env.reset(np.arange(rows), np.arange(rows, dtype=np.uint64))
        env.positions[:], env.velocities[:] = states.positions[s], states.velocities[s]
        first = np.repeat(states.obs[s : s + 1], ROLLOUTS, 0)
        actions = np.repeat(self.draw(self.policy(first)), self.n_actions, 0)  # the same partners for every own action
        actions[:, agent] = np.tile(np.arange(self.n_actions), ROLLOUTS)
        total, everyone = np.zeros(rows), np.ones(rows, bool)
        for t in range(HORIZON):
            step = env.step([actions], everyone)
            total += self.gamma**t * step.teams[0].rewards.sum(1)
            actions = self.draw(self.policy(step.teams[0].obs))
        returns = total.reshape(ROLLOUTS, self.n_actions)
        return returns.mean(0), returns.std(0) / np.sqrt(ROLLOUTS)

    @torch.inference_mode()
    def criticised(self, states: Situations, pi: torch.Tensor) -> np.ndarray:
        """The critic's marginal Q-values (eq. 3) from 200 joint samples: [S, A, U]."""
        batch_of_one = pi.unsqueeze(1)  # [S, T = 1, A, U]
        joint = torch.stack([torch.from_numpy(self.draw(pi)) for _ in range(200)], 1).unsqueeze(1)  # [S, 1, M, A]
        obs = torch.from_numpy(states.obs).unsqueeze(1)
        agent_id = torch.eye(self.n_agents).expand(*batch_of_one.shape[:2], -1, -1)
        own = torch.cat([obs, agent_id], -1) if self.learner.settings.obs_individual_obs else agent_id
        return self.learner.critic.net(own, obs.flatten(2), joint).mean(3).squeeze(1).numpy()

    def compare(self, states: Situations) -> tuple[float, float, float]:
        """Correlations of advantages and of values, and the noise share of the rollouts."""
        probabilities = self.policy(states.obs)
        pi = probabilities.double().numpy()
        truth, error = np.zeros_like(pi), np.zeros_like(pi)
        for s, agent in np.ndindex(*pi.shape[:2]):
            truth[s, agent], error[s, agent] = self.rolled_out(states, s, agent)
        critic = self.criticised(states, probabilities)
        value = [(pi * q).sum(-1, keepdims=True) for q in (truth, critic)]
        a, b = truth - value[0], critic - value[1]
        variance = (pi * a * a).sum()
        correlation = (pi * a * b).sum() / np.sqrt(variance * (pi * b * b).sum())
        of_values = np.corrcoef(value[0].ravel(), value[1].ravel())[0, 1]
        return float(correlation), float(of_values), float((pi * error**2).sum() / variance)


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--at", type=int, nargs="+", default=[20_000, 50_000, 100_000, 200_000], help="steps")
    cli.add_argument("--situations", type=int, default=32)
    cli.add_argument("words", nargs="*", help="settings: key=value")
    args = cli.parse_args()
    experiment = Experiment(resolve("asae", "spread", [*FIXED, *args.words]))
    sink, judge, random = Sink(teams=tuple(experiment.teams)), Judge(experiment), np.random.default_rng(0)
    print(f"{'steps':>10}{'return':>10}{'advantages':>12}{'values':>8}{'noise':>8}")
    try:
        for steps in args.at:
            while experiment.t_env < steps:
                experiment.iterate(sink)
            batches, stats = experiment.runner.collect(experiment.controllers, 40, t_env=experiment.t_env)
            states = situations(batches["agents"], args.situations, random)
            correlation, of_values, noise = judge.compare(states)
            achieved = float(stats.returns["agents"].mean())
            print(
                f"{experiment.t_env:>10,}{achieved:>10.1f}{correlation:>12.2f}{of_values:>8.2f}{noise:>8.2f}",
                flush=True,
            )
    finally:
        experiment.close()


if __name__ == "__main__":
    main()
