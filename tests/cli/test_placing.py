"""Runs that die, nodes that vanish, runs that somebody else plays: what the engine of sets of runs makes of them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.processes import identity
from studies.filed import QUIET, Files, Heartbeats
from studies.placing import Ended, Local
from studies.run_set import RunSet
from studies.runs import Run

SOURCE = Path(__file__).parents[2] / "src"
GONE = Ended(None, node_gone=True)
DEAD = Ended(-9, err="Killed")


def run(*words):
    return Run(panel="p", line="iql", config="iql", env="matrix_game", words=("seed=1", *words))


class Scripted:
    """A placer whose runs end as a script says: numbers are steps of checkpoints, written before the next end."""

    def __init__(self, results, *script):
        self.results, self.script, self.commands = results, list(script), []

    def place(self, command):
        self.commands.append(command)
        return self

    def wait(self):
        while isinstance(self.script[0], int):
            self.file("RUNNING", checkpoint=self.script.pop(0))
        ended = self.script.pop(0)
        if ended.status == 0:
            self.file("COMPLETED")
        return ended

    def stop(self):
        pass

    def file(self, status, *, checkpoint=None, of=None):
        """A folder of results as a run leaves it."""
        of = of or run()
        number = len(list(self.results.glob("sacred/iql/game/*"))) + 1
        folder, models = self.results / f"sacred/iql/game/{number}", self.results / f"models/{number}"
        folder.mkdir(parents=True)
        provenance = {"environment": of.wanted().environment}
        for name, content in {
            "config": of.settings(),
            "info": {"models": str(models), "provenance": provenance},
            "run": {"status": status},
        }.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        if checkpoint is not None:
            (models / str(checkpoint)).mkdir(parents=True)
        return folder


@pytest.fixture
def play(tmp_path):
    """Play a run whose tries end as a script says."""

    def made(*script, **others):
        said = []
        placer = Scripted(tmp_path.resolve(), *script)
        runs = RunSet(tmp_path, say=said.append, placer=placer, **others)
        failures = runs.play([run()], jobs=1)
        assert placer.script == []
        return placer.commands, failures, said

    return made


def resumed(command):
    return next((Path(word).name for word in command if word.startswith("resume=")), None)


def test_a_run_that_dies_is_begun_again_from_its_newest_checkpoint(play):
    commands, failures, said = play(100, DEAD, 200, DEAD, Ended(0, "COMPLETED after 300 steps"))
    assert failures == []
    assert [resumed(command) for command in commands] == [None, "100", "200"]
    assert said[1] == "p: iql seed=1: died (exit status -9): Killed; again, 1 of 2"
    assert said[-1] == "[1/1] p: iql seed=1: continued, COMPLETED after 300 steps"


def test_it_dies_so_often_and_no_more(play):
    commands, failures, _ = play(DEAD, DEAD, DEAD)
    assert len(commands) == 3
    assert failures == ["p: iql seed=1: Killed"]


def test_a_users_mistake_is_not_tried_again(play):
    commands, failures, _ = play(Ended(2, err="error: no such map"))
    assert len(commands) == 1
    assert failures == ["p: iql seed=1: error: no such map"]


def test_a_node_that_vanishes_moves_its_runs_which_is_no_try(play, monkeypatch):
    monkeypatch.setattr(Heartbeats, "of", lambda self, folder: False)
    commands, failures, said = play(100, GONE, GONE, 200, GONE, GONE, Ended(0), retries=0)
    assert failures == []
    assert [resumed(command) for command in commands] == [None, "100", "100", "200", "200"]
    assert said[1] == "p: iql seed=1: its node is gone; moved"


def test_a_run_that_comes_to_its_end_when_its_node_is_gone_is_not_begun_again(tmp_path):
    class Late(Scripted):
        def wait(self):
            self.file("COMPLETED", checkpoint=400)
            return GONE

    placer = Late(tmp_path.resolve())
    said = []
    assert RunSet(tmp_path, say=said.append, placer=placer).play([run()], jobs=1) == []
    assert len(placer.commands) == 1
    assert said[-1] == "[1/1] p: iql seed=1: COMPLETED elsewhere"


def test_what_somebody_else_plays_is_waited_for_and_not_played_twice(tmp_path, monkeypatch):
    placer = Scripted(tmp_path.resolve())
    folder = placer.file("RUNNING", checkpoint=100)
    news = []
    runs = RunSet(tmp_path, placer=placer)
    runs.report(lambda text: None, news.append)

    def end_elsewhere(seconds):
        (folder / "run.json").write_text('{"status": "COMPLETED"}')

    monkeypatch.setattr(runs._stopped, "wait", end_elsewhere)
    assert runs.play([run()], jobs=1) == []
    assert placer.commands == []
    assert [one.state for one in news] == ["elsewhere", "completed"]


def test_what_somebody_else_began_and_left_is_continued(tmp_path):
    placer = Scripted(tmp_path.resolve(), Ended(0))
    folder = placer.file("RUNNING", checkpoint=100)
    before = (folder / "run.json").stat().st_mtime - QUIET - 1
    os.utime(folder / "run.json", (before, before))
    assert RunSet(tmp_path, placer=placer).play([run()], jobs=1) == []
    assert [resumed(command) for command in placer.commands] == ["100"]


def test_what_was_killed_here_is_continued_at_once(tmp_path):
    """Its heart has beaten lately, but its process is gone; one that goes on is waited for."""
    placer = Scripted(tmp_path.resolve(), Ended(0))
    folder = placer.file("RUNNING", checkpoint=100)
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    told = json.loads((folder / "info.json").read_text()) | {"process": identity(process.pid)}
    (folder / "info.json").write_text(json.dumps(told))
    beats = Heartbeats(tmp_path / "mark")
    assert beats.of(folder)
    process.kill()
    process.communicate()
    assert not beats.of(folder)
    assert RunSet(tmp_path, placer=placer).play([run()], jobs=1) == []
    assert [resumed(command) for command in placer.commands] == ["100"]


def test_runs_with_the_same_settings_are_played_once(tmp_path):
    placer = Scripted(tmp_path.resolve(), Ended(0))
    runs = RunSet(tmp_path, placer=placer)
    same = [run("lr=0.001"), run("lr=1e-3"), run("lr=0.001", "label=again")]
    assert runs.todo(same) == same[:1]
    assert runs.play([run(), run("label=again")], jobs=2) == []
    assert len(placer.commands) == 1


def test_heartbeats(tmp_path):
    now = 1000.0
    beats = Heartbeats(tmp_path / "mark", clock=lambda: now)
    assert not beats.of(tmp_path)  # no run
    file = tmp_path / "run.json"
    file.write_text("{}")
    assert beats.of(tmp_path)
    now += QUIET
    assert not beats.of(tmp_path)  # it has said nothing since
    os.utime(file)
    assert beats.of(tmp_path)


def test_files_are_read_once_until_they_change(tmp_path, monkeypatch):
    folder = Scripted(tmp_path).file("RUNNING")
    files = Files([tmp_path])
    (first,) = files.every()
    (again,) = files.every()
    assert first is again
    (folder / "run.json").write_text('{"status": "COMPLETED"}')
    os.utime(folder / "run.json", (1, 1))
    assert [one.status for one in files.every()] == ["COMPLETED"]


CHILD = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
pipe = os.open(sys.argv[1], os.O_WRONLY)
os.write(pipe, b"up\\n")
signal.sigwait([signal.SIGTERM])
os.write(pipe, b"asked\\n")
"""
PARENT = f"""
import sys; sys.path.insert(0, {str(SOURCE)!r})
from studies.placing import Local
Local().place([sys.executable, "-c", {CHILD!r}, sys.argv[1]]).wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a service of Linux")
def test_a_set_of_runs_that_is_killed_takes_its_runs_along(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "pipe")])
    with (tmp_path / "pipe").open() as pipe:
        assert pipe.readline() == "up\n"
        parent.kill()
        assert pipe.readline() == "asked\n"
    parent.wait()


def test_a_command_is_stopped_and_what_it_said_is_kept():
    placed = Local().place([sys.executable, "-c", "print('a', flush=True); import signal; signal.pause()"])
    placed.stop()
    ended = placed.wait()
    assert ended.status == -signal.SIGTERM
    assert ended.out in ("", "a\n")
