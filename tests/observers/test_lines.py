"""What is a panel, a line and a seed of a picture; which runs are chosen."""

import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis import drawing
from analysis.curves import curves
from analysis.lines import distinct, sort_runs
from analysis.records import RunRecord
from analysis.runs import find_runs
from analysis.selecting import select
from analysis.tables import final_values, write_csv
from core.errors import UserError

METRIC = "test_return_mean"


def run(name="asae", seed=1, *, env="spread", values=(1.0, 2.0), steps=None, status="COMPLETED", path="", **settings):
    run.number += 1
    steps = np.arange(len(values)) * 10.0 if steps is None else np.array(steps, float)
    return RunRecord(
        path=Path(path or f"/runs/{run.number}"),
        config={"name": name, "env": env, "seed": seed, "env_args": {}} | settings,
        metrics={METRIC: (steps, np.array(values, float))},
        status=status,
        started=run.number,
    )


run.number = 0


def sorted_lines(runs, **by):
    """(panel, group) -> seeds."""
    return {(line.panel, line.group): list(line.seeds) for line in sort_runs(runs, **by)}


def notes(call, *rest, **named):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = call(*rest, **named)
    return result, [str(one.message) for one in told]


# -- panels ----------------------------------------------------------------------------------------------------------


def test_a_panel_is_a_task_with_the_arguments_that_differ():
    runs = [run(seed=n, env_args={"n_agents": n, "time_limit": 25, "n_workers": n}) for n in (3, 4)]
    runs += [run(env="matrix_game", env_args={"game": game, "k": 0}) for game in ("climbing", "penalty")]
    assert sorted_lines(runs) == {
        ("matrix_game climbing", "asae"): ["1"],
        ("matrix_game penalty", "asae"): ["1"],
        ("spread, n_agents=3", "asae"): ["3"],
        ("spread, n_agents=4", "asae"): ["4"],
    }


def test_the_same_map_of_two_environments_is_two_panels_and_27m_comes_after_3m():
    runs = [run(env=env, env_args={"map_name": name}) for env in ("sc2", "battle") for name in ("27m_vs_30m", "3m")]
    assert [panel for panel, _ in sorted_lines(runs)] == ["battle 3m", "battle 27m_vs_30m", "sc2 3m", "sc2 27m_vs_30m"]


def test_what_a_return_is_makes_a_panel():
    runs = [run(common_reward=True), run(common_reward=False)]
    assert [panel for panel, _ in sorted_lines(runs)] == ["spread, common_reward=False", "spread, common_reward=True"]


def test_another_version_of_an_environment_is_another_task():
    def made(seed, version):
        info = {} if version is None else {"provenance": {"environment": {"name": "x", "version": version}}}
        return replace(run(seed=seed), info=info)

    old = [made(1, None), made(2, 1)]  # ours were of version 1 before it was recorded
    assert sorted_lines(old) == {("spread", "asae"): ["1", "2"]}
    assert [panel for panel, _ in sorted_lines([*old, made(3, 2)])] == ["spread, version=1", "spread, version=2"]
    lines, told = notes(sorted_lines, [made(1, None), made(2, "2.0.0")])  # others' is not known
    assert lines == {("spread", "asae"): ["1", "2"]}
    assert "version=2.0.0" in told[0]
    others = [made(1, "2.0.0"), made(1, "2.1.0")]
    assert [panel for panel, _ in sorted_lines(others)] == ["spread, version=2.0.0", "spread, version=2.1.0"]


# -- lines -----------------------------------------------------------------------------------------------------------


def test_a_line_is_an_algorithm_with_the_settings_that_differ():
    runs = [run("asae", seed, lr=lr, gamma=0.9) for lr in (0.001, 1) for seed in (1, 2)] + [run("coma", lr=0.5)]
    assert sorted_lines(runs) == {
        ("spread", "asae, lr=0.001"): ["1", "2"],
        ("spread", "asae, lr=1"): ["1", "2"],
        ("spread", "coma"): ["1"],
    }


@pytest.mark.parametrize(
    "setting",
    ["t_max", "label", "local_results_path", "device", "test_interval", "test_nepisode", "log_interval", "resume"],
)
def test_what_cannot_matter_makes_no_line(setting):
    assert sorted_lines([run(seed=1, **{setting: "a"}), run(seed=2, **{setting: "b"})]) == {
        ("spread", "asae"): ["1", "2"]
    }


def test_stock_epymarl_has_the_seed_among_the_arguments_of_the_environment():
    runs = [run(seed=seed, env_args={"seed": seed, "map_name": "3m"}, use_cuda=seed > 1) for seed in (1, 2)]
    assert sorted_lines(runs) == {("spread 3m", "asae"): ["1", "2"]}


