"""The judge of make torture finds what is damaged, missing, twice or different, and says so."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import torture
from faults import checking, disks, kills, sweeping
from faults.playing import INJECTED, KINDS, Ground, Kind, Moment, Playing, draw
from faults.tally import Tally, table

from analysis.runs import load_run
from components import checkpoint

STEPS = (10, 20, 30, 40)
LOST = {"records": 1.0, "training": 2.0, "steps": 3}


def make_run(folder, steps=STEPS, *, status="COMPLETED", value=1.0, resumed=None, at=None):
    """A run with its checkpoints, each point on file at its step."""
    folder.mkdir(parents=True)
    models = folder.parents[3] / "models" / folder.name
    info = {"models": str(models)} | ({"resumed_from_run": str(resumed), "resumed_at": at} if resumed else {})
    config = {"name": "asae", "env": "spread", "seed": 1, "env_args": {}}
    entry = {"status": status, "start_time": "2026-01-01T00:00:00"}
    points = [{"name": "loss", "step": s, "value": value * s, "timestamp": "2026-01-01T00:00:10"} for s in steps]
    write_lines(folder, points)
    for name, content in (("config", config), ("run", entry), ("info", info)):
        folder.joinpath(f"{name}.json").write_text(json.dumps(content))
    for step in (steps[len(steps) // 2], steps[-1]):
        state = {"run": str(folder), "step": step}
        checkpoint.save(models, step, {"agent.th": {"w": np.ones(2)}, "state.pt": state, "settings.pt": config})
    return folder


def write_lines(folder, points):
    folder.joinpath("metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    columns = {"steps": [p["step"] for p in points], "values": [p["value"] for p in points]}
    folder.joinpath("metrics.json").write_text(json.dumps({"loss": columns}))


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def run(results):
    return make_run(results / "sacred" / "asae" / "spread" / "1")


@pytest.fixture
def reference(tmp_path):
    return make_run(tmp_path / "undisturbed" / "sacred" / "asae" / "spread" / "1")


def points(folder):
    return [json.loads(line) for line in folder.joinpath("metrics.jsonl").read_text().splitlines()]


# -- what is whole is found to be so -----------------------------------------------------------------------------------


def test_a_run_as_it_should_be_passes_every_check(results, run, reference):
    assert kills.judged(results, reference) == []
    assert checking.doubled(run) == []


def test_a_last_line_that_was_torn_by_a_kill_is_no_damage(results, run):
    with run.joinpath("metrics.jsonl").open("a") as file:
        file.write('{"name": "lo')
    assert checking.unreadable(results) == []


# -- and what is not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "run.json", "info.json", "metrics.json"])
@pytest.mark.parametrize("content", [b"", b'{"a": 1', b'{"a": NaN}', b"\xff"])
def test_a_damaged_file_is_named(results, run, name, content):
    run.joinpath(name).write_bytes(content)
    try:
        wrong = checking.unreadable(results)
    except (ValueError, KeyError):  # the report itself stumbles, which fails the fault as well
        pytest.fail("the judge must name it")
    assert [text for text in wrong if f"{run / name} cannot be read" in text]


def test_a_torn_line_in_the_middle_is_named(results, run):
    text = run.joinpath("metrics.jsonl").read_text()
    run.joinpath("metrics.jsonl").write_text(text.replace('"step": 20', '"step": 2', 1).replace("}\n", "\n", 1))
    assert [text for text in checking.unreadable(results) if "metrics.jsonl cannot be read" in text]


@pytest.mark.parametrize("part", ["agent.th", "state.pt"])
def test_a_damaged_checkpoint_is_named(results, run, part):
    path = checking.models(run) / "40" / part
    path.write_bytes(path.read_bytes()[:-40])
    assert [text for text in checking.unreadable(results) if f"{path} cannot be read" in text]


def test_points_that_readers_do_not_show_are_named(results, run):
    run.joinpath("metrics.json").write_text('{"loss": {"steps": [10], "values": [10.0]}}')
    (wrong,) = checking.unreadable(results)
    assert "3 of 4 points on file are not shown" in wrong


def test_a_lost_point_is_named(results, run, reference):
    write_lines(run, [point for point in points(run) if point["step"] != 20])
    (wrong,) = kills.judged(results, reference)
    assert wrong.endswith("loss at step 20 is missing")


def test_a_lost_metric_is_named(run, reference):
    whole = load_run(reference)
    assert len(checking.differing(load_run(run), whole)) == 0
    whole.metrics["other"] = whole.metrics["loss"]
    assert checking.differing(load_run(run), whole) == [f"{run}: other at step 10 is missing"]


def test_a_doubled_point_is_named(results, run, reference):
    write_lines(run, [points(run)[0], *points(run)])
    assert [text for text in kills.judged(results, reference) if text.endswith("loss at step 10 is there 2 times")]


def test_a_differing_value_is_named(results, run, reference):
    changed = points(run)
    changed[2]["value"] = np.nextafter(changed[2]["value"], 100)
    write_lines(run, changed)
    (wrong,) = kills.judged(results, reference)
    assert wrong.endswith("loss at step 30 is of another value")


def test_a_point_too_many_is_named_but_where_a_part_was_closed_in_order(results, reference):
    folder = results / "sacred" / "asae" / "spread"
    first = make_run(folder / "1", (10, 15), status="INTERRUPTED")
    make_run(folder / "2", (20, 30, 40), resumed=first, at=15)
    assert kills.judged(results, reference) == []
    first.joinpath("run.json").write_text(json.dumps({"status": "RUNNING"}))
    (wrong,) = kills.judged(results, reference)
    assert wrong.endswith("loss at step 15 is too many")


def test_a_last_checkpoint_that_differs_is_named(results, run, reference):
    shutil.rmtree(checking.models(run) / "40")
    assert "ends at another step" in kills.judged(results, reference)[0]
    content = {"agent.th": {"w": np.array([1.0, 2.0])}, "state.pt": {"run": "", "step": 40}, "settings.pt": {}}
    checkpoint.save(checking.models(run), 40, content)
    (wrong,) = kills.judged(results, reference)
    assert "/agent.th/w is not as in" in wrong


def test_a_run_that_did_not_complete_or_completed_twice_is_named(results, run, reference):
    make_run(run.with_name("2"))
    assert "2 runs have completed, not 1" in kills.judged(results, reference)[0]
    tally = Tally()
    sweeping._judge(results, reference.parents[3], tally)
    assert [text for text in tally.wrong if "is there 2 times" in text]
    assert (tally.finished, tally.same) == (1, 0)
    for folder in checking.folders(results):
        folder.joinpath("run.json").write_text('{"status": "RUNNING"}')
    assert "0 runs have completed, not 1" in kills.judged(results, reference)[0]


# -- what follows the hit ----------------------------------------------------------------------------------------------


def killed(tmp_path, results, run, *, status=-signal.SIGKILL, seen=(), signum=signal.SIGKILL, when=1767225612.0):
    """What a chain says after a hit of this run; the last point is two seconds old."""
    chain = kills.Chain(Ground(tmp_path, 1, 1), "it", "game", signum)
    with Playing([sys.executable, "-S", "-c", ""], results, {}) as playing:
        playing.wait()
    playing._folder, playing.seen = run, list(seen)
    chain._check(playing, status, when)
    return chain.tally


@pytest.fixture
def running(results):
    return make_run(results / "sacred" / "asae" / "spread" / "1", status="RUNNING")


def test_a_kill_as_it_should_be_is_no_fault(tmp_path, results, running):
    tally = killed(tmp_path, results, running, seen=checking.lines(running))
    assert tally.wrong == []
    assert (tally.records, tally.steps) == (2.0, 0)


def test_after_a_kill_every_promise_is_checked(tmp_path, results, running):
    told = [
        (killed(tmp_path, results, running, status=0), "exit status 0"),
        (killed(tmp_path, results, running, seen=[b"gone\n"]), "points that were on file are gone"),
        (killed(tmp_path, results, running, when=1767225600.0 + 60), "the last point was 50.0 s old"),
        (killed(tmp_path, results, running, signum=signal.SIGTERM, status=143), "run.json says RUNNING"),
    ]
    for tally, words in told:
        assert [text for text in tally.wrong if words in text], words
    for step in checkpoint.steps(checking.models(running)):
        shutil.rmtree(checking.models(running) / str(step))
    write_lines(running, [{"name": "loss", "step": 1000, "value": 1.0, "timestamp": "2026-01-01T00:00:10"}])
    assert "1000 steps came after the newest checkpoint" in killed(tmp_path, results, running).wrong[0]


def test_a_run_that_is_over_too_early_leaves_its_moments_for_another(tmp_path, results):
    with Playing([sys.executable, "-S", "-c", ""], results.parent / "x", {}) as playing:
        assert not playing.until(Moment("step", 0.5, 0.0), 100)


@pytest.mark.parametrize(
    ("status", "said", "over"), [(-9, "COMPLETED", True), (-9, "RUNNING", False), (137, "COMPLETED", False)]
)
def test_what_is_hit_while_it_only_has_to_end_is_another_runs(tmp_path, results, status, said, over):
    folder = make_run(results / "sacred" / "asae" / "spread" / "1", status=said)
    with Playing([sys.executable, "-S", "-c", ""], results, {}) as playing:
        playing.wait()
    playing._folder = folder
    assert kills.over(playing, status, signal.SIGKILL) == over


def test_a_completed_run_that_was_continued_is_a_part_of_the_other(results, run, reference):
    make_run(run.with_name("2"), STEPS[3:], resumed=run, at=30)
    assert kills.judged(results, reference) == []


# -- the table and the exit status -------------------------------------------------------------------------------------


def test_what_is_not_as_promised_fails_and_says_why():
    good = Tally(tried=2, wanted=2, finished=1, same=1, in_save=1)
    good.lost(**LOST)
    assert good.faults == []
    assert good.row("x")[-1] == "held"
    for bad, words in (
        (Tally(tried=2, wanted=2, wrong=["broken"]), "broken"),
        (Tally(tried=1, wanted=2), "only 1 of 2 were done"),
        (Tally(), "only 0 of 0 were done"),
        (Tally(tried=1, wanted=1, finished=2, same=1), "1 of 2 ended differently"),
    ):
        assert [words] == bad.faults
        assert bad.row("x")[-1] == "FAILED"
        both = Tally()
        both.add(good)
        both.add(bad)
        assert both.row("x")[-1] == ("FAILED" if bad.wanted else "held")
    missing = Tally(not_tried="mount: permission denied")
    assert missing.faults == ["NOT TRIED: mount: permission denied"]
    assert "| x | 0 |" in table({"x": missing})
    assert "NOT TRIED" in table({"x": missing})


def test_of_what_was_lost_the_most_counts():
    first, second = Tally(), Tally()
    first.lost(**LOST)
    second.lost(records=0.5, training=9.0, steps=1)
    first.add(second)
    assert (first.records, first.training, first.steps) == (1.0, 9.0, 3)


@pytest.mark.parametrize(("tally", "status"), [(Tally(tried=1, wanted=1), 0), (Tally(not_tried="no mounts"), 1)])
def test_the_exit_status_is_the_verdict(tmp_path, monkeypatch, capsys, tally, status):
    monkeypatch.setattr(torture, "alone", lambda argv: None)
    monkeypatch.setattr(torture, "FAULTS", {"it": lambda ground, name: [("at once", lambda: tally)]})
    assert torture.main(["--folder", str(tmp_path)]) == status
    out, err = capsys.readouterr()
    assert "it: at once" in out
    assert ("FAILED: it: NOT TRIED: no mounts" in err) == bool(status)


def test_a_judge_that_breaks_down_is_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torture, "alone", lambda argv: None)
    monkeypatch.setattr(torture, "FAULTS", {"it": lambda ground, name: [("at once", lambda: 1 / 0)]})
    assert torture.main(["--folder", str(tmp_path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_unknown_fault_is_refused():
    with pytest.raises(SystemExit, match="nonsense: no such fault"):
        torture.main(["--only", "nonsense"])


def test_moments_follow_from_the_seed(tmp_path):
    grounds = [Ground(tmp_path, seed, 25) for seed in (1, 1, 2)]
    told = [
        [words for words, _ in torture.FAULTS["kill -9, on-policy"](ground, "kill -9, on-policy")] for ground in grounds
    ]
    assert told[0] == told[1] != told[2]
    assert sum(len(words.split("; ")) for words in told[0]) == 25
    shares = [moment.at for moment in draw(grounds[0].rng("x"), 50, starts=False)]
    assert shares == sorted(shares)


def test_a_disk_that_cannot_be_mounted_is_reported(tmp_path, monkeypatch, reference):
    monkeypatch.setattr(Ground, "reference", lambda *_: reference)
    monkeypatch.setattr(disks, "_mount", lambda *_: (_ for _ in ()).throw(disks.NotPossible("permission denied")))
    ground = Ground(tmp_path, 1, 1)
    assert disks.play(ground, "full disk", 0).faults == ["NOT TRIED: permission denied"]
    assert disks.refused(ground).faults == ["NOT TRIED: permission denied"]


class Untouched:
    """A run that did not notice what was done to its disk."""

    def __init__(self, *_, **__):
        self.errors, self.process, self.began, self.moved = "", self, 0.0, 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def poll(self):
        return None

    def until(self, moment, t_max):
        return True

    def saving(self):
        return False

    def wait(self):
        return 0


def test_a_disk_that_broke_without_effect_is_a_fault(results, monkeypatch):
    monkeypatch.setattr(disks, "Playing", Untouched)
    monkeypatch.setattr(disks, "_wait", lambda *_, **__: None)
    tally = Tally(in_save=0)
    broken = lambda disk: contextlib.nullcontext()  # noqa: E731
    assert disks._suffer(results, [Moment("step", 0.5, 0.0)], broken, tally) == []
    assert tally.tried == 1
    assert any("the run warned 0 times, not once" in wrong for wrong in tally.wrong)
    assert any("nothing says that there is no last checkpoint" in wrong for wrong in tally.wrong)


@pytest.mark.parametrize(
    ("status", "end", "whole"), [("COMPLETED", 4000, True), ("COMPLETED", 1900, False), ("RUNNING", 4000, False)]
)
def test_a_run_is_whole_with_its_last_checkpoint(results, status, end, whole):
    make_run(results / "sacred" / "asae" / "spread" / "1", (100, end), status=status)
    assert disks._whole(results) == whole


def test_every_kind_of_run_has_settings_that_exist():
    from training.options import resolve

    for kind in KINDS.values():
        assert isinstance(kind, Kind)
        words = kind.command(Path("x"))[2:]
        config, env = (word.partition("=")[2] for word in words[:2])
        teams = [words[words.index("--team") + 1]] if "--team" in words else []
        resolve(config, env, words[words.index("with") + 1 :], teams)


# -- faults within a process really are there --------------------------------------------------------------------------


def injected(program, **env):
    """What a Python program prints under a fault."""
    places = {"PYTHONPATH": str(INJECTED), **env}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=os.environ | places, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_the_clock_jumps_and_files_get_its_times(tmp_path):
    file, log = tmp_path / "x.jsonl", tmp_path / "log"
    program = f"""import datetime, os, time
