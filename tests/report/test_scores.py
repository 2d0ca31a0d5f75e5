"""Algorithms over several tasks: every statistic against numbers made by hand, or against SciPy."""

import numpy as np
import pytest
import scipy.stats

from analysis.chapters import chapters, metrics_of
from analysis.inventory import Reader
from analysis.scores import TAUS, aggregates, efficiency, improvement, improvements, pooled_iqm, profiles, scores
from analysis.suites import rectangle, suite_of
from core.intervals import interval, stratified
from report_runs import METRIC, write_grid, write_run


def chapter(results, metric=METRIC):
    (found,), _ = chapters(Reader([results]).read().runs, [metric])
    return found


def write(results, rows):
    """(algorithm, task) -> the last value of every seed."""
    for (name, task), lasts in rows.items():
        for seed, last in enumerate(lasts, 1):
            write_run(results, name, task, seed, [0.0, last / 2, last])


def test_the_probability_of_improvement_by_hand():
    x, y = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [0.0]])
    assert improvement(x, y)[0] == pytest.approx((0.5 + 1 + 1 + 1 + 1) / 6)  # 1: loses, wins; 2: ties, wins; 3: wins
    better, worse = x + 10, x - 10
    assert improvement(x, better, y, worse)[0] == pytest.approx((4.5 / 6 + 1) / 2)  # the mean of two tasks


def test_the_probability_of_improvement_is_that_of_mann_and_whitney():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, size=(7, 1)).astype(float), rng.integers(0, 6, size=(5, 1)).astype(float)
    expected = scipy.stats.mannwhitneyu(x[:, 0], y[:, 0]).statistic / (7 * 5)
    assert improvement(x, y)[0] == pytest.approx(expected)


def test_a_stratified_interval_resamples_every_task_by_itself():
    far = [np.array([[0.0], [1.0], [2.0]]), np.array([[100.0], [101.0], [102.0]])]
    low, high = stratified(far, lambda *samples, axis: np.concatenate(samples, axis).mean(axis))
    assert 50 < low[0] < 51 < high[0] < 52  # resampled together the interval would span some 80
    rng = np.random.default_rng(5)
    means = [(rng.choice([0, 1, 2], 3).sum() + rng.choice([100, 101, 102], 3).sum()) / 6 for _ in range(4000)]
    np.testing.assert_allclose([low[0], high[0]], np.percentile(means, [2.5, 97.5]), atol=0.1)


def test_one_sample_is_the_plain_interval_and_one_seed_has_none():
    values = np.random.default_rng(1).normal(size=(6, 3))
    np.testing.assert_array_equal(stratified([values], np.mean), interval(values))
    assert np.isnan(stratified([values, values[:1]], pooled_iqm)).all()


def test_final_values_of_algorithms_and_tasks(tmp_path):
    write(tmp_path, {("a", "3m"): [1.0, 2.0, 3.0, 4.0, 100.0], ("b", "3m"): [7.0]})
    first, second = scores(chapter(tmp_path).curves)
    assert (first.task, first.group, first.step, first.late) == ("battle 3m", "a", 20, False)
    assert first.values.tolist() == [1, 2, 3, 4, 100]
    assert first.band.center[0] == 3.0  # one of five is cut at either end
    assert (first.band.low[0], first.band.high[0]) == tuple(bound[0] for bound in interval(first.values[:, None], iqm))
    assert second.band.center[0] == 7.0
    assert np.isnan(second.band.low[0])


def iqm(values, axis=0):
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def test_an_algorithm_that_was_trained_less_is_marked(tmp_path):
    write_run(tmp_path, "a", "3m", 1, [0.0, 1.0, 2.0])
    write_run(tmp_path, "b", "3m", 1, [0.0, 1.0])
    assert {one.group: (one.late, one.step) for one in chapter(tmp_path).scores} == {"a": (False, 20), "b": (True, 10)}


