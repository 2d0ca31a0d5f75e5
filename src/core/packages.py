"""A missing package is one message in every command, which imports this first: the standard library is enough for it.

Importing it has that effect: it takes the place of ``sys.excepthook``, for a ModuleNotFoundError of others' packages
and a Ctrl-C that nothing has caught, as while packages are imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent
ROOT = SOURCE.parent
_others = sys.excepthook


def how_to_mend() -> str:
    """Say what brings the project's packages, to somebody who has run a command without them."""
    venv = ROOT / ".venv"
    if sys.prefix != sys.base_prefix:  # a virtual environment, the project's or another
        return f"python -m pip install -r {_shown(ROOT / 'requirements.txt')}"
    if (venv / "bin" / "activate").is_file():
        return f"source {_shown(venv / 'bin' / 'activate')}"
    return "make train (or make test) sets up .venv; then source .venv/bin/activate"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if Path.cwd() == ROOT else path)


def _hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Tell of a missing package, say nothing after Ctrl-C; everything else keeps its traceback."""
    if issubclass(kind, KeyboardInterrupt):
        return  # Python then ends as SIGINT would have ended it
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    ours = (SOURCE / package).exists() or (SOURCE / f"{package}.py").exists()
    if not package or ours or package in sys.stdlib_module_names:
        _others(kind, error, traceback)
        return
    print(
        f"error: the Python package '{package}' is not installed for {sys.executable}: {how_to_mend()}", file=sys.stderr
    )
    sys.exit(2)


if sys.version_info < (3, 11):  # noqa: UP036 (it may well be run with an older one)
    print(
        f"error: Python 3.11 is needed, {sys.executable} is {sys.version.split()[0]}: {how_to_mend()}", file=sys.stderr
    )
    sys.exit(2)
sys.excepthook = _hook
