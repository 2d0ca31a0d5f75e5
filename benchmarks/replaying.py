"""The marginal advantages of executed actions (eq. 4 of arXiv 2012.03488), by rollouts of the policies that chose them.

Episodes of our own simulators follow from seed and actions: an episode is replayed up to a decision in many copies,
half of which repeat the own action that was executed, while in the others the agent does something else that its policy
allows; partners and all that follows are drawn from the policies, with the same random numbers in both halves.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from controllers.basic_controller import BasicController
from core.data import EpisodeBatch, TeamStep, TimeStep
from core.errors import UserError
from learners.base import BaseLearner
from training.experiment import Experiment
from training.room import make_env

ROWS = 4096  # copies at once


@dataclass(frozen=True)
class Decisions:
    """Executed actions: int64 [D] each."""

    episode: np.ndarray
    step: np.ndarray
    agent: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Decisions:
        """Some of them."""
        return Decisions(self.episode[rows], self.step[rows], self.agent[rows])

    def __len__(self) -> int:
        """D."""
        return len(self.episode)

    def of(self, x: Tensor) -> np.ndarray:
        """Entries of [B, T, A, ...]: float64 [D, ...]."""
        return x[self.episode, self.step, self.agent].double().numpy()


def some_decisions(active: Tensor, n: int, random: np.random.Generator) -> Decisions:
    """Draw n decisions (all, if there are fewer), in the order of their steps.

    Args:
        active: bool [B, T, A], where there was something to decide.
        n: how many.
        random: draws them.
    """
    found = np.argwhere(active.numpy())
    chosen = found[random.permutation(len(found))[:n]]
    return Decisions(*chosen[np.argsort(chosen[:, 1], kind="stable")].T)


@dataclass(frozen=True)
class Truth:
    """What rollouts say: float64 [D] each, in the learner's units of reward.

    Attributes:
        advantage: marginal advantages.
        error: their standard errors.
        value: of the states before.
    """

    advantage: np.ndarray
    error: np.ndarray
    value: np.ndarray


class Rollouts:
    """Replays decisions.

    Args:
        experiment: one team that learns, on an environment whose episodes follow from their seeds.
        copies: of each decision, with the executed action and without it.
        horizon: steps that are played from a decision on, where the episode does not end before.

    Raises:
        UserError: several teams, or not an environment of that kind.
    """

    def __init__(self, experiment: Experiment, *, copies: int, horizon: int) -> None:
        options = experiment.options
        if len(experiment.teams) != 1 or not hasattr(options.classes["env"], "VERSION"):
            raise UserError(
                f"--env-config: {options.experiment.env} cannot be replayed; this needs one team in an environment of "
                "this project, as spread, spread_paper, battle and matrix_game are."
            )
        (team,) = experiment.teams.values()
        self.learner: BaseLearner = team.learner
        self.controller: BasicController = team.controller
        self.halves = [copy.copy(self.controller) for _ in range(2)]  # with the same networks and memories of their own
        self.rewards_of, self.copies, self.horizon = experiment.rewards, copies, horizon
        settings = self.learner.settings
        self.gamma = settings.gamma
        if settings.bootstrap_time_limit and "time_limit" in type(options.env_args).model_fields:
            # a cut is no end for the learner's values: rollouts go on behind it
            longer = {"time_limit": experiment.spec.episode_limit + horizon}
            options = replace(options, env_args=options.env_args.model_copy(update=longer))
        self.decisions_at_once = max(ROWS // (2 * copies), 1)
        self.env = make_env(options, 2 * copies * self.decisions_at_once)

    def truth(self, batch: EpisodeBatch, seeds: np.ndarray, log_pi: Tensor, decisions: Decisions, t_env: int) -> Truth:
        """Follow decisions; the random streams of the controller go on.

        Args:
            batch: the episodes.
            seeds: uint64 [B], theirs.
            log_pi: [B, T+1, A, U], the policies that act at ``t_env``.
            decisions: [D].
            t_env: see ``BasicController.act``.
        """
        parts = []
        for first in range(0, len(decisions), self.decisions_at_once):
            some = decisions[np.arange(first, min(first + self.decisions_at_once, len(decisions)))]
            executed = torch.from_numpy(batch.actions.numpy()[some.episode, some.step, some.agent]).unsqueeze(-1)
            own = log_pi[some.episode, some.step, some.agent]  # [D, U]
            others = own.scatter(-1, executed, -torch.inf).softmax(-1)  # also where they hardly have a probability
            generator = self.controller.generators["explore"]
            drawn = torch.multinomial(others, self.copies, replacement=True, generator=generator)
            actions = torch.stack([executed.expand_as(drawn), drawn]).numpy()  # [2, D, copies]
            returns = self._play(batch, seeds, some, actions, t_env)
            parts.append(_of_returns(returns, own.gather(-1, executed).exp().double().numpy()[:, 0]))
        return Truth(*map(np.concatenate, zip(*parts, strict=True)))

    def _play(
        self, batch: EpisodeBatch, seeds: np.ndarray, decisions: Decisions, actions: np.ndarray, t_env: int
    ) -> np.ndarray:
        """Discounted returns from decisions on, whose own actions are int64 [2, D, copies]: float64 of that shape."""
        env, own = self.env, actions.reshape(-1)
        rows = decisions[np.tile(np.repeat(np.arange(len(decisions)), self.copies), 2)]
        slots = self._slots(actions.shape)
        active, total = np.zeros(env.n_envs, bool), np.zeros(len(own))
        active[slots] = True
        for half in self.halves:
            half.begin(env.n_envs // 2)
        now = env.reset(slots, seeds[rows.episode])
        for t in range(int(rows.step.max()) + self.horizon):
            chosen = self._act(now.teams[0], t_env)
            before, here = np.flatnonzero(t < rows.step), np.flatnonzero(t == rows.step)
            if len(before):
                chosen[slots[before]] = batch.actions.numpy()[rows.episode[before], t]
            if len(here):
                _check_same(now.teams[0].obs[slots[here]], batch, rows[here])
                chosen[slots[here], rows.agent[here]] = own[here]
            for half, done in zip(self.halves, np.split(chosen, 2), strict=True):
                half.took(done)
            now = env.step([chosen], active)
            going = active[slots] & (t >= rows.step)
            total[going] += self._rewards(now)[slots[going]] * self.gamma ** (t - rows.step[going])
            ended = (now.terminated | now.truncated)[slots] | (t + 1 == rows.step + self.horizon)
            active[slots[ended]] = False
            if not active.any():
                break
        return total.reshape(actions.shape)

    def _slots(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where the copies of [2, D, copies] play, flat; the halves of the environments are those of the copies."""
        n = int(np.prod(shape[1:]))
        return np.concatenate([np.arange(n), self.env.n_envs // 2 + np.arange(n)])

    def _act(self, team: TeamStep, t_env: int) -> np.ndarray:
        """Actions int64 [N, A] of all copies; what is random is the same in both halves."""
        generator, n = self.controller.generators["explore"], self.env.n_envs // 2
        state, chosen = generator.get_state(), []
        for k, half in enumerate(self.halves):
            generator.set_state(state)
            seen = {name: array[k * n : (k + 1) * n] for name, array in vars(team).items()}
            chosen.append(half.act(TeamStep(**seen), t_env=t_env))
        return np.concatenate(chosen)

    def _rewards(self, now: TimeStep) -> np.ndarray:
        """The team's rewards as the learner uses them: float64 [N]."""
        rewards = torch.from_numpy(self.rewards_of(now.teams[0].rewards)).double()
        norm = self.learner.reward_norm
        return (norm(rewards) if self.learner.settings.standardise_rewards else rewards).numpy()[:, 0]


def _of_returns(returns: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Advantages, their standard errors and values, each [D].

    Args:
        returns: [2, D, copies], with the executed action and with others, beside the same partners.
        p: [D], probability of the executed action.
    """
    difference = (1 - p[:, None]) * (returns[0] - returns[1])  # Q(u) - (p Q(u) + (1 - p) Q(others))
    error = difference.std(1, ddof=1) / np.sqrt(difference.shape[1])
    mean = returns.mean(2)
    return difference.mean(1), error, p * mean[0] + (1 - p) * mean[1]


def _check_same(obs: np.ndarray, batch: EpisodeBatch, decisions: Decisions) -> None:
    """Whether replayed episodes are those that were gathered, by what is seen before a decision: obs [D, A, O].

    Raises:
        UserError: they are not.
    """
    if not np.array_equal(obs, batch.obs.numpy()[decisions.episode, decisions.step]):
        raise UserError(
            "An episode that was played again from its seed looked different: this needs an environment whose "
            "observations follow from seed and actions and do not show how far the time limit is."
        )