def test_equal_numbers_are_equal():
    assert len(sorted_lines([run(lr=1), run(lr=1.0)])) == 1
    assert len(sorted_lines([run(lr=1), run(lr=True)])) == 2


def test_what_differs_from_panel_to_panel_alone_is_told_once_and_not_in_the_legend():
    runs = [run(env=env, lr=lr) for env, lr in (("spread", 1), ("simple_tag", 2))]
    lines, told = notes(sorted_lines, runs)
    assert {group for _, group in lines} == {"asae"}
    assert told == ["settings that differ from panel to panel are not in the legend (asae: lr)"]


def test_a_setting_that_older_runs_lack_does_not_part_them_but_is_told():
    lines, told = notes(sorted_lines, [run(seed=1), run(seed=2, q_lambda=0.6)])
    assert lines == {("spread", "asae"): ["1", "2"]}
    (message,) = told
    assert "q_lambda=0.6" in message
    lines, told = notes(sorted_lines, [run(seed=1), run(seed=2, q_lambda=0.6), run(seed=2, q_lambda=0.0)])
    assert [group for _, group in lines] == ["asae", "asae, q_lambda=0.0", "asae, q_lambda=0.6"]


def test_who_plays_the_other_team_is_a_line():
    def against(plays, **settings):
        return run(env="predator_prey", team={"prey": {"plays": plays, **settings}})

    runs = [against("coma", lr=1, epochs=2, gamma=3), against("scripted:random"), run(env="predator_prey")]
    labels = ["asae", "asae, prey=coma", "asae, prey=scripted:random"]
    assert [group for _, group in sorted_lines(runs)] == labels
    runs.append(against("coma", lr=2, epochs=2, gamma=3))
    labels[1:2] = ["asae, prey=coma, prey.lr=1", "asae, prey=coma, prey.lr=2"]
    assert [group for _, group in sorted_lines(runs)] == labels


def test_of_many_settings_the_usual_values_are_told_once():
    varied = {"n_samples": 1, "clip": 2, "exact": True, "kl": 0.5}
    usual = {"n_samples": 10, "clip": 1, "exact": False, "kl": None}
    runs = [run(**usual), run(**usual, seed=2)] + [run(**usual | {key: value}) for key, value in varied.items()]
    lines, (told,) = notes(sorted_lines, runs)
    labels = ["asae", "asae, clip=2", "asae, exact=True", "asae, kl=0.5", "asae, n_samples=1"]
    assert [group for _, group in lines] == labels
    assert "asae: where a label does not say otherwise, n_samples=10, clip=1, exact=False, kl=None" in told


def test_an_absurd_label_is_short_and_still_the_line_s_own():
    runs = [run(**{f"setting{k}": 100 * i + k for k in range(30)}) for i in range(3)]
    lines, _ = notes(sorted_lines, runs)
    assert len(lines) == 3
    assert max(len(group) for _, group in lines) < 100
    long = [run(payoff=[[i] + [0] * 50]) for i in range(2)] + [run(payoff=[[0] + [0] * 49 + [i]]) for i in (1, 2)]
    lines, _ = notes(sorted_lines, long)
    assert len(lines) == 4
    assert max(len(group) for _, group in lines) < 60


def test_group_by_and_panel_by_take_the_place_of_both_and_tell_what_they_merge():
    runs = [run(lr=1, env_args={"n": 3}), run(lr=2, env_args={"n": 4})]
    lines, told = notes(sorted_lines, runs, group_by=("name",))
    assert lines == {("spread, n=3", "asae"): ["1"], ("spread, n=4", "asae"): ["1"]}
    assert told == []
    lines, told = notes(sorted_lines, runs, group_by=("name",), panel_by=("env",))
    assert lines == {("spread", "asae"): ["1", "1"]}
    assert told == ["lines of runs with different settings: asae on spread (lr, env_args.n)"]
    lines, told = notes(sorted_lines, runs, panel_by=("env",))
    assert [group for _, group in lines] == ["asae, lr=1, n=3", "asae, lr=2, n=4"]


# -- seeds -----------------------------------------------------------------------------------------------------------


def test_of_two_runs_with_equal_settings_and_seed_the_one_that_came_furthest_counts():
    short, long, other = run(values=[1, 2], t_max=1), run(values=[1, 3, 9]), run(seed=2, values=[1, 2, 3])
    (line,) = sort_runs([long, short, other])
    kept, repeated = distinct(line, lambda one: one.metrics[METRIC][0][-1])
    assert kept.runs == (long, other)
    assert repeated == [(short, long)]
    (curve,), told = notes(curves, [long, short, other], METRIC)
    assert (curve.n_seeds, len(curve.values)) == (2, 2)
    assert told == [f"left out, since another run has the same settings and seed: {short.path} ({long.path} counts)"]


