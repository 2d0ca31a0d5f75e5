"""The console: plain lines, tables, and a terminal of its own kind."""

import io
import math
import sys

import pytest

from observers.console import Console, duration, short
from observers.importance import importance, returns, successes
from observers.tee import Capture

METRICS = {
    "loss": 0.123456,
    "grad_norm": 1.0,
    "return_mean": 4.5,
    "test_return_mean": 12.25,
    "agent_0_return_mean": 1.0,
}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_end_of_a_test_counts_no_steps():
    stream = io.StringIO()
    console = Console(t_max=100, interactive=False, stream=stream, clock=lambda: 0.0)
    console.resume(100)
    console.close(status="COMPLETED", results="", metrics={"test_return_mean": 1.0})
    assert stream.getvalue().splitlines()[-1] == "COMPLETED in 0:00:00, test_return_mean 1"


def test_plain_lines_have_no_control_characters_and_are_rare():
    stream, clock = io.StringIO(), Clock()
    console = Console(t_max=100_000, stream=stream, every=10.0, clock=clock)
    console.header("asae on battle 3m", {"agents": 3, "results": "results/1"})
    for i in range(1, 101):
        clock.now = i
        console.progress(i * 1000, METRICS)
        console.table(i * 1000, METRICS)
    console.close(status="COMPLETED", results="results/1", metrics=METRICS)
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["asae on battle 3m", "  agents   3", "  results  results/1"]
    assert lines[3] == "1,000/100,000  estimating  |  test_return_mean 12.25  return_mean 4.5  loss 0.1235"
    assert lines[4].startswith("11,000/100,000  1,000 steps/s  0:01:29 left  |  ")
    assert len(lines) == 3 + 10 + 2
    assert lines[-2:] == ["COMPLETED after 100,000 steps in 0:01:40, test_return_mean 12.25", "Results: results/1"]
    assert all(character.isprintable() or character == "\n" for character in stream.getvalue())


def test_speed_counts_from_where_a_resumed_run_began():
    stream, clock = io.StringIO(), Clock()
    console = Console(t_max=2000, stream=stream, clock=clock)
    console.resume(1000)
    for clock.now in (10.0, 20.0):
        console.progress(1000 + 10 * int(clock.now), {})
    console.table(1200, {"loss": 1.0})
    assert stream.getvalue() == "1,200/2,000  10 steps/s  0:01:20 left  |  loss 1\n"


def test_quiet_says_nothing():
    stream = Terminal()
    console = Console(t_max=10, quiet=True, stream=stream)
    console.header("title", {"a": 1})
    console.progress(1, METRICS)
    console.table(1, METRICS)
    console.message("text")
    console.close(status="COMPLETED", results="x", metrics=METRICS)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("captured", [True, False])
def test_a_terminal_gets_a_bar_and_the_record_gets_text(tmp_path, monkeypatch, captured):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    capture = Capture(tmp_path / "cout.txt", failed=lambda error: pytest.fail(str(error)))
    if captured:
        capture.start()
    console = Console(t_max=1000)
    console.header("asae on battle 3m", {"agents": 3})
    console.progress(500, METRICS)
    print("somebody prints [bold]")
    console.table(500, METRICS | {"bad": math.nan})
    console.close(status="COMPLETED", results="results/1", metrics=METRICS)
    print("after")
    capture.stop()
    assert sys.stdout is terminal
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    for text in ("asae on battle 3m", "somebody prints [bold]", "test_return_mean", "500/1,000", "Results: results/1"):
        assert text in shown
    assert shown.endswith("after\n")
    if captured:
        record = (tmp_path / "cout.txt").read_text()
        assert "\x1b" not in record
        assert "\u2501" not in record  # the bar
        assert record.startswith("asae on battle 3m\n  agents  3\nsomebody prints [bold]\n500/1,000")
        assert "  bad                         nan\n" in record
        assert record.endswith("Results: results/1\nafter\n")


def test_short_numbers():
    shown = [short(x) for x in (0, 3.0, 20_500, 0.8125, 12.3456, 123456.7, 1e-7, 1.5e9, math.nan, math.inf, -0.5)]
    assert shown == ["0", "3", "20,500", "0.8125", "12.35", "123,457", "1e-07", "1.5e+09", "nan", "inf", "-0.5"]
    assert [duration(s) for s in (5, 3725, 90061)] == ["0:00:05", "1:02:05", "1 d 1:01:01"]


