"""Sets of runs: none twice, changed settings make another run, interrupted ones are continued."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import recommended
from core.errors import UserError
from studies import placing
from studies.run_set import RunSet
from studies.runs import Run

SOURCE = Path(__file__).parents[2] / "src"
TINY = ("seed=1", "hidden_dim=8", "test_nepisode=2", "t_max=400", "batch_size=8")


def tiny(*words, **others):
    return Run(
        **{"panel": "game", "line": "iql", "config": "iql", "env": "matrix_game", "words": (*TINY, *words)} | others
    )


BAD = tiny(env="sc2", line="bad", words=("seed=1",))


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A set of two runs, played once; one fails."""
    said = []
    runs = RunSet(tmp_path_factory.mktemp("runs") / "set", say=said.append)
    runs.failures = runs.play([BAD, tiny()], jobs=2)
    runs.said = said
    return runs


@pytest.fixture
def nothing_runs(monkeypatch):
    monkeypatch.setattr(placing.subprocess, "Popen", lambda *rest, **named: pytest.fail("something was run"))


def test_a_run_that_fails_is_told_and_the_others_go_on(played):
    (failure,) = played.failures
    assert failure.startswith("game: bad seed=1: error: ")
    assert any("bad seed=1: FAILED (exit status 2)" in line for line in played.said)
    assert any("iql seed=1: COMPLETED after 400 steps" in line for line in played.said)
    assert played.said[0] == "2 runs, 0 of them completed before"
    assert played.completed(BAD) is None


@pytest.mark.usefixtures("nothing_runs")
def test_a_completed_run_is_not_repeated_and_changed_settings_are_noticed(played):
    folder = played.completed(tiny())
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert not list(played.results.glob("models/*/*/replay.pt"))  # of no use any more
    assert list(played.results.glob("models/*/*/agent.th"))
    assert (
        played.play([tiny(), tiny("label=other", "quiet=true"), tiny("recommended=false")], jobs=2) == []
    )  # not what it computes
    assert played.said[-1] == "3 runs, 3 of them completed before"
    for words in (["seed=2"], ["lr=0.5"], ["t_max=800"], ["env_args.game=penalty"], ["warm_start=scripted:random",
                  "warm_start_episodes=1"], ["test_interval=3"]):  # fmt: skip
        assert played.completed(tiny(*words)) is None, words
    assert played.completed(tiny(config="vdn")) is None
    assert played.completed(tiny(teams=("agents=coma",), words=TINY[:1])) is None


def test_a_changed_default_makes_another_run(played, monkeypatch):
    from core import settings

    assert played.completed(tiny()) is not None
    real = settings.read_yaml
    monkeypatch.setattr(settings, "read_yaml", lambda path: real(path) | ({"lr": 0.3} if path.stem == "iql" else {}))
    assert played.completed(tiny()) is None


def test_another_version_of_the_environment_makes_another_run(played, monkeypatch):
    from envs.matrix_game import MatrixGame

    path = played.completed(tiny()) / "info.json"
    kept = path.read_text()
    monkeypatch.setattr(MatrixGame, "VERSION", 2)
    assert played.completed(tiny()) is None
    monkeypatch.undo()
    assert played.completed(tiny()) is not None
    path.unlink()  # as published runs were before versions were recorded
    try:
        assert played.completed(tiny()) is not None
        monkeypatch.setattr(MatrixGame, "VERSION", 2)
        assert played.completed(tiny()) is None
    finally:
        path.write_text(kept)


def test_a_setting_that_came_later_counts_only_where_it_is_asked_for_or_not_as_built_in(played, monkeypatch, tmp_path):
    path = played.completed(tiny()) / "config.json"
    kept = path.read_text()
    path.write_text(json.dumps({key: value for key, value in json.loads(kept).items() if key != "double_q"}))
    try:
        assert played.completed(tiny()) is not None
        assert played.completed(tiny("double_q=true")) is None
        assert played.completed(tiny("double_q=false")) is None
        monkeypatch.setattr(recommended, "FOLDER", tmp_path)
        (tmp_path / "matrix_game.yaml").write_text("iql: {double_q: false}")
        assert played.completed(tiny()) is None
        (tmp_path / "matrix_game.yaml").write_text("iql: {double_q: true}")
        assert played.completed(tiny()) is not None
    finally:
        path.write_text(kept)
    assert played.completed(tiny("double_q=true")) is not None


@pytest.fixture
def runs(tmp_path):
    return RunSet(tmp_path / "set")


@pytest.mark.usefixtures("nothing_runs")
def test_wrong_settings_are_told_before_anything_runs(runs):
    with pytest.raises(UserError, match="Did you mean 'lr'"):
        runs.play([tiny(), tiny("lrr=3")], jobs=2)


def test_two_at_once_in_one_folder_are_refused(runs):
    with runs.locked(), pytest.raises(UserError, match="Another process"), RunSet(runs.results).locked():
        pass
    with runs.locked():
        pass


def test_results_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), RunSet(tmp_path / "file" / "x").locked():
        pass


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_cannot_be_written_is_told_and_errors_of_the_runs_are_their_own(runs, monkeypatch, number):
    error = OSError(number, os.strerror(number))
    with pytest.raises(OSError, match=os.strerror(number)), runs.locked():
        raise error
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(UserError, match=f"cannot be written to .*: {os.strerror(number)}"), runs.locked():
        pass


def test_a_folder_whose_runs_could_count_must_exist(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        RunSet(tmp_path / "set", also=[tmp_path / "nothing"])


def wait_for(process, path, step):
    """Until a run has written a point at or after a step."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            pytest.fail(process.stdout.read())
        for found in path.glob("sacred/*/*/*/metrics.jsonl"):
            lines = found.read_text().split("\n")[:-1]
            if lines and json.loads(lines[-1])["step"] >= step:
                return found.parent


def heed_interrupts():
    """A shell starts what it puts in the background with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_stopped_and_started_again_it_goes_on_where_it_was(tmp_path):
    """Ctrl-C ends the run in order; the second call resumes it."""
    words = ["with", "hidden_dim=8", "critic_hidden_dim=8", "test_nepisode=1"]
    words += ["test_interval=100000", "env_args.time_limit=15"]
    command = [
        sys.executable,
        str(SOURCE / "reproduce.py"),
        "fig5",
        "--algorithms",
        "coma",
        "--sizes",
        "2",
        "--seeds",
        "1",
    ]
    command += ["--scale", "0.02", "--results", "set", *words]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_interrupts
    )
    try:
        folder = wait_for(process, tmp_path / "set", 600)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT, out
    assert "Stopped: the same command goes on from here." in out
    assert "Traceback" not in out
    assert json.loads((folder / "run.json").read_text())["status"] == "INTERRUPTED"
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    assert "continued, COMPLETED" in again.stdout
    newest = max(folder.parent.iterdir(), key=lambda path: int(path.name) if path.name.isdigit() else 0)
    assert json.loads((newest / "info.json").read_text())["resumed_from_run"] == str(folder)
    assert (tmp_path / "set" / "fig5.png").read_bytes().startswith(b"\x89PNG")
    assert "| 1 |" in (tmp_path / "set" / "fig5.md").read_text()
