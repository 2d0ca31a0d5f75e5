"""Whether runs will have, or have by now, the metric that a search is for."""

from __future__ import annotations

from core.errors import UserError
from core.registry import did_you_mean
from studies.runs import Run
from studies.watching import Row
from training.testing import metrics_of_tests

TEST = "test_"


def check_metric(run: Run, metric: str) -> None:
    """Refuse a metric of tests that none of a run's tests will write, where that is known before it runs.

    Raises:
        UserError: it is such.
    """
    names, no_others = metrics_of_tests(run.options())
    if not metric.startswith(TEST) or metric in names or not no_others:
        return
    known = f"It has: {', '.join(names)}." if names else "test_nepisode=0 turns tests off."
    near = did_you_mean(metric, names)
    raise UserError(f"nothing was started: {run.about} will have no metric '{metric}' (--metric).{near} {known}")


def missing(metric: str, row: Row, test_interval: int) -> str:
    """What to say of a run that has not written the metric in its first test, or by the second if it is none of tests'.

    It may come later: environments report what they like, and learners may begin late. Empty where there is nothing to
    say.
    """
    of_tests = metric.startswith(TEST)
    written = sorted(name for name in row.latest if name.startswith(TEST) == of_tests)
    if metric in row.latest or not (written if of_tests else row.steps >= test_interval):
        return ""
    return (
        f"{row.run.about} has no metric '{metric}' (--metric) by step {row.steps:,}.{did_you_mean(metric, written)} So "
        f"far: {', '.join(written)}. If it has none at its end, the search ends."
    )
