"""Folders of results with something wrong in them: it is named, and the rest is shown."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

import report
from analysis.inventory import Reader, shown_status
from analysis.runs import find_runs
from report_runs import BEGAN, METRIC, write_grid, write_run

TORN = '{"name": "test_return_mean", "step": 10, "va'


def spoil(folder, name, content):
    folder.joinpath(name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.json", b"", "Expecting value"),
        ("config.json", b"[1]", "config.json is no JSON object"),
        ("config.json", b"\xff\xfe\x00", "decode"),
        ("config.json", b"[" * 100_000, "recursion"),
        ("metrics.json", b'{"test_return_mean": {"steps": [1,', "metrics.json: "),
        ("metrics.json", b"[]", "metrics.json: no JSON object"),
        ("metrics.json", b'{"a": {"steps": [1, 2], "values": [1]}}', "a has no list of values as long as"),
        ("metrics.json", b'{"a": {"steps": 5, "values": [1]}}', "a has no list of values"),
        ("metrics.json", b'{"a": {"values": [1]}}', "steps"),
        ("metrics.json", b'{"a": null}', "NoneType"),
    ],
)
def test_a_run_that_cannot_be_read_is_named_and_left_out(tmp_path, name, content, told):
    write_run(tmp_path, "good", "3m", 1, [1.0, 2.0])
    bad = write_run(tmp_path, "bad", "3m", 1, [1.0, 2.0])
    spoil(bad, name, content)
    found = Reader([tmp_path]).read()
    assert [run.setting("name") for run in found.runs] == ["good"]
    ((folder, fault),) = found.damaged
    assert folder == bad
    assert fault.startswith("is left out (")
    assert told in fault
    with pytest.warns(UserWarning, match="bad.* is left out"):  # plot.py's way
        assert len(find_runs([tmp_path])) == 1


def test_what_is_damaged_in_part_is_named_and_shown(tmp_path):
    write_run(tmp_path, "no_entry", "3m", 1, [1.0, 2.0]).joinpath("run.json").write_text('{"status": "COMP')
    write_run(tmp_path, "no_info", "3m", 1, [1.0, 2.0]).joinpath("info.json").write_text("5")
    lines = write_run(tmp_path, "lines", "3m", 1, [1.0, 2.0])
    lines.joinpath("metrics.json").unlink()
    good = [json.dumps({"name": METRIC, "step": step, "value": float(step)}) for step in (0, 10, 20)]
    lines.joinpath("metrics.jsonl").write_text("\n".join([good[0], TORN, good[1], good[2], TORN]))
    empty = write_run(tmp_path, "newer", "3m", 1, [1.0, 2.0])
    empty.joinpath("metrics.jsonl").write_text(good[0])
    empty.joinpath("metrics.json").write_text("")
    found = Reader([tmp_path]).read()
    assert len(found.runs) == 4
    assert {folder.parents[1].name: fault.partition(" (")[0] for folder, fault in found.damaged} == {
        "no_entry": "run.json cannot be read", "no_info": "info.json is no JSON object",
        "lines": "1 of 5 lines of metrics.jsonl cannot be read", "newer": "metrics.json cannot be read",
    }  # fmt: skip
    steps = {run.setting("name"): run.metrics[METRIC][0].tolist() for run in found.runs}
    assert (steps["lines"], steps["newer"]) == ([0, 10, 20], [0])


@pytest.mark.parametrize(("status", "steps"), [("RUNNING", [0, 10, 20]), ("COMPLETED", [0, 10])])
def test_a_clock_that_was_set_back_hides_no_points_of_a_run_that_goes_on(tmp_path, status, steps):
    """Of one that is over metrics.json, the faster one, is read if it is newer."""
    run = write_run(tmp_path, "good", "3m", 1, [1.0, 2.0], status=status)
    whole = {METRIC: {"steps": [0, 10], "values": [0.0, 1.0]}}
    run.joinpath("metrics.json").write_text(json.dumps(whole))
    points = [json.dumps({"name": METRIC, "step": step, "value": float(step)}) for step in (0, 10, 20)]
    run.joinpath("metrics.jsonl").write_text("\n".join(points) + "\n")
    os.utime(run / "metrics.jsonl", (0, 0))  # an hour back, say
    (found,) = Reader([tmp_path]).read().runs
    assert found.metrics[METRIC][0].tolist() == steps


def test_folders_that_lack_settings_or_cannot_be_looked_into_are_named(tmp_path, monkeypatch):
    write_run(tmp_path, "good", "3m", 1, [1.0, 2.0])
    write_run(tmp_path, "lost", "3m", 1, [1.0, 2.0]).joinpath("config.json").unlink()
    shut = tmp_path / "sacred" / "shut"
    shut.mkdir()
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path) == str(shut):
            raise PermissionError(13, "Permission denied", str(shut))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = Reader([tmp_path]).read()
    assert len(found.runs) == 1
    assert [(folder.relative_to(tmp_path / "sacred").parts[0], fault) for folder, fault in found.damaged] == [
        ("lost", "has no config.json"), ("shut", "cannot be looked into (Permission denied)"),
    ]  # fmt: skip


def test_the_command_names_them_shows_the_rest_and_ends_well(tmp_path, capsys):
    write_grid(tmp_path / "results")
    bad = write_run(tmp_path / "results", "iql", "3m", 1, [1.0, 2.0])
    spoil(bad, "metrics.json", b"{")
    assert report.main([str(tmp_path / "results"), "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert out == f"18 runs: {tmp_path / 'out' / 'index.html'}\n"
    assert err.startswith(f"report.py: damaged: {bad} is left out (metrics.json: ")
    assert err.count("\n") == 1


def test_only_damaged_runs_make_a_page_too(tmp_path, capsys):
    spoil(write_run(tmp_path, "iql", "3m", 1, [1.0, 2.0]), "config.json", b"")
    assert report.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "damaged" in capsys.readouterr().err
    assert "Expecting value" in tmp_path.joinpath("out", "index.html").read_text()


def test_numbers_that_are_none_do_not_stop_the_page(tmp_path):
    folder = write_run(tmp_path, "a", "3m", 1, [1.0, 2.0], seed_note=float("nan"))
    huge = {"steps": [0, 10, "Infinity", 10**400], "values": [1, None, "NaN", {}]}
    folder.joinpath("metrics.json").write_text(
        json.dumps({METRIC: huge, "test_x": {"steps": [None], "values": [None]}})
    )
    folder.joinpath("config.json").write_text('{"name": "a", "env": "battle", "seed": NaN, "t_max": Infinity}')
    assert report.main([str(tmp_path), "--out", str(tmp_path / "out"), "--metric", METRIC, "--metric", "test_x"]) == 0
    page = tmp_path.joinpath("out", "index.html").read_text()
    assert '"steps":10.0' in page


# -- runs that go on --------------------------------------------------------------------------------------------------


def test_a_run_without_metrics_yet_is_there(tmp_path):
    folder = write_run(tmp_path, "new", "3m", 1, [1.0], status="RUNNING")
    folder.joinpath("metrics.json").unlink()
    (run,) = Reader([tmp_path]).read().runs
    assert (run.metrics, run.reached, run.status) == ({}, 0.0, "RUNNING")


def test_a_run_that_has_not_been_heard_of_is_silent(tmp_path):
    write_run(tmp_path, "a", "3m", 1, [1.0, 2.0], status="RUNNING", entry={"stop_time": None})
    (run,) = Reader([tmp_path]).read().runs
    heard = datetime.fromisoformat(BEGAN).replace(tzinfo=UTC) + timedelta(seconds=100)
    assert shown_status(run, heard + timedelta(seconds=119)) == "RUNNING"
    assert shown_status(run, heard + timedelta(seconds=121)) == "RUNNING, silent"


def test_speed_is_of_the_part_that_was_timed(tmp_path):
    write_run(tmp_path, "a", "3m", 1, [1.0] * 101)  # 1,000 steps in 100 seconds
    write_run(tmp_path, "b", "3m", 1, [1.0] * 101, info={"resumed_at": 500})
    write_run(tmp_path, "c", "3m", 1, [1.0] * 101, entry={"start_time": "yesterday"})
    assert [run.speed for run in Reader([tmp_path]).read().runs] == [10.0, 5.0, None]


def test_only_what_has_changed_is_read_again(tmp_path, monkeypatch):
    first, second = (write_run(tmp_path, name, "3m", 1, [1.0, 2.0]) for name in "ab")
    reader, read = Reader([tmp_path]), []
    load = reader._load
    monkeypatch.setattr(reader, "_load", lambda folder: read.append(folder) or load(folder))
    assert len(reader.read().runs) == 2
    columns = json.loads(second.joinpath("metrics.json").read_text())
    columns[METRIC] = {"steps": [0, 10, 20], "values": [1, 2, 3]}
    second.joinpath("metrics.json").write_text(json.dumps(columns))
    assert [run.reached for run in reader.read().runs] == [10.0, 20.0]
    first.joinpath("config.json").unlink()
    assert len(reader.read().runs) == 1
    assert read == [first, second, second]
