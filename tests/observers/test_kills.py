"""Runs that are killed or interrupted keep what they had."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("child.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=30)


class Terminal:
    """A pseudo-terminal that somebody looks at until :meth:`close`."""

    def __init__(self):
        self._ours, theirs = pty.openpty()
        self.name = os.ttyname(theirs)
        self._closing = threading.Event()
        self.shown = b""
        self._reader = threading.Thread(target=self._read, args=(theirs,))
        self._reader.start()

    def _read(self, theirs):
        while not self._closing.is_set():
            if select.select([self._ours], [], [], 0.02)[0]:
                self.shown += os.read(self._ours, 65536)
        os.close(theirs)
        os.close(self._ours)

    def close(self, *_):
        self._closing.set()
        self._reader.join()


def run_until(server, folder, points, send, total=100_000, terminal=""):
    """Start a run, ``send`` a signal or call it after the ``points``-th point; (exit status, points that it told)."""
    server.stdin.write(f"{folder} {total} {terminal}\n")
    server.stdin.flush()
    told, sent = -1, False
    while True:
        first, second = server.stdout.readline().split()
        if first == "exit":
            return int(second), told
        told = int(second)
        if told >= points and not sent:
            os.kill(int(first), send) if isinstance(send, int) else send()
            sent = True


def lines_of(folder):
    path = folder / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    *lines, _ = text.split("\n")  # Linux may stop a killed process's write at a page's end: the last line is torn
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def strict(path):
    return json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("points", [0, 1, 2, 3, 7, 20, 50, 111, 300, 777, 1500])
def test_kill_9_loses_nothing_that_was_written(server, tmp_path, points):
    status, told = run_until(server, tmp_path, points, signal.SIGKILL)
    assert status == -signal.SIGKILL
    folder = tmp_path / "1"
    for name in ("config.json", "run.json"):
        assert strict(folder / name)
    assert strict(folder / "run.json")["status"] == "RUNNING"
    for path in folder.glob("*.json"):
        strict(path)
    lines = lines_of(folder)
    values = [line["value"] for line in lines if line["name"] == "test_return_mean"]
    assert values == [float(i) for i in range(1, len(values) + 1)]
    assert len(values) >= told  # every point that was written before the kill
    assert len((folder / "cout.txt").read_text().splitlines()) >= told


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_close_the_run_as_interrupted(server, tmp_path, signum):
    status, told = run_until(server, tmp_path, 40, signum)
    assert status == 128 + signum
    folder = tmp_path / "1"
    entry = strict(folder / "run.json")
    assert entry["status"] == "INTERRUPTED"
    assert entry["stop_time"] > entry["start_time"]
    metrics = strict(folder / "metrics.json")
    assert len(metrics["test_return_mean"]["values"]) >= told >= 40
    assert metrics["nothing"]["values"][0] is None
    assert metrics["loss"]["steps"] == [10 * i for i in range(1, len(metrics["loss"]["steps"]) + 1)]
    assert len(metrics["loss"]["steps"]) == len(metrics["nothing"]["steps"])  # no half of a write is cut off


@pytest.mark.parametrize("controls", ["controls", ""])
def test_a_terminal_that_closes_while_the_bar_shows_closes_the_run_as_interrupted(server, tmp_path, controls):
    terminal = Terminal()
    try:
        status, told = run_until(server, tmp_path, 40, terminal.close, terminal=f"{terminal.name} {controls}")
    finally:
        terminal.close()
    assert b"/1,000,000  estimating" in terminal.shown  # the bar
    assert status == 128 + signal.SIGHUP
    entry = strict(tmp_path / "1" / "run.json")
    assert (entry["status"], "fail_trace" in entry) == ("INTERRUPTED", False)
    assert len(strict(tmp_path / "1" / "metrics.json")["test_return_mean"]["values"]) >= told >= 40
    assert (tmp_path / "1" / "cout.txt").read_text().splitlines()[-1].startswith("INTERRUPTED after")


def test_a_run_that_ends_by_itself_is_completed(server, tmp_path):
    status, _ = run_until(server, tmp_path, 10**9, signal.SIGKILL, total=0)
    assert status == 0
    entry = strict(tmp_path / "1" / "run.json")
    assert (entry["status"], entry["result"], entry["command"]) == ("COMPLETED", 3.5, "main")
    assert strict(tmp_path / "1" / "config.json")["env_args"] == {"key": "up"}