def test_of_equally_long_ones_a_completed_one_counts_and_then_the_newest():
    older, newer, dead = run(values=[1, 5]), run(values=[1, 6]), run(values=[1, 7], status="FAILED")
    (line,) = sort_runs([newer, dead, older])
    kept, _ = distinct(line, lambda one: 10.0)
    assert kept.runs == (newer,)


def test_one_seed_run_twice_has_no_interval():
    (curve,), _ = notes(curves, [run(), run()], METRIC)
    assert curve.n_seeds == 1
    assert np.isnan(curve.low).all()
    assert final_values([curve])[1][2:6] == ["1", "2", "2", "one seed: none"]
    (curve,), _ = notes(curves, [run(lr=1), run(lr=2)], METRIC, group_by=("name",))  # two runs, one seed
    assert (curve.n_seeds, curve.counts.tolist()) == (1, [1, 1])
    assert np.isnan(curve.low).all()
    assert final_values([curve])[1][5] == "one seed: none"


def test_runs_whose_seed_is_not_on_record_have_one_each():
    (curve,) = curves([run(seed=None), run(seed=None)], METRIC)
    assert curve.n_seeds == 2


# -- seeds of different lengths --------------------------------------------------------------------------------------


@pytest.fixture
def uneven():
    return curves(
        [run(seed=seed, values=np.arange(length) + seed) for seed, length in ((1, 3), (2, 5), (3, 5))], METRIC
    )


@pytest.mark.filterwarnings("ignore:seeds of different lengths")
def test_a_curve_goes_on_with_the_seeds_that_are_left(uneven, tmp_path):
    (curve,) = uneven
    assert curve.steps.tolist() == [0, 10, 20, 30, 40]
    assert curve.counts.tolist() == [3, 3, 3, 2, 2]
    assert curve.center.tolist() == [2.0, 3.0, 4.0, 5.5, 6.5]
    assert (curve.low.tolist(), curve.high.tolist()) == ([1, 2, 3, 5, 6], [3, 4, 5, 6, 7])
    write_csv([curve], tmp_path / "a.csv")
    assert [row["seeds"] for row in csv.DictReader((tmp_path / "a.csv").open())] == ["3", "3", "3", "2", "2"]
    assert [row[2:4] + row[6:] for row in final_values([curve])[1:]] == [["2 of 3", "6.5", "40"], ["3", "4", "20"]]
    drawing.draw_curves(uneven, tmp_path / "a.svg", y_label="y", title=None, x_label="x")
    assert "asae (2-3 seeds)" in (tmp_path / "a.svg").read_text()
    assert "thin: fewer seeds" in (tmp_path / "a.svg").read_text()
    import matplotlib.figure

    axis = matplotlib.figure.Figure().subplots()
    drawing._panel(axis, uneven, ["asae"])
    thin, thick = axis.lines
    assert thin.get_linewidth() < thick.get_linewidth()
    np.testing.assert_array_equal(np.isfinite(thick.get_ydata()), [True, True, True, False, False])
    assert np.isfinite(thin.get_ydata()).all()


def test_different_lengths_are_told():
    runs = [run(seed=1, values=range(3)), run(seed=2, values=range(5))]
    (curve,), told = notes(curves, runs, METRIC)
    assert told == ["seeds of different lengths: asae on spread (2 up to step 20, 1 at step 40)"]
    assert np.isnan(curve.low[-1])
    assert curve.low[0] == curve.high[0] == 0.0


def test_last_tests_some_steps_apart_are_no_different_lengths():
    runs = [run(seed=seed, steps=[0, 100 + seed, 200 + 3 * seed], values=[0, 1, 2]) for seed in (1, 2)]
    (curve,), told = notes(curves, runs, METRIC)
    assert curve.counts.tolist() == [2, 2, 2]
    assert told == []


# -- which runs ------------------------------------------------------------------------------------------------------


