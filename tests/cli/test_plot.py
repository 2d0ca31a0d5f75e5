"""Learning curves: statistics against hand computation and SciPy, and the command line end to end."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from PIL import Image

import plot
from analysis import drawing
from analysis.curves import align, curves, interval, iqm, smooth
from analysis.runs import find_runs, read_run
from analysis.tables import table
from core.errors import UserError

SOURCE = Path(__file__).parents[2] / "src"


def make_run(
    folder, config, steps, values, metric="test_return_mean", lines=False, torn="", status="COMPLETED", info=None
):
    folder.mkdir(parents=True)
    folder.joinpath("config.json").write_text(json.dumps(config))
    folder.joinpath("run.json").write_text(json.dumps({"status": status}))
    folder.joinpath("info.json").write_text(json.dumps(info or {}))
    if lines:
        points = [{"name": metric, "step": s, "value": v, "timestamp": ""} for s, v in zip(steps, values, strict=True)]
        folder.joinpath("metrics.jsonl").write_text("\n".join(map(json.dumps, points)) + "\n" + torn)
    else:
        columns = {metric: {"steps": list(steps), "values": list(values), "timestamps": []}}
        folder.joinpath("metrics.json").write_text(json.dumps(columns))
    return folder


@pytest.fixture
def results(tmp_path):
    rng = np.random.default_rng(0)
    for i, (name, n_seeds) in enumerate({"asae": 5, "coma": 3, "iql": 1}.items()):
        for world in ("3m", "8m"):
            for seed in range(n_seeds):
                steps = np.arange(0, 100_001, 10_000) + seed * 100
                values = 20 - 10 * i - 15 * np.exp(-steps / 3e4) + rng.normal(size=len(steps))
                config = {"name": name, "env": "battle", "seed": seed, "env_args": {"map_name": world}}
                make_run(tmp_path / name / world / str(seed + 1), config, steps.tolist(), values.tolist())
    (tmp_path / "_sources").mkdir()
    return tmp_path


def test_a_setting_that_a_run_lacks_is_not_in_its_label(tmp_path):
    for name, more in (("vdn", {"q_lambda": 0.6}), ("asae", {})):
        make_run(tmp_path / name, {"name": name, "env": "spread", **more}, [0, 10], [1.0, 2.0])
    found = curves(find_runs([tmp_path]), "test_return_mean", group_by=("name", "q_lambda"))
    assert {curve.group for curve in found} == {"vdn, q_lambda=0.6", "asae"}
    alone = curves(find_runs([tmp_path]), "test_return_mean", group_by=("q_lambda",))
    assert {curve.group for curve in alone} == {"q_lambda=0.6", "none"}


def run_plot(*arguments):
    command = [sys.executable, str(SOURCE / "plot.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_interquartile_mean_by_hand():
    assert iqm(np.array([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -100.0])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert iqm(np.array([5.0, 1.0, 3.0])) == 3.0  # nothing to cut from three seeds: the mean
    values = np.random.default_rng(1).normal(size=(10, 4))
    np.testing.assert_allclose(iqm(values, axis=0), np.sort(values, axis=0)[2:8].mean(axis=0))
    for size in range(1, 14):
        values = np.random.default_rng(size).normal(size=(3, size, 2))
        np.testing.assert_allclose(iqm(values, axis=1), scipy.stats.trim_mean(values, 0.25, axis=1), rtol=1e-12)


def test_the_interval_is_a_percentile_bootstrap_over_seeds():
    values = np.random.default_rng(1).normal(size=(8, 3)) * [1.0, 2.0, 0.0]
    low, high = interval(values, "iqm")
    for k in range(2):  # against a bootstrap written out, with another stream
        rng = np.random.default_rng(77)
        means = [scipy.stats.trim_mean(rng.choice(values[:, k], 8), 0.25) for _ in range(4000)]
        np.testing.assert_allclose([low[k], high[k]], np.percentile(means, [2.5, 97.5]), atol=0.15 * (k + 1))
    assert low[2] == high[2] == 0.0
    again = interval(values, "iqm")
    np.testing.assert_array_equal(low, again[0])  # the same picture every time
    assert np.isnan(interval(values[:1], "iqm")[0]).all()


A = (np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 20.0]))


def test_ends_that_almost_agree_are_one_end():
    b = (np.array([4.0, 15.0, 24.0]), np.array([1.0, 1.0, 1.0]))
    steps, values = align([A, b])
    assert steps.tolist() == [4.0, 12.0, 20.0]
    np.testing.assert_allclose(values, [steps, np.ones(3)])
    steps, values = align([A, A])
    assert steps.tolist() == [0.0, 10.0, 20.0]  # equal steps stay as they are


def test_where_a_seed_has_nothing_it_is_not_there():
    longer = (np.arange(0.0, 50.0, 10.0), np.ones(5))
    steps, values = align([A, longer])
    assert steps.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
    np.testing.assert_array_equal(values[0], [0.0, 10.0, 20.0, np.nan, np.nan])
    np.testing.assert_array_equal(values[1], np.ones(5))
    steps, values = align([A, (np.array([50.0, 60.0]), np.zeros(2))])  # nothing in common
    assert (np.isfinite(values).sum(axis=0) == 1).all()
    assert (steps[0], steps[-1]) == (0.0, 60.0)
    steps, values = align([(np.array([5.0]), np.array([1.0])), (np.array([5.0]), np.array([2.0]))])
    assert (steps.tolist(), values.tolist()) == ([5.0], [[1.0], [2.0]])


def test_smoothing_by_hand():
    np.testing.assert_allclose(smooth(np.array([0.0, 3.0, 6.0, 0.0]), 3), [0.0, 3.0, 3.0, 0.0])
    np.testing.assert_allclose(smooth(np.arange(9.0), 5), np.arange(9.0))  # a line stays a line up to its ends


def test_reads_running_killed_and_stock_runs(tmp_path):
    config = {"name": "a", "env": "e"}
    running = make_run(tmp_path / "1", config, [10, 20], [1.0, None], lines=True, torn='{"name": "test_ret')
    steps, values = read_run(running).metrics["test_return_mean"]
    assert steps.tolist() == [10, 20]
    assert values[0] == 1.0
    assert math.isnan(values[1])
    stock = make_run(tmp_path / "2", config, [20, 10, 10], [math.nan, 1.0, 2.0])  # bare NaN, a step repeated
    steps, values = read_run(stock).metrics["test_return_mean"]
    assert (steps.tolist(), values[0]) == ([10, 20], 2.0)
    broken = make_run(tmp_path / "3", config, [1], [1.0])
    (broken / "metrics.json").write_text('{"test_ret')
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(find_runs([tmp_path, tmp_path / "1", tmp_path / "2"])) == 2


def test_groups_panels_and_seeds(results):
    found = curves(find_runs([results]), "test_return_mean")
    assert [(curve.panel, curve.group, curve.n_seeds) for curve in found] == [
        (f"battle {world}", name, n) for world in ("3m", "8m") for name, n in (("asae", 5), ("coma", 3), ("iql", 1))
    ]
    curve = found[0]
    assert curve.steps[0] == 400
    assert curve.steps[-1] == 100_000
    assert (curve.low <= curve.center).all()
    assert (curve.center <= curve.high).all()
    np.testing.assert_allclose(curve.center, scipy.stats.trim_mean(curve.values, 0.25, axis=0))
    found = curves(find_runs([results]), "test_return_mean", group_by=("env_args.map_name", "name"), panel_by=("env",))
    assert {curve.panel for curve in found} == {"battle"}
    assert [curve.group for curve in found] == [
        f"map_name={m}, {a}" for m in ("3m", "8m") for a in ("asae", "coma", "iql")
    ]


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("new/a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_draws_every_kind_of_picture(results, tmp_path, name, magic):
    plot.draw(find_runs([results]), tmp_path / name, title="Battle", smooth=3, center="median")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_png_is_small_and_keeps_the_colours_of_its_lines(results, tmp_path):
    plot.draw(find_runs([results]), tmp_path / "a.png", title="Battle", center="median")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        shown = np.array(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in drawing.COLOURS[:2]:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(shown - wanted).max(1) <= 4).sum() > 100, colour


def test_a_reader_of_tables_that_has_seen_enough_is_no_error(results, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, str(SOURCE / "plot.py"), str(results), "--out", str(tmp_path / "c.svg"), "--table"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line_end_to_end(results, tmp_path):
    done = run_plot(results, "--out", tmp_path / "c.svg", "--csv", tmp_path / "c.csv", "--table", "--final", "tenth")
    assert (done.returncode, done.stderr) == (0, "")
    picture = (tmp_path / "c.svg").read_text()
    for text in ("asae (5 seeds)", "iql (1 seed)", "battle 3m", "battle 8m", "environment steps", "interquartile mean"):
        assert text in picture
    rows = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert len(rows) == 6 * 11
    assert {row["low"] for row in rows if row["group"] == "iql"} == {""}
    lines = done.stdout.splitlines()
    assert sum("asae" in line for line in lines) == 2
    assert "one seed: none" in done.stdout


def test_a_picture_that_is_cut_off_says_so(tmp_path):
    for seed in (1, 2):
        make_run(tmp_path / str(seed), {"name": "a", "env": "e", "seed": seed}, [0, 10, 20], [-6000.0, -200.0, -180.0])
    make_run(tmp_path / "3", {"name": "b", "env": "e", "seed": 1}, [0, 10, 20], [-300.0, -200.0, -100.0])
    for value, cut in (("-600", True), ("-7000", False)):
        assert run_plot(tmp_path, "--y-min", value, "--out", tmp_path / "a.svg").returncode == 0
        assert (f"cut at {value}" in (tmp_path / "a.svg").read_text()) == cut
    import matplotlib.figure

    axis = matplotlib.figure.Figure().subplots()
    axis.plot([0, 20], [-6000, -100])
    drawing.cut(axis, curves(find_runs([tmp_path]), "test_return_mean"), -600)
    assert axis.get_ylim() == (-600, -75)


def test_final_values_by_hand(tmp_path):
    for seed, last in enumerate((1.0, 2.0, 6.0)):
        make_run(tmp_path / str(seed), {"name": "a", "env": "e", "seed": seed}, [0, 95, 100], [0.0, 0.0, last])
    found = curves(find_runs([tmp_path]), "test_return_mean")
    cells = table(found).splitlines()[2].split()
    assert cells[2:5] == ["3", "2", "3"]  # seeds, median, IQM (of three: the mean)
    assert table(found, share=0.1).splitlines()[2].split()[2:5] == ["3", "1", "1.5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "test_return_maen"], "Did you mean 'test_return_mean'?"),
        (["--metric", "test_return"], "Did you mean 'test_return_mean'?"),
        (["--group-by", "env_args.map_nam"], "Did you mean 'env_args.map_name'?"),
        (["--out", "curves.docx"], "End it in .png"),
    ],
)
def test_mistakes_are_told_in_one_message(results, capsys, arguments, message):
    assert plot.main([str(results), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_words_of_epymarls_command_are_all_told(tmp_path, capsys):
    assert plot.main(["--path", str(tmp_path), "--smoothing_window=3", "--save-dir", "plots"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("plot.py: ").split(".")[0] for line in lines] == [
        "Unknown option --path", "Unknown option --smoothing_window", "Unknown option --save-dir",
    ]  # fmt: skip
    assert all(word in line for word, line in zip(["plot.py results", "--smooth", "--out"], lines, strict=True))


def test_runs_without_the_metric_are_told_of_their_own_form_of_it(tmp_path, capsys):
    """A team's return, and not just any name that looks alike."""
    for place, name in enumerate(("test_return_mean", "test_prey_return_mean", "test_captured_mean")):
        config = {"name": "asae", "env": "spread", "seed": place, "env_args": {}}
        make_run(tmp_path / str(place), config, [0, 10], [1.0, 2.0], metric=name)
    for metric, near in (("test_return_mean", " Did you mean 'test_prey_return_mean'?"), ("test_captured_mean", "")):
        assert plot.main([str(tmp_path), "--table", "--metric", metric]) == 0
        assert capsys.readouterr().err.splitlines()[0].endswith(f"{tmp_path / '2' if near else tmp_path / '1'}.{near}")


