"""The command and what it writes: one file that asks for nothing, hostile text that stays text, exports."""

import csv
import html
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import report
from analysis.chapters import chapters
from analysis.exports import marl_eval
from analysis.inventory import Reader
from analysis.page.writing import HERE, SCRIPTS, page
from report_runs import METRIC, write_grid, write_run

SOURCE = Path(__file__).parents[2] / "src"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028{{script}}"
FILES = {"scores", "seeds", "aggregates", "improvement", "profiles", "sample_efficiency", "curves"}


def made(tmp_path, *words):
    """The page of ``tmp_path/results``, and its data."""
    out = tmp_path / "out"
    assert report.main([str(tmp_path / "results"), "--out", str(out), *words]) == 0
    text = out.joinpath("index.html").read_text()
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(block, parse_constant=pytest.fail)


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode())))


def test_one_file_without_a_network(tmp_path):
    write_grid(tmp_path / "results")
    text, _ = made(tmp_path)
    assert "{{" not in text
    assert not re.findall(r"""(?:src|href|url\(|import|@import|fetch)\s*[=(]?\s*["']?(?:https?:)?//""", text)
    assert html.unescape(text).count("default-src 'none'") == 1
    assert all((HERE / name).read_text().strip() in text for name in SCRIPTS)


def test_text_of_a_run_stays_text(tmp_path):
    folder = write_run(tmp_path / "results", "a", "3m", 1, [1.0, 2.0], label=HOSTILE)
    folder.joinpath("run.json").write_text(json.dumps({"status": HOSTILE}))
    spoilt = write_run(tmp_path / "results", "x<b>y", "3m", 1, [1.0, 2.0])
    spoilt.joinpath("config.json").write_text("<")
    text, data = made(tmp_path, "--title", HOSTILE, "--unfinished")
    assert (data["title"], data["runs"][0]["label"], data["runs"][0]["status"]) == (HOSTILE,) * 3
    plain, _ = made(tmp_path, "--title", "plain", "--unfinished")
    for tag in ("<script", "</script", "<img", "<b>"):  # as many as without it
        clean = page({**data, "title": "t", "runs": [], "damaged": [], "settings": {}})
        assert text.count(tag) == plain.count(tag) == clean.count(tag), tag
    assert "<" not in text.split('id="data">')[1].split("</script>")[0]


def test_the_scripts_and_styles_end_no_block():
    for name in (*SCRIPTS, "page.css"):
        assert not re.search(r"</(script|style)|<!--", (HERE / name).read_text(), re.IGNORECASE), name


def test_the_page_has_the_numbers_of_the_files(tmp_path):
    write_grid(tmp_path / "results")
    _, data = made(tmp_path)
    out = tmp_path / "out"
    assert data["files"] == ["return/" + name for name in sorted([*(f"{n}.csv" for n in FILES), "marl_eval.json"])] + [
        "runs.csv"
    ]
    assert all((out / name).is_file() for name in data["files"])
    (chapter,) = data["chapters"]
    table = {(row["task"], row["algorithm"]): row for row in read_csv(out / "return" / "scores.csv")}
    assert len(table) == len(chapter["scores"]) == 6
    for score in chapter["scores"]:
        row = table[score["task"], score["group"]]
        written = [float(row[key]) for key in ("center", "low", "high")]
        assert score["iqm"] == pytest.approx(written, rel=1e-4)
    assert float(table["battle 3m", "asae"]["center"]) == pytest.approx(3.002)  # (3.001 + 3.002 + 3.003) / 3
    better = {(row["algorithm"], row["than"]): row["center"] for row in read_csv(out / "return" / "improvement.csv")}
    assert (better["asae", "coma"], better["coma", "asae"]) == ("1.0", "0.0")
    runs = read_csv(out / "runs.csv")
    assert len(runs) == len(data["runs"]) == 18
    assert [(row["algorithm"], row["seed"], row["steps_per_second"]) for row in runs[:2]] == [
        ("asae", "1", "1.0"), ("asae", "2", "1.0"),
    ]  # fmt: skip