def filed(folder, seed, values, status, **info):
    folder.mkdir(parents=True)
    metrics = {METRIC: {"steps": [10 * i for i in range(len(values))], "values": values}}
    config = {"name": "asae", "env": "spread", "seed": seed}
    for name, content in (("config", config), ("metrics", metrics), ("run", {"status": status}), ("info", info)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_completed_runs_alone_unless_others_are_asked_for(tmp_path):
    filed(tmp_path / "1", 1, [1, 2, 3], "COMPLETED")
    filed(tmp_path / "2", 2, [1], "FAILED")
    found, told = notes(find_runs, [tmp_path], unfinished=False)
    assert [one.path.name for one in found] == ["1"]
    assert told == ["runs that have not completed are left out (1 FAILED); --unfinished takes them too"]
    (curve,) = curves(found, METRIC)
    assert final_values([curve])[1][6] == "20"
    (curve,), _ = notes(curves, find_runs([tmp_path]), METRIC)
    assert final_values([curve])[1][2:4] == ["1 of 2", "3"]  # a run that died at once does not cut the others
    assert len(final_values([curve])) == 2


def test_only_unfinished_runs_is_a_message_that_says_so(tmp_path):
    filed(tmp_path / "1", 1, [1], "RUNNING")
    filed(tmp_path / "2", 2, [1], "INTERRUPTED")
    with pytest.raises(UserError, match=r"None of the 2 runs .*1 INTERRUPTED, 1 RUNNING.*--unfinished"):
        find_runs([tmp_path], unfinished=False)


def test_a_completed_run_whose_continuation_goes_on_counts_as_far_as_it_completed(tmp_path):
    first = filed(tmp_path / "1", 1, [1, 2], "COMPLETED")
    filed(tmp_path / "2", 1, [1, 2, 3], "RUNNING", resumed_from_run=str(first), resumed_at=10)
    (found,), told = notes(find_runs, [tmp_path], unfinished=False)
    assert (found.path, told) == (first, [])
    (found,) = find_runs([tmp_path])
    assert found.metrics[METRIC][1].tolist() == [1, 2, 3]


def test_a_run_without_the_metric_is_told_with_the_nearest_that_it_has():
    other = replace(run(env="predator_prey"), metrics={"test_prey_return_mean": run().metrics[METRIC]})
    found, told = notes(curves, [run(), other], METRIC)
    assert [curve.panel for curve in found] == ["spread"]
    (message,) = told
    assert f"no {METRIC}: {other.path}. Did you mean 'test_prey_return_mean'?" in message


RUNS = [
    run("asae", 1, lr=0.001, env_args={"map_name": "3m"}, team={"prey": {"plays": "coma"}}, groups=[0, 1]),
    run("asae_x", 2, lr=0.01, env="sc2", env_args={"map_name": "3m"}, use_rnn=True, sharing="none"),
    run("coma", 3, lr=0.01, use_rnn=False, target_kl=None),
]


@pytest.mark.parametrize(
    ("chosen", "seeds"),
    [
        ({"where": ["lr=1e-2"]}, [2, 3]),
        ({"where": ["lr=0.01", "use_rnn=false"]}, [3]),
        ({"where": ["seed=1", "seed=3"]}, [1, 3]),
        ({"where": ["use_rnn=True"]}, [2]),
        ({"where": ["env_args.map_name=3m"]}, [1, 2]),
        ({"where": ["team.prey.plays=coma"]}, [1]),
        ({"where": ["groups=[0,1]"]}, [1]),
        ({"where": ["target_kl=None"]}, [3]),
        ({"where": ["sharing=none"]}, [2]),
        ({"exclude": ["lr=0.001"]}, [2, 3]),
        ({"exclude": ["name=asae", "name=coma"]}, [2]),
        ({"algorithms": ["asae"]}, [1, 2]),
        ({"algorithms": ["x", "com"]}, [2, 3]),
        ({"environments": ["3m"]}, [1, 2]),
        ({"environments": ["spread"], "algorithms": ["asae"]}, [1]),
        ({}, [1, 2, 3]),
    ],
)
def test_choosing(chosen, seeds):
    assert [one.setting("seed") for one in select(RUNS, **chosen)] == seeds


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"where": ["lr"]}, "give key=value"),
        ({"exclude": ["=3"]}, "give key=value"),
        ({"where": ["llr=1"]}, "Did you mean 'lr'"),
        ({"exclude": ["env_args.map_nam=3m"]}, "Did you mean 'env_args.map_name'"),
        ({"where": ["lr=5"]}, "No run has lr=5. There are: 0.001, 0.01."),
        ({"exclude": ["lr=0.01", "lr=0.001"]}, "leaves no run"),
        ({"algorithms": ["asea"]}, "No algorithm has asea in its name. There are: asae, asae_x, coma."),
        ({"environments": ["lbf"]}, "There are: sc2 3m, spread, spread 3m."),
    ],
)
def test_mistaken_choices(chosen, message):
    with pytest.raises(UserError) as caught:
        select(RUNS, **chosen)
    assert message in str(caught.value)


def test_a_picture_that_nobody_can_read_is_refused(tmp_path):
    runs = [run(env_args={"n_agents": n}) for n in range(40)]
    found, _ = notes(curves, runs, METRIC)
    with pytest.raises(UserError, match=r"40 panels .*--where"):
        drawing.draw_curves(found, tmp_path / "a.png", y_label="y", title=None, x_label="x")
    found = curves([run(lr=n) for n in range(40)], METRIC)
    with pytest.raises(UserError, match=r"40 lines .*--group-by"):
        drawing.draw_curves(found, tmp_path / "a.png", y_label="y", title=None, x_label="x")