def test_important_metrics_come_first():
    names = ["epsilon", "loss", "return_mean", "test_ep_length_mean", "test_return_mean", "test_agent_0_return_mean"]
    assert sorted(names, key=importance) == [
        "test_return_mean", "test_ep_length_mean", "return_mean", "loss", "epsilon", "test_agent_0_return_mean"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["return_mean", "test_return_mean", "battle_won_mean", "test_battle_won_mean"], "test_battle_won_mean"),
        (["return_mean", "test_return_mean", "test_sampled_success_mean", "test_success_mean"], "test_success_mean"),
        (["test_capture_rate_mean", "test_captured_mean", "test_all_captured_mean"], "test_capture_rate_mean"),
        (["test_is_success_mean"], "test_is_success_mean"),
        (["return_mean", "success_mean"], "success_mean"),
        (["test_collisions_mean", "test_occupied_landmarks_mean", "test_return_mean", "dropped_rate_mean"], None),
    ],
)
def test_the_number_that_counts_is_the_environments_own_measure_of_success(names, counts):
    assert successes(dict.fromkeys(names, 0.5)) == ([counts] if counts else [])


def test_returns_are_of_tests_where_there_are_tests_and_of_every_team():
    assert returns({"return_mean": 1, "agent_0_return_mean": 1}) == ["return_mean"]
    teams = ["prey_return_mean", "test_prey_return_mean", "test_cat_return_mean", "test_sampled_prey_return_mean"]
    assert returns(dict.fromkeys(teams, 1.0)) == ["test_prey_return_mean", "test_cat_return_mean"]
    assert returns({"test_sampled_return_mean": 1, "return_mean": 1}) == ["test_sampled_return_mean"]


WON = {"test_battle_won_mean": 0.25, "battle_won_mean": 0.125, "test_dropped_episodes": 0.0, "kl_agent_0": 0.5}


def test_the_number_that_counts_is_in_the_line_of_a_pipe_and_at_the_end():
    stream = io.StringIO()
    console = Console(t_max=1000, stream=stream)
    console.table(500, METRICS | WON | {"dropped_episodes": 3.0})
    console.close(status="COMPLETED", results="", metrics=METRICS | WON | {"dropped_episodes": 3.0})
    line, end = stream.getvalue().splitlines()
    assert line.partition("|")[2].startswith(
        "  test_battle_won_mean 0.25  test_return_mean 12.25  battle_won_mean 0.125"
    )
    assert end.endswith(", test_battle_won_mean 0.25, test_return_mean 12.25")


def test_the_number_that_counts_is_in_the_bar_and_what_says_nothing_is_not_in_the_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    terminal = Terminal()
    console = Console(t_max=1000, stream=terminal)
    console.header("qmix on battle/3m", {})
    console.progress(500, METRICS | WON)
    console._bar.refresh()
    assert "test_battle_won_mean 0.25" in terminal.getvalue()
    assert "test_return_mean" not in terminal.getvalue()
    console.table(500, METRICS | WON | {"dropped_episodes": 3.0})
    console.close(status="COMPLETED", results="", metrics={})
    shown = terminal.getvalue()
    assert "dropped_episodes" in shown.replace("test_dropped_episodes", "")  # three are worth a row
    assert "test_dropped_episodes" not in shown
    assert "kl_agent_0" not in shown


def test_the_bar_says_what_goes_on_before_there_is_a_speed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    terminal, clock = Terminal(), Clock()
    console = Console(t_max=1000, stream=terminal, clock=clock)

    def bar():
        terminal.seek(0)
        terminal.truncate()
        console._bar.refresh()
        return terminal.getvalue()

    console.header("iql on toy", {})
    assert "0/1,000  estimating" in bar()
    with console.testing():
        clock.now = 7.0
        assert "0/1,000  testing" in bar()
    assert "0/1,000  estimating" in bar()
    for clock.now in (8.0, 13.0):
        console.progress(int(clock.now) * 10, METRICS)
    assert "130/1,000  10 steps/s  0:01:27 left  test_return_mean 12.25" in bar()
    with pytest.raises(KeyboardInterrupt), console.testing():
        raise KeyboardInterrupt
    console.close(status="INTERRUPTED", results="", metrics={})


def test_the_last_line_tells_no_time_left():
    stream = io.StringIO()
    console = Console(t_max=1000, stream=stream)
    console.progress(500, METRICS)
    console.close(status="INTERRUPTED", results="", metrics=METRICS)
    assert stream.getvalue().startswith("500/1,000  |  test_return_mean 12.25")
