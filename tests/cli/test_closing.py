"""Signals that come while a run is being closed: it ends INTERRUPTED, and its checkpoint is whole or absent."""

import json
import signal

import pytest
import torch

import observers.interrupts
from observers.console import Console
from observers.sacred_files import AtomicFileObserver
from training.experiment import Experiment

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
TRAIN = [
    "--config=iql",
    "--env-config=matrix_game",
    "with",
    "seed=1",
    "t_max=100000",
    "batch_size_run=1",
    "buffer_size=40",
]
LATER = 5.0  # seconds between two presses of Ctrl-C that are two


@pytest.fixture
def send(monkeypatch):
    """``send(signal, ...)``: one after another; the clock of Ctrl-C moves by LATER before each number LATER."""
    now = [100.0]
    monkeypatch.setattr(observers.interrupts, "clock", lambda: now[0])
    before = {one: signal.signal(one, signal.default_int_handler) for one in (INT, TERM, HUP)}

    def send(*what):
        for one in what:
            if one == LATER:
                now[0] += LATER
            else:
                signal.raise_signal(one)

    yield send
    for one, handler in before.items():
        signal.signal(one, handler)


def at_call(monkeypatch, owner, name, number, action):
    """Do ``action`` after the ``number``-th call of a function."""
    real, calls = getattr(owner, name), []

    def patched(*arguments, **named):
        result = real(*arguments, **named)
        calls.append(1)
        if len(calls) == number:
            action()
        return result

    monkeypatch.setattr(owner, name, patched)


def interrupted_run(cli, tools, outcome):
    (folder,) = cli.runs()
    assert outcome.status == 128 + INT
    assert "Traceback" not in outcome.err
    assert tools.read(folder, "run")["status"] == "INTERRUPTED"
    assert "INTERRUPTED after" in outcome.out
    assert list(tools.models(folder).glob(".*")) == []
    return folder


@pytest.mark.parametrize(
    "further", [[], [INT], [TERM, TERM], [HUP], [INT, INT, TERM, HUP, INT], [LATER, TERM], [LATER, HUP, TERM]]
)
def test_what_comes_while_it_saves_does_not_stop_the_saving(cli, tools, monkeypatch, send, further):
    at_call(monkeypatch, Experiment, "iterate", 7, lambda: send(INT))
    at_call(monkeypatch, torch, "save", 2, lambda: send(*further))
    outcome = cli(*TRAIN, *tools.TINY)
    assert "Interrupted: saving a checkpoint and closing the run; Ctrl-C again closes it without saving." in outcome.err
    folder = interrupted_run(cli, tools, outcome)
    (stopped,) = tools.steps(folder)
    assert tools.steps(cli.resume(folder, f"t_max={stopped + 25}")) == [stopped + 25]


@pytest.mark.parametrize("further", [[LATER, INT], [TERM, LATER, INT, INT, TERM], [LATER, INT, LATER, INT, LATER, INT]])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_second_ctrl_c_gives_up_the_saving_and_nothing_else(cli, tools, monkeypatch, send, further, earlier):
    every = 100 if earlier else 10**9
    at_call(monkeypatch, Experiment, "iterate", 12, lambda: send(INT))

    def late():
        at_call(monkeypatch, torch, "save", 2, lambda: send(*further))

    at_call(monkeypatch, Experiment, "iterate", 12, late)
    outcome = cli(*TRAIN, *tools.TINY, f"save_model_interval={every}")
    folder = interrupted_run(cli, tools, outcome)
    steps = tools.steps(folder) if earlier else []
    assert not tools.models(folder).exists() or tools.steps(folder) == steps
    said = f"the newest checkpoint is of step {steps[-1]:,}" if earlier else "there is no checkpoint"
    assert f"warning: closed without saving: {said}." in outcome.err
    if earlier:
        cli.resume(folder, f"t_max={steps[-1] + 25}")


def test_a_second_ctrl_c_within_an_iteration_saves_nothing_of_it(cli, tools, monkeypatch, send):
    at_call(monkeypatch, Experiment, "iterate", 5, lambda: send(INT, LATER, INT))
    folder = interrupted_run(cli, tools, outcome := cli(*TRAIN, *tools.TINY))
    assert "closed without saving" in outcome.err
    assert not tools.models(folder).exists()


@pytest.mark.parametrize("words", [["save_model=false"], ["evaluate=true"]])
def test_saving_is_not_said_where_nothing_is_saved(cli, tools, monkeypatch, send, words):
    if "evaluate=true" in words:
        trained = cli.train("iql", "matrix_game", "seed=1", "t_max=25", *TRAIN[-2:])
        words = [*words, f"checkpoint_path={tools.models(trained)}"]
    at_call(monkeypatch, Console, "header", 1, lambda: send(INT))
    outcome = cli(*TRAIN, *tools.TINY, *words, "local_results_path=closed")
    assert outcome.status == 128 + INT
    assert "Interrupted: closing the run.\n" in outcome.err
    assert "saving a" not in outcome.err
    (interrupted,) = cli.folder.glob("closed/**/run.json")
    assert json.loads(interrupted.read_text())["status"] == "INTERRUPTED"


def test_saving_is_not_said_when_this_step_is_saved_already(cli, tools, monkeypatch, send):
    real = Experiment.test

    def test(self, sink):
        if self.t_env:  # the last one, after the last checkpoint
            send(INT)
        real(self, sink)

    monkeypatch.setattr(Experiment, "test", test)
    outcome = cli(*TRAIN, *tools.TINY, "t_max=25")
    assert "Interrupted: closing the run.\n" in outcome.err
    assert tools.steps(interrupted_run(cli, tools, outcome)) == [25]


def test_no_ctrl_c_leaves_a_run_as_running(cli, tools, monkeypatch, send):
    """The first comes before the run has begun, the second while Sacred is closing it."""
    at_call(monkeypatch, AtomicFileObserver, "heartbeat_event", 1, lambda: send(INT))
    at_call(monkeypatch, observers.interrupts.threading.Event, "set", 1, lambda: send(LATER, INT))
    outcome = cli(*TRAIN, *tools.TINY)
    (folder,) = cli.runs()
    assert outcome.status == 128 + INT
    assert tools.read(folder, "run")["status"] == "INTERRUPTED"


def test_a_signal_after_the_end_does_not_undo_it(cli, tools, monkeypatch, send):
    at_call(monkeypatch, Console, "close", 1, lambda: send(TERM, HUP, INT, LATER, INT))
    outcome = cli(*TRAIN, *tools.TINY, "t_max=25")
    (folder,) = cli.runs()
    assert (outcome.status, tools.read(folder, "run")["status"]) == (0, "COMPLETED")