def test_links_and_films_lead_from_the_page_to_the_files(tmp_path):
    models = tmp_path / "results" / "models" / "asae_seed1"
    folder = write_run(tmp_path / "results", "a b", "3m#", 1, [1.0, 2.0], info={"models": str(models)})
    folder.joinpath("own.gif").write_bytes(b"")
    evaluation = write_run(
        tmp_path / "results" / "evaluations", "a b", "3m", 1, [1.0], evaluate=True, info={"evaluated": f"{models}/100"}
    )
    evaluation.joinpath("later.mp4").write_bytes(b"")
    _, data = made(tmp_path)
    (run,) = data["runs"]
    assert run["href"] == "../results/sacred/a%20b/battle-3m%23/1"
    assert [name for name, _ in run["films"]] == ["own.gif", "later.mp4"]
    assert run["films"][1][1] == "../results/evaluations/sacred/a%20b/battle-3m/1/later.mp4"
    assert run["files"] == ["config.json", "info.json", "metrics.json", "run.json"]


def test_settings_are_told_once_and_differences_for_each_run(tmp_path):
    for seed, rate in ((1, 0.1), (2, 0.2), (3, 0.1)):
        write_run(tmp_path / "results", "a", "3m", seed, [1.0, 2.0], lr=rate, gamma=0.99)
    _, data = made(tmp_path)
    settings = data["settings"]
    assert settings["same"]["gamma"] == "0.99"
    assert list(settings["differing"]) == ["lr", "seed"]
    shown = {run["seed"]: own for run, own in zip(data["runs"], settings["of"], strict=True)}
    assert [settings["differing"]["lr"][shown[seed][0]] for seed in (1, 2, 3)] == ["0.1", "0.2", "0.1"]


def test_numbers_are_of_completed_runs_unless_others_are_wanted(tmp_path):
    write_run(tmp_path / "results", "a", "3m", 1, [1.0, 2.0])
    write_run(tmp_path / "results", "a", "3m", 2, [1.0, 4.0], status="FAILED")
    _, data = made(tmp_path)
    assert len(data["runs"]) == 2
    assert [score["values"] for score in data["chapters"][0]["scores"]] == [[2]]
    assert data["counted"] == (
        "Numbers are of 1 completed runs; 1 others are in the first table alone (--unfinished counts them)."
    )
    _, data = made(tmp_path, "--unfinished")
    assert [score["values"] for score in data["chapters"][0]["scores"]] == [[2, 4]]


def test_nothing_has_completed_yet(tmp_path):
    write_run(tmp_path / "results", "a", "3m", 1, [1.0, 2.0], status="INTERRUPTED")
    _, data = made(tmp_path)
    assert (len(data["runs"]), data["chapters"]) == (1, [])


def test_runs_can_be_chosen(tmp_path):
    write_grid(tmp_path / "results", seeds=1)
    _, data = made(
        tmp_path, "--filter-by-algs", "asae", "qmix", "--where", "env_args.map_name=8m", "--exclude", "name=qmix"
    )
    assert [(run["algorithm"], run["task"]) for run in data["runs"]] == [("asae", "battle 8m")]