def test_paths_without_runs(tmp_path, capsys):
    assert plot.main([str(tmp_path)]) == 2
    assert "No runs found" in capsys.readouterr().err
    assert plot.main([str(tmp_path / "nowhere")]) == 2
    assert "There is no" in capsys.readouterr().err
    with pytest.raises(UserError):
        find_runs([])


def test_help_imports_nothing_slow():
    code = "import sys, plot\ntry: plot.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'numpy', 'scipy', 'matplotlib', 'torch'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--group-by" in done.stdout


def test_choices_of_the_command_line(tmp_path, capsys):
    def spread(seed, n, name="asae", **more):
        config = {"name": name, "env": "spread", "seed": seed, "env_args": {"n_agents": n}}
        make_run(tmp_path / str(len(list(tmp_path.iterdir()))), config, [0, 10], [1.0, 2.0 * seed + n], **more)

    for _ in range(2):
        spread(1, 3)
    spread(2, 4)
    spread(3, 4, status="FAILED")
    spread(1, 3, name="coma")

    def shown(*words):
        assert plot.main([str(tmp_path), "--table", *words]) == 0
        out, err = capsys.readouterr()
        return [" ".join(line.split()[:5]) for line in out.splitlines()[2:]], err

    three, four = "spread, n_agents=3 asae 1 5", "spread, n_agents=4 asae 1 8"
    rows, notes = shown()
    assert rows == [three, "spread, n_agents=3 coma 1 5", four]
    assert [line.partition(":")[2].split(",")[0].split(" (")[0] for line in notes.splitlines()] == [
        " note: runs that have not completed are left out",
        " note: left out",
    ]
    assert shown("--filter_by_algs", "asae")[0] == [three, four]
    words = ["--filter-by-algs", "asae", "--filter_by_envs", "spread", "--where", "env_args.n_agents=4"]
    assert shown(*words)[0] == ["spread asae 1 8 8"]
    assert shown("--exclude", "env_args.n_agents=3", "--unfinished")[0] == ["spread asae 2 9 9"]
    rows, _ = shown("--filter_by_algs", "asae", "--panel-by", "env")
    assert rows == ["spread asae, n_agents=3 1 5", "spread asae, n_agents=4 1 8"]
