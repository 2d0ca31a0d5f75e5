"""docs/extending.md, followed as it stands in a copy of the project: files written, lines added, commands run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"^`([\w/]+\.(?:py|yaml))`[^\n]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
LINES = re.findall(r"^Into `REGISTRY` of `([\w/]+\.py)`.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
MAPS = re.findall(r"^Below `maps:` of `([\w/]+\.yaml)`.*?```yaml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^    python (.+)$", PAGE, re.MULTILINE)
RUNS = [command for command in COMMANDS if "main.py" in command]
IN_TURN = """
import json, runpy, sys; sys.path.insert(0, "src")
for words in json.load(sys.stdin):
    print("RUN", flush=True)
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        print("STATUS", end.code, flush=True)
print("HEAVY", *sorted({"torch._dynamo", "scipy.cluster", "torch.onnx", "matplotlib"} & set(sys.modules)))
"""
"""A program that runs command lines of ``python`` one after another: importing takes most of their time."""
QUICK = ["t_max=300", "test_nepisode=2", "test_interval=100000", "hidden_dim=8", "save_model=false"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with all walk-throughs followed."""
    folder = tmp_path_factory.mktemp("project")
    written = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")  # caches come along; these are just being written
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=written)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in FILES.items():
        assert not (folder / name).exists(), "new"
        (folder / name).write_text(text)
    for name, line in LINES:
        before, start, after = (folder / name).read_text().partition("REGISTRY: dict[str, str] = {\n")
        (folder / name).write_text(before + start + line + after)
    for name, entry in MAPS:
        before, start, after = (folder / name).read_text().partition("\nmaps:\n")
        (folder / name).write_text(before + start + entry + after)
    return folder


def run(folder, *words, given=""):
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=250
    )


def test_the_page_has_what_it_promises():
    assert list(FILES) == [
        "src/learners/reinforce_learner.py",
        "src/config/algs/reinforce.yaml",
        "src/envs/rendezvous.py",
        "src/config/envs/rendezvous.yaml",
        "tests/envs/test_rendezvous.py",
    ]
    assert [name for name, _ in LINES] == ["src/learners/__init__.py", "src/envs/__init__.py"]
    assert [name for name, _ in MAPS] == ["src/envs/battle/maps.yaml"]
    assert len(COMMANDS) == 6


@pytest.fixture(scope="module")
def outputs(project):
    """What its runs print: as they stand, but shorter (the last of equal settings counts); the last is of them all."""
    short = [[word for word in shlex.split(command) if not word.startswith("t_max=")] for command in RUNS]
    words = [[*own, *QUICK, *(["batch_size=4"] if "--config=vdn" in own else [])] for own in short]
    done = run(project, "-c", IN_TURN, given=json.dumps(words))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    *outputs, last = done.stdout.removeprefix("RUN\n").split("RUN\n")
    last, _, heavy = last.partition("HEAVY")
    return [*outputs, last, heavy]


@pytest.mark.parametrize(("number", "command"), list(enumerate(RUNS)))
def test_its_runs(outputs, number, command):
    out = outputs[number]
    assert len(outputs) == len(RUNS) + 1
    assert out.splitlines()[-1] == "STATUS 0", out
    assert "COMPLETED" in out
    assert ("met_mean" in out) == ("rendezvous" in command)
    assert ("battle_won_mean" in out) == ("battle" in command)


def test_runs_import_nothing_that_is_slow_and_not_needed(outputs):
    assert outputs[-1].split() == []


@pytest.mark.parametrize("command", [command for command in COMMANDS if "pytest" in command])
def test_its_tests(project, command):
    done = run(project, *shlex.split(command), "-p", "no:cacheprovider")
    last = done.stdout.strip().splitlines()[-1]
    assert (done.returncode, "failed" in last) == (0, False), done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", last).group(1)) >= (40 if "contract" in command else 5)


def test_it_is_in_this_projects_style(project):
    """Ruff's, as pyproject.toml sets it."""
    names = [name for name in FILES if name.endswith(".py")]
    for words in (["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"]):
        done = run(project, "-m", *words, *names)
        assert done.returncode == 0, done.stdout + done.stderr
