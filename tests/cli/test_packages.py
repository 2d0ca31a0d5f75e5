"""A package that is missing, or the wrong Python: one message that says how to mend it, in every command."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import packages

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    path.relative_to(ROOT)
    for folder in ("src", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
    and path.stem != "bench_sweep"  # the standard library alone; the command that it times says so
)


def bare(*words, cwd=ROOT):
    """A Python that has the standard library alone."""
    command = [sys.executable, "-S", "-E", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_all_commands_are_there():
    assert {"main", "evaluate", "export", "plot", "publish", "reproduce", "learning", "bench_training"} <= {
        path.stem for path in COMMANDS
    }


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_outside_the_environment_every_command_says_so(path, tmp_path):
    needed = {"main": ["--list"], "plot": [tmp_path], "publish": [tmp_path, tmp_path / "out"], "reproduce": ["fig5"]}
    needed |= {"evaluate": [tmp_path], "export": [tmp_path], "report": [tmp_path]}
    needed |= {"sync_mongo": [tmp_path, "--url", "mongodb://127.0.0.1:1"]}
    done = bare(path, *needed.get(path.stem, []))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the Python package '")
    assert f"is not installed for {sys.executable}: " in line


def run_hook(capsys, error):
    with pytest.raises(SystemExit) as stop:
        packages._hook(type(error), error, None)
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("here", "made", "where", "wanted"),
    [
        ("base", True, ".", "source .venv/bin/activate"),
        ("base", True, "results", "source {root}/.venv/bin/activate"),
        ("base", False, ".", "make train (or make test) sets up .venv; then source .venv/bin/activate"),
        ("venv", True, ".", "python -m pip install -r requirements.txt"),
    ],
)
def test_what_mends_it(tmp_path, monkeypatch, capsys, here, made, where, wanted):
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setattr(packages.sys, "prefix", here)
    monkeypatch.setattr(packages.sys, "base_prefix", "base")
    if made:
        (tmp_path / ".venv" / "bin").mkdir(parents=True)
        (tmp_path / ".venv" / "bin" / "activate").write_text("")
    (tmp_path / where).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / where)
    status, said = run_hook(capsys, ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert status == 2
    expected = f"'torch' is not installed for {sys.executable}: {wanted.format(root=tmp_path)}"
    assert said == f"error: the Python package {expected}\n"


def test_ctrl_c_while_packages_are_imported_has_no_traceback():
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import core.packages; raise KeyboardInterrupt"
    done = bare("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("x", name="core.nosuch"), ModuleNotFoundError("x", name="json.nosuch"),
              ModuleNotFoundError("x"), ValueError("x")],
)  # fmt: skip
def test_a_bug_keeps_its_traceback(monkeypatch, capsys, error):
    told = []
    monkeypatch.setattr(packages, "_others", lambda *rest: told.append(rest))
    packages._hook(type(error), error, None)
    assert told == [(type(error), error, None)]
    assert capsys.readouterr().err == ""


def test_an_older_python_says_which_is_needed():
    code = f"import sys; sys.version_info = (3, 9, 1); sys.path.insert(0, {str(ROOT / 'src')!r}); import main"
    done = bare("-c", code)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: Python 3.11 is needed, {sys.executable} is ")


def test_a_package_that_is_missing_while_a_run_goes_on(tmp_path):
    """Drawing is imported when it is needed: the run is closed, and the message is the same."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); sys.modules['sacred'] = None; import main\n"
        "sys.exit(main.main(['--config=iql', '--env-config=matrix_game']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the Python package 'sacred' is not installed for ")
    assert len(done.stderr.splitlines()) == 1
