"""Runs that are killed or interrupted keep what they had."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("child.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=30)


def run_until(server, folder, points, signum, total=100_000):
    """Start a run, send ``signum`` after its ``points``-th point; (exit status, points that it had told)."""
    server.stdin.write(f"{folder} {total}\n")
    server.stdin.flush()
    told, sent = -1, False
    while True:
        first, second = server.stdout.readline().split()
        if first == "exit":
            return int(second), told
        told = int(second)
        if told >= points and not sent:
            os.kill(int(first), signum)
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


def test_a_run_that_ends_by_itself_is_completed(server, tmp_path):
    status, _ = run_until(server, tmp_path, 10**9, signal.SIGKILL, total=0)
    assert status == 0
    entry = strict(tmp_path / "1" / "run.json")
    assert (entry["status"], entry["result"], entry["command"]) == ("COMPLETED", 3.5, "main")
    assert strict(tmp_path / "1" / "config.json")["env_args"] == {"key": "up"}
