"""What tests of a run play, and which metrics they will write."""

from __future__ import annotations

import numpy as np

from core.data import EpisodeStats
from observers.gather import summarise
from runners.parallel_runner import Rewards
from training.options import ExperimentSettings, Options, spec_of


def kinds_of_tests(settings: ExperimentSettings) -> dict[str, bool]:
    """Front of the names of a test's metrics -> whether it is of the greedy policy."""
    return {"test_": settings.test_greedy} | ({"test_sampled_": False} if settings.test_sampled else {})


def metrics_of_tests(options: Options) -> tuple[list[str], bool]:
    """Names of the metrics that tests of a run will write, and whether there can be no others.

    Environments of others may report more when an episode ends than they say beforehand.

    Raises:
        UserError: the environment cannot be made.
    """
    s, env = options.experiment, options.classes["env"]
    if s.test_nepisode == 0:
        return [], True
    rewards = Rewards(common=s.common_reward, scalarisation=s.reward_scalarisation)
    spec = spec_of(env, options.env_args)
    returns = {team.name: np.zeros((1, rewards.dim(team))) for team in spec.teams}
    info = {key: np.zeros(1) for key in spec.info_keys}
    names = summarise(EpisodeStats(returns=returns, lengths=np.ones(1, np.int64), info=info, dropped=0))
    own = hasattr(env, "VERSION")  # as simulators of ours have
    return [prefix + name for prefix in kinds_of_tests(s) for name in names], own