def test_a_run_with_several_environments_is_labelled_within_its_own(tmp_path):
    for seed, rate in ((1, 0.1), (2, 0.2)):
        write_run(tmp_path / "results", "a", "3m", seed, [1.0, 2.0], env="other", lr=rate)
    write_run(tmp_path / "results", "a", "8m", 1, [1.0, 2.0], lr=0.3)
    _, data = made(tmp_path)
    assert {run["algorithm"] for run in data["runs"]} == {"a", "a, lr=0.1", "a, lr=0.2"}
    assert [chapter["environment"] for chapter in data["chapters"]] == ["battle", "other"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--metric", "test_retrun_mean"], "Did you mean 'test_return_mean'?"),
        (["--where", "env_args.map=3m"], "No run has the setting"),
        (["--watch", "0"], "--watch 0: give 1 second or more."),
        (["--out", "/dev/null/x"], "Give another folder: --out."),
    ],
)
def test_mistakes_are_told_in_one_message(tmp_path, capsys, words, told):
    write_run(tmp_path, "a", "3m", 1, [1.0, 2.0])
    assert report.main([str(tmp_path), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert report.main([str(tmp_path / "nowhere")]) == 2
    assert "There is no" in capsys.readouterr().err


def test_help_imports_nothing_slow():
    code = "import sys, report\ntry: report.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'numpy', 'scipy', 'sacred', 'torch'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# -- renewal ---------------------------------------------------------------------------------------------------------


def test_watching_renews_the_page_until_ctrl_c(tmp_path, monkeypatch, capsys):
    results = tmp_path / "results"
    write_run(results, "a", "3m", 1, [1.0, 2.0], status="RUNNING")
    seen = []

    def later(seconds):
        text = tmp_path.joinpath("out", "index.html").read_text()
        seen.append((seconds, text.count('"algorithm":')))
        if len(seen) == 2:
            raise KeyboardInterrupt
        write_run(results, "a", "3m", 2, [1.0, 2.0])

    monkeypatch.setattr(report.time, "sleep", later)
    assert report.main([str(results), "--out", str(tmp_path / "out"), "--watch", "5"]) == 0
    assert seen == [(5.0, 1), (5.0, 2)]
    assert capsys.readouterr().out.splitlines() == [f"{n} runs: {tmp_path / 'out' / 'index.html'}" for n in (1, 2)]


# -- marl-eval -------------------------------------------------------------------------------------------------------


def exported(results):
    found, _ = chapters(Reader([results]).read().runs, [METRIC])
    return marl_eval(found)


def test_the_export_for_marl_eval_by_hand(tmp_path):
    for name, seeds in (("a", 2), ("b", 3)):
        for seed in range(1, seeds + 1):
            write_run(tmp_path, name, "3m", seed, [0.0, float(seed)])
    content, notes = exported(tmp_path)
    one = {"step_0": {"step_count": 0, "return": [0.0]}, "step_1": {"step_count": 10, "return": [1.0]}}
    assert content["battle"]["battle 3m"]["a"]["run_1"] == {**one, "absolute_metrics": {"return": [1.0]}}
    assert [len(runs) for runs in content["battle"]["battle 3m"].values()] == [2, 2]
    assert len(notes) == 1
    assert "the first 2 seeds of every algorithm" in notes[0]


def test_marl_eval_reads_the_export(tmp_path, capsys):
    """The package itself checks the format, and finds our normalised final values and curves."""
    pytest.importorskip("marl_eval", reason="marl-eval is not installed: requirements-marl-eval.txt")
    from marl_eval.utils.data_processing_utils import create_matrices_for_rliable, data_process_pipeline
    from marl_eval.utils.diagnose_data_errors import DiagnoseData

    write_grid(tmp_path)
    for seed in (1, 2, 3):
        write_run(tmp_path, "vdn, tuned", "3m", seed, [0.1 * k for k in range(11)])
        write_run(tmp_path, "vdn, tuned", "8m", seed, [2.0 * k for k in range(11)])
    (chapter,), _ = chapters(Reader([tmp_path]).read().runs, [METRIC])
    content = json.loads(json.dumps(marl_eval([chapter])[0]))
    DiagnoseData(content).check_data()
    assert "Valid format for the environment battle!" in capsys.readouterr().out
    processed = data_process_pipeline(content, ["return"])
    final, curves = create_matrices_for_rliable(processed, "battle", ["return"])
    suite = chapter.suite
    for group in suite.groups:
        name = group.replace(",", "").lower()
        own = [suite.normal(task, suite.finals[task, group]) for task in suite.tasks]
        np.testing.assert_allclose(final["mean_norm_return"][name].T, own, atol=1e-5)  # they add 1e-6 to the range
        assert curves["mean_norm_return"][name].shape == (3, 2, 11)
