"""Signals become one exception, at a moment that does no harm."""

import errno
import os
import signal

import pytest

import observers.interrupts
from observers.interrupts import SAME_PRESS, Interrupted, announce, closed, closing, interrupts, shield


def test_sigterm_raises_once():
    def work():
        with interrupts():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)  # a scheduler repeats itself

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        work()
    assert caught.value.exit_status == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_shield_holds_the_signal_back_to_its_end():
    done = []

    def work():
        with interrupts():
            with shield():
                with shield():
                    signal.raise_signal(signal.SIGTERM)
                    done.append("inner")
                done.append("outer")
            done.append("never")

    with pytest.raises(Interrupted):
        work()
    assert done == ["inner", "outer"]


def test_an_error_inside_a_shield_comes_first_and_closing_is_left_in_peace():
    def fail():
        with shield():
            signal.raise_signal(signal.SIGTERM)
            raise ZeroDivisionError

    with interrupts():
        with pytest.raises(ZeroDivisionError):
            fail()
        with shield():
            pass


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def press(monkeypatch):
    """``press(seconds)`` presses Ctrl-C so long after the last time."""
    now = [100.0]
    monkeypatch.setattr(observers.interrupts, "clock", lambda: now[0])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background

    def press(later=0.0):
        now[0] += later
        signal.raise_signal(signal.SIGINT)

    yield press
    signal.signal(signal.SIGINT, before)


def caught(action, *values):
    with pytest.raises(Interrupted) as raised:
        action(*values)
    return raised.value


def test_a_second_ctrl_c_raises_once_more_wherever_the_program_is(press):
    with interrupts():
        assert not caught(press).torn
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        with shield():
            assert caught(press, SAME_PRESS).torn
        assert caught(press, SAME_PRESS).torn  # the one before may have been lost in a destructor


def test_a_key_that_is_held_and_a_signal_that_comes_twice_are_one_ctrl_c(press):
    with interrupts():
        caught(press)
        press(0.0)
        press(SAME_PRESS - 0.01)


def test_a_second_ctrl_c_does_not_wait_for_a_shielded_block(press):
    with interrupts():
        with shield():
            press()
            error = caught(press, SAME_PRESS)
        assert (error.torn, error.exit_status) == (True, 130)


def test_the_first_ctrl_c_after_a_scheduler_s_signal_tells_and_does_not_tear(press, capfd):
    with interrupts():
        caught(signal.raise_signal, signal.SIGTERM)
        press()
        assert "Interrupted: closing the run." in capfd.readouterr().err
        assert caught(press, SAME_PRESS).torn


def test_ctrl_c_tells_what_was_announced(press, capfd):
    with interrupts():
        announce(lambda held: f"held is {held}")
        with pytest.raises(Interrupted), shield():
            press()
        assert capfd.readouterr().err == "\nInterrupted: held is True.\n"


def test_closing_is_left_in_peace(press):
    with interrupts():
        caught(press)
        closing()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(signum)
        press(SAME_PRESS)


def test_ctrl_c_exits_at_once_when_all_is_on_file(press, monkeypatch):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    with interrupts():
        closing()
        press(SAME_PRESS)
        assert left == []
        closed()
        press()
    assert left == [130]


def test_a_terminal_that_is_gone_does_not_hide_ctrl_c(press, monkeypatch):
    def gone(fd, data):
        raise OSError(errno.EIO, "Input/output error")

    with interrupts():
        monkeypatch.setattr(os, "write", gone)
        assert caught(press).signum == signal.SIGINT
