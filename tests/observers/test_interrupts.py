"""Signals become one exception, at a moment that does no harm."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from observers.interrupts import Interrupted, interrupts, shield


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


def test_a_second_ctrl_c_exits_at_once():
    code = """
import signal
from observers.interrupts import interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
with interrupts():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        print("not reached", flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 130
    assert done.stdout == ""
    assert "Ctrl-C again" in done.stderr