def test_returns_are_normalised_by_task_and_rates_are_not(tmp_path):
    rows = {("a", "3m"): [10.0, 10.0], ("b", "3m"): [5.0, 5.0], ("a", "8m"): [-2.0, -2.0], ("b", "8m"): [-4.0, -4.0]}
    write(tmp_path, rows)
    suite = chapter(tmp_path).suite
    assert suite.bounds == {"battle 3m": (0.0, 10.0), "battle 8m": (-4.0, 0.0)}  # all begin at 0
    assert {name: float(band.center[0]) for name, band in aggregates(suite).items()} == {"a": 0.75, "b": 0.25}
    assert improvements(suite)["a", "b"].center[0] == 1.0
    assert improvements(suite)["b", "a"] == (0.0, 0.0, 0.0)
    rate = suite_of("battle", chapter(tmp_path).curves, "test_battle_won_mean")
    assert (rate.normalised, set(rate.bounds.values())) == (False, {(0.0, 1.0)})


def test_performance_profiles_by_hand(tmp_path):
    for name, lasts in {"a": [0.2, 0.6, 0.9, 1.0], "b": [0.0, 0.0, 0.0, 0.0]}.items():
        for seed, last in enumerate(lasts, 1):
            write_run(tmp_path, name, "3m", seed, [0.0, 0.0], metrics={"test_battle_won_mean": [0.0, last]})
    found = profiles(chapter(tmp_path, "test_battle_won_mean").suite)
    shares = dict(zip(TAUS.round(3).tolist(), found["a"].center.tolist(), strict=True))
    assert [shares[tau] for tau in (0.0, 0.2, 0.5, 0.75, 0.95, 1.0)] == [1.0, 0.75, 0.75, 0.5, 0.25, 0.0]
    assert (found["a"].low <= found["a"].center).all()
    assert not found["b"].center.any()


def test_sample_efficiency_is_over_steps_where_tasks_are_as_long_and_else_over_their_share(tmp_path):
    write(tmp_path / "same", {(a, t): [last, last] for a, last in (("a", 4.0), ("b", 2.0)) for t in ("3m", "8m")})
    x, in_steps, bands = efficiency(chapter(tmp_path / "same").suite)
    assert (x.tolist(), in_steps) == ([0, 10, 20], True)
    assert bands["a"].center.tolist() == [0.0, 0.5, 1.0]
    assert bands["b"].center.tolist() == [0.0, 0.25, 0.5]
    for name in "ab":
        write_run(tmp_path / "other", name, "3m", 1, [0.0, 1.0, 2.0])
        write_run(tmp_path / "other", name, "8m", 1, [0.0, 1.0, 2.0, 3.0, 4.0])
    x, in_steps, bands = efficiency(chapter(tmp_path / "other").suite)
    assert (x[0], x[-1], in_steps) == (0.0, 1.0, False)
    assert bands["a"].center[[0, -1]].tolist() == [0.0, 1.0]


def test_the_largest_rectangle_counts_and_the_rest_is_named(tmp_path):
    cells = [(task, group) for task in "123" for group in "ab"] + [("1", "c"), ("4", "a")]
    assert rectangle(cells) == (("1", "2", "3"), ("a", "b"))
    write_grid(tmp_path, seeds=1)
    write_run(tmp_path, "iql", "3m", 1, [0.0, 1.0])
    write_run(tmp_path, "asae", "27m", 1, [0.0, 1.0])
    suite = chapter(tmp_path).suite
    assert (suite.groups, suite.left_out) == (("asae", "coma", "qmix"), ("iql", "battle 27m"))


def test_which_metrics_are_shown(tmp_path):
    write_run(tmp_path, "a", "3m", 1, [0.0, 1.0], metrics={"test_battle_won_mean": [0, 1], "loss": [0, 1]})
    runs = Reader([tmp_path]).read().runs
    assert metrics_of(runs) == [METRIC, "test_battle_won_mean"]
    assert metrics_of(runs, ["loss", "loss"]) == ["loss"]
    assert "loss" in Reader([tmp_path], ["loss"]).read().runs[0].metrics
