"""The Makefile's commands and what CI runs. Nothing is installed or trained."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from core.settings import config_names
from training.options import resolve

ROOT = Path(__file__).parents[2]


def run(*command, **more):
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **more
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (
            "train",
            [
                "-m venv",
                "-m pip install",
                "-r requirements.txt -r requirements-vmas.txt -r requirements-onnx.txt",
                "pip uninstall --quiet --yes s2clientprotocol pys2clientprotocol",  # where the older form is there
                "requirements-sc2.txt",
                "--config=asae --env-config=spread",
                "src/plot.py",
                "/bin/activate",
            ],
        ),
        (
            "compare",
            [
                "src/sweep.py --config asae qmix --env-config spread --seeds 3 --results results/compare",
                "src/plot.py results/compare",
                "src/report.py results/compare --out results/compare/report",
            ],
        ),
        (
            "test",
            [
                "-r requirements.txt",
                "-r requirements-mongo-test.txt",
                "-r requirements-browser.txt",
                "--no-deps --no-build-isolation -r requirements-marl-eval.txt",
                "ruff check .",
                "ruff format --check .",
                "mypy",
                'pytest -q -m "not slow" -n auto',
            ],
        ),
        ("test-slow", ["pytest -q -m slow"]),
        ("torture", ["-r requirements.txt", "benchmarks/torture.py"]),
        ("omniboard-smoke", ["-r requirements-mongo-test.txt", "tests/omniboard_smoke.py"]),
        ("bench", ["bench_particle.py", "bench_training.py", "bench_report.py"]),
        ("clean", [".pytest_cache"]),
        ("help", ["make train", "make test"]),
    ],
)
def test_what_make_would_do(target, wanted, tmp_path):
    done = run("make", "-n", target, f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 0, done.stderr
    places = [done.stdout.find(word) for word in wanted]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("target", ["test", "test-slow"])
def test_tests_keep_what_python_has_compiled(target):
    """Where the environment forbids it too: every process would compile all files, tests with their assertions."""
    done = run("make", "-npq", target, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert f"\n{target}: PYTHONDONTWRITEBYTECODE = \n" in done.stdout


def test_make_bench_measures_every_algorithm():
    spec = importlib.util.spec_from_file_location("bench_training", ROOT / "benchmarks" / "bench_training.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    rows = list((bench.EVERY | bench.ACTING).values())
    assert {(name, "spread") for name in config_names("algs")} <= {(name, where) for name, where, _ in rows}
    for algorithm, environment, words in rows:
        resolve(algorithm, environment, [*bench.SPREAD, *words])  # every setting is known


def test_requirements_are_installed_once(tmp_path):
    """The stamp is newer than requirements.txt: nothing to install."""
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / ".installed").touch()
    (tmp_path / "venv" / ".installed-for-tests").touch()
    done = run("make", "-n", "test", f"VENV={tmp_path / 'venv'}")
    assert "pip install" not in done.stdout


@pytest.mark.parametrize(("python", "message"), [("", "No python3 found"), ("false", "")])
def test_an_interpreter_that_does_not_do(tmp_path, python, message):
    done = run("make", "test", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert not (tmp_path / "venv").exists()


def test_ci_runs_make_test_last():
    path = ROOT / ".ci" / "run"
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert "exec < /dev/null" in lines
    assert lines[-1].startswith("make --no-print-directory test ")
    assert os.access(path, os.X_OK)
    assert run("bash", "-n", str(path)).returncode == 0


def test_license_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
