"""The table of all runs: read from their files while they go on."""

import io
import json
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from studies.board import Board
from studies.runs import News, Run
from studies.watching import Watch

RUNS = [Run(panel="battle 3m", line=name, config=name, env="battle", words=("seed=1",)) for name in ("asae", "iql")]
MAIN = ("python3.11", "/somewhere/src/main.py")
BEGAN = datetime(2026, 1, 1)


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "sacred/asae/battle-3m/1").mkdir(parents=True)  # from before
    return Watch(tmp_path, dict.fromkeys(RUNS, 1000))


def begin(watch, tmp_path, run, number, *words):
    """The engine tells of a run, which makes its folder."""
    watch.hear(News(run, "placed", command=(*MAIN, f"--config={run.config}", *words)))
    folder = tmp_path / "sacred" / run.config / "battle-3m" / str(number)
    folder.mkdir(parents=True)
    command = " ".join(["python", "src/main.py", f"--config={run.config}", *words])
    (folder / "info.json").write_text(json.dumps({"provenance": {"command": command}}))
    return folder


def write(folder, name, step, value, seconds, torn=""):
    stamp = (BEGAN + timedelta(seconds=seconds)).isoformat()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"name": name, "step": step, "value": value, "timestamp": stamp}) + "\n" + torn)


def test_steps_speed_test_and_time_left(watch, tmp_path):
    folder = begin(watch, tmp_path, RUNS[0], 2)
    row = watch.rows[RUNS[0]]
    watch.look()
    assert (row.state, row.steps, row.speed, row.test, row.left) == ("running", 0, None, "", None)
    write(folder, "test_return_mean", 0, 1.5, 0)
    write(folder, "loss", 100, None, 10)
    write(folder, "test_battle_won_mean", 200, 0.25, 20, torn='{"name": "los')
    watch.look()
    assert (row.steps, row.speed, row.left) == (200, 10.0, 80.0)
    assert (row.test, row.latest["test_battle_won_mean"]) == ("test_battle_won_mean", 0.25)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('s", "step": 400, "value": 1, "timestamp": "2026-01-01T00:00:40"}\n')
    watch.look()
    assert row.steps == 400  # the torn line is read when it is whole
    assert watch.rows[RUNS[1]].folder is None


def test_a_run_that_is_continued_is_followed_into_its_new_folder(watch, tmp_path):
    write(begin(watch, tmp_path, RUNS[0], 2), "loss", 500, 1.0, 0)
    watch.look()
    watch.hear(News(RUNS[0], "waiting", text="died"))
    folder = begin(watch, tmp_path, RUNS[0], 3, "with", "resume=/x/models/token/400")
    row = watch.rows[RUNS[0]]
    watch.look()
    assert (row.folder, row.state, row.speed) == (folder, "running", None)
    watch.hear(News(RUNS[1], "placed", command=(*MAIN, "with", "resume=/x/models/token/300")))
    assert watch.rows[RUNS[1]].steps == 300
    watch.hear(News(RUNS[0], "completed"))
    assert (row.steps, row.left) == (1000, None)


def board(watch, **others):
    return Board(watch, jobs=2, console=Console(file=io.StringIO(), width=120, height=30, **others), clock=lambda: 0.0)


def test_lines_and_table(watch, tmp_path):
    folder = begin(watch, tmp_path, RUNS[0], 2)
    for steps in (0, 200):
        write(folder, "test_battle_won_mean", steps, 0.25, steps / 10)
    watch.look()
    shown = board(watch)
    assert shown.lines() == [
        "0:00:00  1 running, 1 waiting, 0:01:40 left",  # 80 and 100 seconds, side by side
        "  battle 3m: asae seed=1  200/1,000  10 steps/s  test_battle_won_mean 0.25  0:01:20 left",
    ]
    console = Console(file=io.StringIO(), width=120)
    console.print(shown.table())
    text = console.file.getvalue()
    for row in (["asae seed=1", "running", "200  20%", "10", "battle_won 0.25", "0:01:20"], ["iql seed=1", "waiting"]):
        (line,) = [line for line in text.splitlines() if row[0] in line]
        assert [word for word in row if word not in line] == []


def test_more_runs_than_lines_are_counted(tmp_path):
    runs = [Run(panel="p", line=f"a{i}", config="a", env="e", words=()) for i in range(100)]
    watch = Watch(tmp_path, dict.fromkeys(runs, 10))
    watch.rows[runs[70]].state = "running"
    watch.hear(News(runs[71], "completed"))
    console = Console(file=io.StringIO(), width=120)
    console.print(board(watch).table())
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 28
    assert "a70" in lines[2]
    assert "and 76 more: 75 waiting, 1 completed" in lines[-1]


def test_on_a_terminal_the_table_stays_below_what_is_said(watch):
    shown = board(watch, force_terminal=True)
    with shown.shown():
        shown.say("[1/2] something [not markup]")
    text = shown._console.file.getvalue()
    assert "[1/2] something [not markup]" in text
    assert "battle 3m: asae" in text
