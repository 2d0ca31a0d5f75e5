"""Runs of the command line, in this process unless a test says otherwise."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import main

COMPILING = re.compile(r"^(Compiling the kernels|Compiled in).*\n", re.MULTILINE)  # where the cache is empty
SOURCE = Path(__file__).parents[2] / "src"
CHATTY = f"""import sys; sys.path.insert(0, {str(SOURCE)!r}); import main; from observers.console import Console
Console.__init__.__kwdefaults__["every"] = 0.1; sys.exit(main.main(sys.argv[1:]))"""
"""A program that is main.py, but shows a line every tenth of a second instead of every ten seconds."""
TINY = ["hidden_dim=8", "test_nepisode=4", "test_interval=400", "runner_log_interval=200", "learner_log_interval=200"]


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


class CommandLine:
    """``cli("--config=iql", ..., "with", "seed=1")`` in a folder of its own."""

    def __init__(self, folder, play):
        self.folder = folder
        self.results = folder / "results"
        self._play = play

    def __call__(self, *words):
        status, out, err = self._play(main, *words)
        return Outcome(status, re.sub(COMPILING, "", out), err)

    def train(self, config, env, *words):
        """A tiny run; the results folder that it made."""
        before = set(self.runs())
        outcome = self(f"--config={config}", f"--env-config={env}", "with", *TINY, *words)
        assert (outcome.status, outcome.err) == (0, "")
        (folder,) = set(self.runs()) - before
        return folder

    def resume(self, path, *words):
        before = set(self.runs())
        outcome = self("with", f"resume={path}", *words)
        assert (outcome.status, outcome.err) == (0, "")
        (folder,) = set(self.runs()) - before
        return folder

    def runs(self):
        return sorted(path.parent for path in self.folder.glob("*/sacred/*/*/*/run.json"))

    def start(self, *words, program=(SOURCE / "main.py",)):
        """The same as a process of its own."""
        return subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def read(folder, name):
    """A JSON file of a run; strictly valid."""
    return json.loads((folder / f"{name}.json").read_text(), parse_constant=pytest.fail)


def models(folder):
    return Path(read(folder, "info")["models"])


def steps(folder):
    """Steps of the checkpoints of a run, ascending."""
    return sorted(int(path.name) for path in models(folder).iterdir())


@pytest.fixture
def cli(tmp_path, play):
    return CommandLine(tmp_path, play)


@pytest.fixture
def play(tmp_path, monkeypatch, capfd):
    """``play(sweep, "--seeds", 2)``: run a command's module in a folder of its own; status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(command, *words):
        capfd.readouterr()
        try:
            status = command.main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capfd.readouterr()

    return call


@pytest.fixture(scope="session")
def tools():
    """Functions of this file (files of tests cannot import one another)."""
    return sys.modules[__name__]
