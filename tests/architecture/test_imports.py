"""Imports point one way; read from the syntax trees, so that a line within a function counts too."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILES = sorted(SOURCE.rglob("*.py"))
PARTS = {path.stem if path.is_file() else path.name for path in SOURCE.iterdir() if path.suffix in ("", ".py")}
TOP = {path.stem for path in SOURCE.glob("*.py")}
PACKAGES = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}

ALLOWED = {
    "core": set(),
    "estimators": set(),
    "envs": {"core"},
    "modules": {"core"},
    "components": {"estimators", "core"},
    "controllers": {"modules", "components", "estimators", "core"},
    "learners": {"controllers", "components", "modules", "estimators", "core"},
    "runners": {"core"},
    "observers": {"core"},
    "mirrors": {"observers", "core"},
    "analysis": {"core"},
    "training": {
        "runners", "mirrors", "observers", "learners", "controllers", "components", "modules", "estimators", "envs",
        "core",
    },
    "telling": {"training", "learners", "controllers", "envs", "core"},
    "studies": {"training", "analysis", "observers", "components", "core"},
}  # fmt: skip
PLAIN = {"__future__", "collections", "typing", "math", "dataclasses", "itertools", "functools"}
THIRD_PARTY = {"estimators": {"torch"} | PLAIN}


def imports(path):
    """Modules of ours, and top-level names of others, that a file imports (types included)."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            (ours if top in PARTS else others).add(name if top in PARTS else top)
    return ours, others


def part(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module(path):
    relative = path.relative_to(SOURCE).with_suffix("")
    return ".".join(relative.parts[:-1] if relative.name == "__init__" else relative.parts)


def test_every_package_has_its_place():
    assert set(ALLOWED) == PACKAGES


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_what_lies_below_it(package):
    wrong = []
    for path in (SOURCE / package).rglob("*.py"):
        ours, others = imports(path)
        wrong += [(str(path), name) for name in ours if name.split(".")[0] not in ALLOWED[package] | {package}]
        allowed = THIRD_PARTY.get(package, others)
        wrong += [(str(path), name) for name in others - allowed]
    assert wrong == []


def test_a_run_is_a_ladder():
    """options -> ... -> session within training; main stands on it."""
    ladder = [
        "resuming",
        "players",
        "layering",
        "options",
        "provenance",
        "room",
        "grouping",
        "team",
        "teams",
        "testing",
        "experiment",
        "snapshot",
    ]
    ladder += ["mirroring", "filming", "evaluation", "ending", "session", "evaluating", "exporting"]
    folder = SOURCE / "training"
    assert set(ladder) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    for path in folder.glob("[a-z]*.py"):
        used = {name.split(".")[1] for name in imports(path)[0] if name.startswith("training.")}
        assert used & set(ladder[ladder.index(path.stem) + 1 :]) == set(), path


def test_commands_alone_lie_on_the_top_floor():
    """plot, publish, report, reproduce and sweep see runs by their command line and their files."""
    used = {
        "main": {"training", "telling"},
        "evaluate": {"training"},
        "export": {"training"},
        "plot": {"analysis"},
        "publish": {"analysis", "observers", "training"},
        "report": {"analysis", "observers"},
        "reproduce": {"analysis", "observers", "studies"},
        "sweep": {"observers", "studies"},
        "sync_mongo": {"analysis", "mirrors"},
    }
    assert set(used) == TOP
    for path in SOURCE.glob("*.py"):
        assert {name.split(".")[0] for name in imports(path)[0]} <= used[path.stem] | {"core"}, path


def test_no_cycles():
    known = {module(path): path for path in FILES}
    graph = {}
    for name, path in known.items():
        used = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                used |= {each if each in known else node.module for each in full}
            elif isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
        graph[name] = (used & known.keys()) - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_no_name_of_the_standard_library():
    """src/ is the first entry of sys.path, so such a name would hide the library's module."""
    assert {path.stem for path in SOURCE.iterdir()} & sys.stdlib_module_names == set()


def test_runners_learners_know_environments_as_protocols():
    for package in ("runners", "learners", "controllers"):
        for path in (SOURCE / package).rglob("*.py"):
            assert not [name for name in imports(path)[0] if name.split(".")[0] == "envs"], path


def test_budgets():
    """Lines of a file and of a function."""
    limits = {"main.py": 80, "experiment.py": 150}
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= limits.get(path.name, 300), path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno + 1 <= 50, f"{path}:{node.lineno} {node.name}"
