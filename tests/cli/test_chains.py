"""A run that was stopped and resumed is one run in plots."""

import json
import shutil
import warnings

import numpy as np
import pytest

from analysis.runs import find_runs


def make_run(folder, points, **info):
    folder.mkdir(parents=True)
    steps, values = zip(*points, strict=True) if points else ((), ())
    config = {"name": "asae", "env": "spread", "seed": 1, "env_args": {}, "evaluate": info.pop("evaluate", False)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(json.dumps({"r": {"steps": steps, "values": values, "timestamps": []}}))
    (folder / "run.json").write_text(json.dumps({"status": info.pop("status", "COMPLETED")}))
    (folder / "info.json").write_text(json.dumps({"models": "x", **info}))
    return str(folder)


def curve(run):
    steps, values = run.metrics["r"]
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def test_points_up_to_the_checkpoint_are_the_older_runs(tmp_path):
    old = make_run(tmp_path / "1", [(0, 1), (10, 2), (20, 3), (30, 99), (40, 99)], status="INTERRUPTED")
    make_run(tmp_path / "2", [(30, 4), (40, 5)], resumed_from_run=old, resumed_at=25)
    (run,) = find_runs([tmp_path])
    assert curve(run) == [(0, 1), (10, 2), (20, 3), (30, 4), (40, 5)]
    assert run.path == tmp_path / "2"
    assert run.status == "COMPLETED"


def test_a_point_at_the_step_of_the_checkpoint_counts_once(tmp_path):
    old = make_run(tmp_path / "1", [(0, 1), (20, 2)])
    make_run(tmp_path / "2", [(20, 2), (40, 5)], resumed_from_run=old, resumed_at=20)
    assert curve(*find_runs([tmp_path])) == [(0, 1), (20, 2), (40, 5)]


def test_a_chain_of_three_and_another_seed(tmp_path):
    first = make_run(tmp_path / "1", [(0, 1), (10, 2)])
    second = make_run(tmp_path / "2", [(20, 3), (30, 9)], resumed_from_run=first, resumed_at=10)
    make_run(tmp_path / "3", [(30, 4), (40, 5)], resumed_from_run=second, resumed_at=20)
    make_run(tmp_path / "4", [(0, 7)])
    runs = sorted(find_runs([tmp_path]), key=lambda run: run.path.name)
    assert [curve(run) for run in runs] == [[(0, 1), (10, 2), (20, 3), (30, 4), (40, 5)], [(0, 7)]]
    (alone,) = find_runs([tmp_path / "3"])  # older ones are read though they are not below the path
    assert curve(alone) == curve(runs[0])


def test_of_two_continuations_the_longer_one_counts(tmp_path):
    old = make_run(tmp_path / "1", [(0, 1), (10, 2)])
    make_run(tmp_path / "2", [(20, 3), (30, 4)], resumed_from_run=old, resumed_at=10)
    make_run(tmp_path / "3", [(20, 3)], resumed_from_run=old, resumed_at=10, status="RUNNING")
    (run,) = find_runs([tmp_path])
    assert run.path == tmp_path / "2"


def test_a_resumed_run_that_wrote_nothing_yet(tmp_path):
    old = make_run(tmp_path / "1", [(0, 1), (10, 2), (20, 9)])
    make_run(tmp_path / "2", [], resumed_from_run=old, resumed_at=10)
    assert curve(*find_runs([tmp_path])) in ([(0, 1), (10, 2)], [(0, 1), (10, 2), (20, 9)])


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_the_older_folder_is_gone_or_moved(tmp_path):
    old = make_run(tmp_path / "a" / "1", [(0, 1), (10, 2)])
    make_run(tmp_path / "a" / "2", [(20, 3)], resumed_from_run=old, resumed_at=10)
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert curve(*find_runs([tmp_path / "b"])) == [(0, 1), (10, 2), (20, 3)]
    shutil.rmtree(tmp_path / "b" / "1")
    with pytest.warns(UserWarning, match="which is not there"):
        (run,) = find_runs([tmp_path / "b"])
    assert curve(run) == [(20, 3)]


@pytest.mark.parametrize("named", ["/nowhere", "", None, 3, []])
def test_nonsense_in_info_json_does_not_fail(tmp_path, named):
    make_run(tmp_path / "1", [(0, 1)], resumed_from_run=named, resumed_at=named)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert curve(*find_runs([tmp_path])) == [(0, 1)]


def test_a_run_that_names_itself(tmp_path):
    make_run(tmp_path / "1", [(0, 1)], resumed_from_run=str(tmp_path / "1"), resumed_at=0)
    with pytest.warns(UserWarning, match="continues"):
        assert curve(*find_runs([tmp_path])) == [(0, 1)]


def test_evaluations_are_no_seeds(tmp_path):
    make_run(tmp_path / "1", [(0, 1), (10, 2)])
    make_run(tmp_path / "2", [(10, 3)], evaluate=True)
    assert curve(*find_runs([tmp_path])) == [(0, 1), (10, 2)]
    assert curve(*find_runs([tmp_path / "2"])) == [(10, 3)]  # unless there is nothing else


def test_real_runs(cli, tools):
    words = ["seed=1", "test_interval=300", "save_model_interval=500"]
    whole = cli.train("coma", "spread", *words, "t_max=1500", "local_results_path=whole")
    first = cli.train("coma", "spread", *words, "t_max=700")
    second = cli.resume(first, "t_max=1500")
    (joined,), (reference,) = find_runs([cli.results]), find_runs([whole])
    assert joined.path == second
    for name in ("test_return_mean", "return_mean"):
        steps, values = reference.metrics[name]
        now = dict(zip(*map(np.ndarray.tolist, joined.metrics[name]), strict=True))
        assert [now[step] for step in steps.tolist()] == values.tolist()
        assert len(now) <= len(steps) + 1  # what was pending at the end of the first part
