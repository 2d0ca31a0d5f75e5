"""Tables of runs in Markdown: by hand, and by the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

import plot
from analysis.curves import curves
from analysis.markdown import markdown, steps, tables, wide
from analysis.records import RunRecord

METRIC, OTHER = "test_return_mean", "test_collisions_mean"
STEPS = np.array([0.0, 50_000, 95_000, 100_025])  # the last tenth has two tests


def run(name, seed, values, other=None, env="spread", at=STEPS):
    series = {METRIC: (at, np.array(values, float))}
    if other is not None:
        series[OTHER] = (at, np.array(other, float))
    config = {"name": name, "env": env, "seed": seed, "env_args": {}}
    return RunRecord(path=Path(f"/runs/{env}/{name}/{seed}"), config=config, metrics=series, status="COMPLETED")


@pytest.fixture
def runs():
    ends = {"a": [(-30, -10), (-20, -12), (-40, -15)], "b": [(-9, -11), (-8, -10), (-7, -8)]}
    made = [
        run(name, seed, [-90, -50, *end], other=[1, 1, 3, 5 + seed] if name == "a" else None)
        for name, pairs in ends.items()
        for seed, end in enumerate(pairs, 1)
    ]
    return [*made, run("a", 1, [0, 0, 0.5, 0.25], env="battle"), run("b", 1, [0, 0, 0, 1.0], env="battle")]


def rows(text):
    return [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_a_table_per_task_by_hand(runs):
    text = tables(curves(runs, METRIC), METRIC)
    battle, spread = text.split("\n\nspread: test_return_mean\n\n")
    assert battle.startswith("battle: test_return_mean\n\n| algorithm | steps | median | all seeds | last tenth |\n")
    assert rows(battle)[2:] == [["b", "100k", "1.00", "1.00", "0.50"], ["a", "100k", "0.25", "0.25", "0.38"]]
    assert rows(spread)[2:] == [  # best first, seeds in their order, decimals that fit the task
        ["b", "100k", "-10.0", "-11.0, -10.0, -8.0", "-9.0"],
        ["a", "100k", "-12.0", "-10.0, -12.0, -15.0", "-20.0"],
    ]


def test_final_values_over_the_last_tenth_say_the_end_beside_it(runs):
    text = tables(curves(runs, METRIC), METRIC, share=0.1)
    assert rows(text)[0] == ["algorithm", "steps", "last tenth", "all seeds", "at the end"]
    assert rows(text)[-1] == ["a", "100k", "-20.0", "-20.0, -16.0, -27.5", "-12.0"]


@pytest.mark.filterwarnings("ignore:left out, since they have no test_collisions_mean")
def test_further_columns_are_medians_over_the_last_tenth(runs):
    text = tables(curves(runs, METRIC), METRIC, further={OTHER: curves(runs, OTHER)})
    assert [row[5:] for row in rows(text) if row[0] in ("algorithm", "a")] == [
        ["collisions"],
        [""],
        ["collisions"],
        ["5.0"],
    ]
    assert rows(text)[-2][-1] == ""  # b has no collisions on record


@pytest.mark.filterwarnings("ignore:seeds of different lengths")
def test_seeds_of_different_lengths_have_a_row_each():
    long, short = [-5.0, -4, -3, -2], [-6.0, -5]
    found = curves([run("a", 1, long), run("a", 2, short, at=STEPS[:2])], METRIC)
    assert rows(tables(found, METRIC))[2:] == [
        ["a", "100k", "-2.0", "-2.0", "-2.5"],
        ["a", "50k", "-4.5", "-4.0, -5.0", "-4.5"],
    ]
    assert rows(wide(found, METRIC))[2:] == [["spread", "50k", "-4.5 (-5.0, -4.0)"]]


def test_one_table_of_all_tasks_by_hand(runs):
    runs += [run("c", seed, [0, 0, 0, seed], env="battle") for seed in (2, 3)]
    assert rows(wide(curves(runs, METRIC), METRIC)) == [
        ["task", "steps", "c", "b", "a"],  # c is better than all others where it is, b on half of the tasks
        ["---"] * 5,
        ["battle", "100k", "2.5 (2.0, 3.0)", "1.0", "0.2"],
        ["spread", "100k", "", "-10.0 (-11.0, -8.0)", "-12.0 (-15.0, -10.0)"],
    ]


def test_nothing_after_a_step_counts_but_a_test_that_is_a_little_late(runs):
    found = curves([run("a", 1, [1, 2, 3, 4])], METRIC, until=50_000)
    assert found[0].steps.tolist() == [0, 50_000]
    assert curves([run("a", 1, [1, 2, 3, 4])], METRIC, until=100_000)[0].steps[-1] == 100_025


def test_steps_are_short_and_cells_hold_no_bars():
    shown = {0: "0", 999.7: "1k", 25_000: "25k", 960_000: "960k", 999_600: "1M", 1_000_025: "1M", 2_500_172: "2.5M"}
    assert {number: steps(number) for number in shown} == shown
    assert markdown([["a", "b"], ["x|y", ""]]) == "| a | b |\n| --- | --- |\n| x/y |  |"


def test_the_command_line_prints_them(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, values in {"asae": [1.0, 3.0], "coma": [1.0, 4.0]}.items():
        (folder := tmp_path / name).mkdir()
        columns = {metric: {"steps": [0, 10], "values": values} for metric in (METRIC, OTHER)}
        folder.joinpath("metrics.json").write_text(json.dumps(columns))
        folder.joinpath("config.json").write_text(json.dumps({"name": name, "env": "spread", "seed": 1}))
        folder.joinpath("run.json").write_text(json.dumps({"status": "COMPLETED"}))
    assert plot.main([str(tmp_path), "--markdown", "--columns", OTHER, "--wide", "--until", "7"]) == 0
    out, err = capsys.readouterr()
    assert (rows(out)[2], rows(out)[-1], err) == (
        ["coma", "10", "4.0", "4.0", "4.0", "4.0"],
        ["spread", "10", "4.0", "3.0"],
        "",
    )
    assert not (tmp_path / "curves.png").exists()
    assert plot.main([str(tmp_path), "--columns", OTHER]) == 2
    assert "--markdown" in capsys.readouterr().err
