"""Speed and time left count what will come again."""

import pytest

from observers.pace import PATIENCE, Pace


class Time:
    now = lost = 0.0


def made(t_max=100_000, test_interval=20_000):
    time = Time()
    return time, Pace(t_max=t_max, test_interval=test_interval, clock=lambda: time.now, lost=lambda: time.lost)


def test_compiling_tests_and_the_first_iteration_are_no_part_of_the_speed():
    time, pace = made()
    with pace.testing():
        time.now = 40.0  # of which 30 are compiling
        time.lost = 30.0
    time.now += 20.0  # the first iteration compiles and warms up
    time.lost += 15.0
    pace.step(100)
    assert (pace.speed, pace.left) == (None, None)
    for i in range(1, 6):
        time.now += 1.0
        pace.step(100 + 1000 * i)
    assert pace.speed == 1000.0
    # 94,900 steps of training; five tests to come (at 20k, 40k, 60k, 80k and the end), each of 10 s without compiling
    assert pace.left == pytest.approx(94.9 + 50.0)
    with pace.testing():
        time.now += 2.0
    time.now += 1.0
    time.lost += 1.0  # a kernel that is needed late
    pace.step(5100)
    assert pace.speed == 1000.0
    assert pace.left == pytest.approx(94.9 + 5 * 2.0)


def test_nothing_is_told_before_some_seconds_of_training():
    time, pace = made()
    pace.step(100)
    time.now = PATIENCE - 0.01
    pace.step(9_000)
    assert pace.speed is None
    time.now = PATIENCE
    pace.step(10_100)
    assert pace.speed == pytest.approx(10_000 / PATIENCE)


def test_long_iterations_are_told_after_the_second():
    time, pace = made()
    for i in (1, 2):
        time.now = 30.0 * i
        pace.step(300 * i)
    assert pace.speed == 10.0


def test_the_speed_is_of_the_last_minute_of_training():
    time, pace = made()
    for second in range(0, 400):
        time.now = float(second)
        pace.step(second * 10 if second < 200 else 2000 + (second - 200) * 50)
        if second == 199:
            assert pace.speed == pytest.approx(10.0)
    assert pace.speed == pytest.approx(50.0)


def test_a_resumed_run_counts_from_where_it_began():
    time, pace = made(t_max=60_000)
    pace.restart(50_000)
    for i in range(3):
        time.now = 5.0 * i
        pace.step(50_000 + 500 * (i + 1))
    assert pace.speed == 100.0
    assert pace.left == pytest.approx(85.0)  # no test has been seen, so none is counted


def test_without_tests_training_alone_is_left():
    time, pace = made(test_interval=None)
    for i in range(3):
        time.now = 5.0 * i
        pace.step(500 * i)
    assert pace.left == pytest.approx(990.0)
