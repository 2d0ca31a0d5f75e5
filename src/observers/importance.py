"""Which metrics matter most to a person who looks on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

FIRST = ("return_mean", "return_std", "ep_length_mean", "loss", "critic_loss", "pg_loss")
OF_EPISODES = 3  # the first so many of them
LAST = ("grad_norm", "dropped_episodes", "epsilon")
COUNTERS = ("dropped_episodes",)  # of what goes wrong; zero says nothing
OF_ONE_AGENT = re.compile(r"(^|_)kl_agent_\d+$")  # their mean stands beside them
SUCCESS = re.compile(  # how environments call, in an episode's last info, what is to be reached
    r"(^|_)(won|wins?|win_rate|success(es)?|success_rate|succeeded|solved|capture_rate|completion_rate|goal_reached)_mean$"
)


def is_success(name: str) -> bool:
    """Whether a metric is the environment's own measure of success: battle_won_mean, test_capture_rate_mean, ..."""
    return SUCCESS.search(name) is not None


def importance(name: str) -> tuple[int, int, str]:
    """Sort key of a metric: test results, training returns, then the rest; diagnostics of agents last."""
    base = name.removeprefix("test_")
    places = [i for i, word in enumerate(FIRST) if base == word or base.endswith("_" + word)]
    if "agent_" in base or base.endswith(LAST):
        return 3, 0, name
    place = -1 if is_success(name) else places[0] if places else len(FIRST)
    group = 0 if name.startswith("test_") else 1 if place < OF_EPISODES else 2
    return group, place, name


def worth_a_row(metrics: Mapping[str, float]) -> list[str]:
    """Return the names that a table shows, the most important first; the files have all of them."""
    zeros = {name for name, value in metrics.items() if name.endswith(COUNTERS) and value == 0}
    return sorted((name for name in metrics if name not in zeros and not OF_ONE_AGENT.search(name)), key=importance)


def successes(metrics: Mapping[str, float]) -> list[str]:
    """Return the name of the environment's own measure of success, of tests where they have it; or nothing."""
    return _preferred(filter(is_success, metrics))[:1]


def returns(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the test returns (one per team, two at most), or else of the training returns."""
    return _preferred(key for key in metrics if key.endswith("return_mean") and "agent_" not in key)[:2]


def _preferred(names: Iterable[str]) -> list[str]:
    """Of several forms the names of the first one that there is: greedy test, sampled test, training."""
    forms: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in names:
        forms[1 if name.startswith("test_sampled_") else 0 if name.startswith("test_") else 2].append(name)
    return next(filter(None, forms), [])
