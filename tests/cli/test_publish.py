"""python src/publish.py: small copies of finished runs that can be drawn and counted."""

import json

import numpy as np
import pytest

import publish
from analysis.runs import find_runs
from studies.run_set import RunSet
from studies.runs import Run

WORDS = ("seed=1", "hidden_dim=8", "test_nepisode=2", "t_max=400", "batch_size=8", "test_interval=100")
RUN = Run(panel="game", line="iql", config="iql", env="matrix_game", words=WORDS)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    runs = RunSet(tmp_path_factory.mktemp("runs"), say=lambda line: None)
    assert runs.play([RUN], jobs=1) == []
    return runs


def written(folder, *, status="COMPLETED", steps=(0, 10), values=(1.0, 2.0), info=None, **config):
    folder.mkdir(parents=True)
    metrics = {"test_return_mean": {"steps": list(steps), "values": list(values)}}
    config = {"name": "iql", "env": "spread", "local_results_path": "/home/me", "resume": ""} | config
    for name, content in (("config", config), ("metrics", metrics), ("run", {"status": status}), ("info", info or {})):
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_the_copy_has_the_curves_and_counts_as_the_run(played, tmp_path, capsys):
    assert publish.main([str(played.results), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("1 runs, ")
    (copy,), (original,) = find_runs([tmp_path / "out"]), find_runs([played.results])
    assert set(copy.metrics) == {"test_return_mean"}
    for kept, whole in zip(copy.metrics["test_return_mean"], original.metrics["test_return_mean"], strict=True):
        np.testing.assert_allclose(kept, whole, rtol=1e-5)
    assert len(copy.metrics["test_return_mean"][0]) == 3
    elsewhere = RunSet(tmp_path / "empty", also=[tmp_path / "out"])
    assert elsewhere.completed(RUN).resolve() == copy.path.resolve()
    assert RunSet(tmp_path / "empty").completed(RUN) is None
    changed = Run(panel="game", line="iql", config="iql", env="matrix_game", words=(*WORDS, "lr=0.1"))
    assert elsewhere.completed(changed) is None
    size = sum(file.stat().st_size for file in copy.path.iterdir())
    assert size < 4096 < sum(file.stat().st_size for file in original.path.iterdir() if file.is_file())


def test_the_copy_says_what_made_the_run_but_not_where(tmp_path):
    made = {"command": "python src/main.py with local_results_path=/home/me", "commit": "abc", "versions": {}}
    folders = []
    for number, version in enumerate((None, 1, 2)):
        told = {} if version is None else {"provenance": made | {"environment": {"name": "spread", "version": version}}}
        written(tmp_path / f"{version}" / "1", info=told)
        folders += publish.publish([tmp_path / f"{version}"], tmp_path / "out")
        kept = folders[number] / "info.json"
        assert kept.exists() == (version is not None)
        if version is not None:
            expected = {"commit": "abc", "versions": {}, "environment": {"name": "spread", "version": version}}
            assert json.loads(kept.read_text())["provenance"] == expected
    assert folders[0] == folders[1]  # as it was called before versions were recorded
    assert folders[2] != folders[1]  # other episodes


def test_nothing_names_the_machine_and_a_second_copy_takes_the_place_of_the_first(tmp_path):
    written(tmp_path / "in" / "1")
    for _ in range(2):
        (folder,) = publish.publish([tmp_path / "in"], tmp_path / "out")
    assert len(find_runs([tmp_path / "out"])) == 1
    assert not any("/home/me" in file.read_text() for file in folder.iterdir())


def test_a_resumed_run_becomes_one_and_unfinished_ones_are_left_out(tmp_path):
    written(tmp_path / "in" / "1", status="INTERRUPTED")
    info = {"resumed_from_run": str(tmp_path / "in" / "1"), "resumed_at": 10}
    written(tmp_path / "in" / "2", steps=(20,), values=(float("nan"),), info=info, resume="1")
    written(tmp_path / "in" / "3", status="FAILED", seed=3)
    publish.publish([tmp_path / "in"], tmp_path / "out")
    (copy,) = find_runs([tmp_path / "out"])
    steps, values = copy.metrics["test_return_mean"]
    np.testing.assert_array_equal(steps, [0, 10, 20])
    np.testing.assert_array_equal(values, [1, 2, np.nan])


def test_mistakes(tmp_path, capsys):
    written(tmp_path / "in" / "1", status="RUNNING")
    assert publish.main([str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    assert "has completed" in capsys.readouterr().err
    assert publish.main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    written(tmp_path / "in" / "2")
    (tmp_path / "file").write_text("")
    assert publish.main([str(tmp_path / "in"), str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