fd = os.open({str(file)!r}, os.O_WRONLY | os.O_CREAT)
for _ in range(300):
    os.write(fd, b"x")
    print(datetime.datetime.now(datetime.UTC).timestamp() - os.fstat(fd).st_mtime)"""
    apart = [float(word) for word in injected(program, TORTURE_CLOCK=f"1,{log}").split()]
    jumps = [float(word) for word in log.read_text().split()]
    assert len(jumps) >= 5
    assert max(map(abs, jumps)) <= 12 * 3600
    assert max(apart) - min(apart) > 3600
    assert 150 < sum(abs(one) < 60 for one in apart) < 300  # between two jumps they are the same


def test_the_disk_is_slow_below_its_folder_alone(tmp_path):
    program = """import os, sys, time
time.sleep = lambda seconds: print(seconds)
for folder in sys.path[-2:]:
    os.makedirs(folder)
    fd = os.open(f"{folder}/a", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"x")
    os.fsync(fd)
    os.replace(f"{folder}/a", f"{folder}/b")
"""
    program = program.replace("sys.path[-2:]", repr([str(tmp_path / name) for name in ("slow", "other")]))
    told = injected(program, TORTURE_SLOW=str(tmp_path / "slow")).split()
    assert told == ["0.02", "0.005", "0.01", "0.1", "0.02"]


def test_runs_meet_where_they_make_their_folders(tmp_path):
    folder = tmp_path / "sacred" / "asae" / "spread" / "1"
    folder.parent.mkdir(parents=True)
    together = tmp_path / "together"
    together.write_text("x")  # one is there
    program = f"import os; os.mkdir({str(folder)!r}); print('made')"
    assert injected(program, TORTURE_MEET=f"{together},2") == "made\n"
    assert together.read_text() == "xx"


def test_heartbeats_come_often():
    program = "from sacred import SETTINGS; print(SETTINGS.DEFAULT_BEAT_INTERVAL)"
    assert injected(program, TORTURE_BEAT="0.25", PYTHONWARNINGS="ignore") == "0.25\n"
