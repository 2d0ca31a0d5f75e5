"""All settings of all parts as one page: docs/all_settings.md."""

from __future__ import annotations

import json

from core.settings import CONFIG_DIR, read_yaml
from telling.explaining import Reader, allowed, readers_of_environments, readers_of_runs, shown

HEAD = """\
# All settings

Made by `python src/main.py --all-settings > docs/all_settings.md`. Defaults are the code's and default.yaml's; what a
run has, and from which file: `--print-config`; one setting in every file: `--help-setting lr`; how values are read:
[settings.md](settings.md)."""
PARTS = {
    "every run": "Every run",
    "how a team's learning begins": "How a team's learning begins",
    "controller": "Controllers",
    "learner": "Learners",
    "environment": "Environments",
}
Row = tuple[str, str, str, str]  # setting, what it may be, its default, meaning


def reference() -> str:
    """Return the page, in Markdown: a table per kind of part, a row for each setting and meaning."""
    found: dict[str, list[Reader]] = {part: [] for part in PARTS}
    for one in (*readers_of_runs(), *readers_of_environments()):
        found[one.name if one.name in PARTS else one.name.partition(" ")[0]].append(one)
    lines = [HEAD]
    for part, readers in found.items():
        lines += ["", f"## {PARTS[part]}", "", *_table(readers)]
    return "\n".join(lines)


def _table(readers: list[Reader]) -> list[str]:
    rows: dict[Row, list[str]] = {}
    for one in readers:
        rows.setdefault(_row(one), []).append(one.name.partition(" ")[2])
    every = {one.name for one in readers}
    head = ["setting", "may be", "default", "meaning", "read by"]
    if len(every) == 1:
        return _markdown(head[:-1], [list(row) for row in rows])
    told = {row: "all" if len(names) == len(every) else ", ".join(names) for row, names in rows.items()}
    return _markdown(head, [[*row, told[row]] for row in rows])


def _row(one: Reader) -> Row:
    return f"`{one.key}`", allowed(one.field), _default(one), one.field.description or ""


def _default(one: Reader) -> str:
    given = read_yaml(CONFIG_DIR / "default.yaml")
    if one.key in given:
        return f"`{shown(given[one.key])}`"
    return "" if one.field.is_required() else f"`{json.dumps(one.field.default)}`"


def _markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells]
