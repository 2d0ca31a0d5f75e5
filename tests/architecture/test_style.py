"""Documentation of what is public; names that say nothing; nothing of the machine that it was written on."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "src").rglob("*.py"))


def public(node, inside=""):
    """Public modules, classes, functions and methods: (name, node)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            name = f"{inside}{child.name}"
            yield name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_is_documented(path):
    tree = ast.parse(path.read_text())
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), f"{path} says not what it is for"
    missing = [
        name
        for name, node in public(tree)
        if not ast.get_docstring(node) and not name.startswith(("_", "forward")) and not is_private_class(name)
    ]
    assert missing == []


def is_private_class(name):
    return any(part.startswith("_") for part in name.split("."))


def test_args_is_only_the_command_line_or_an_environments_arguments():
    """Parts get their own narrow settings, never a bag called args."""
    found = []
    for path in FILES:
        relative = path.relative_to(ROOT / "src")
        if relative.parts[0] == "envs" or path.name == "main.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else None
            if name == "args":
                found.append(f"{relative}:{node.lineno}")
    assert found == []


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:  # an archive without .git
        return [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_path_of_the_machine_that_it_was_written_on():
    forbidden = "/" + "work" + "/"
    found = []
    for path in tracked():
        if path.is_file() and path.suffix not in (".png", ".gif", ".svg"):
            found += [str(path)] if forbidden in path.read_text(errors="ignore") else []
    assert found == []
