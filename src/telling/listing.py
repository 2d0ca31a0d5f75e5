"""``--list``: what there is, a line each. Imports nothing heavy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from core.recommended import entries, recommended_names
from core.settings import config_names, config_path
from envs.battle.maps import BattleMap, load_map, map_names
from envs.catalogue import GAMES, SCRIPTS, TEAMS


def listing() -> str:
    """Return all of it."""
    maps = [(name, _sides(load_map(name))) for name in map_names()]
    parts = [
        ("algorithms (--config=)", [(name, _about("algs", name)) for name in config_names("algs")]),
        ("environments (--env-config=)", [(name, _environment(name)) for name in config_names("envs")]),
        (
            "recommended settings (--print-config shows them, recommended=false leaves them out)",
            list(_recommended().items()),
        ),
        ("games of matrix_game (env_args.game=)", list(GAMES.items())),
        ("maps of battle and sc2 (env_args.map_name=)", maps),
        ("scripts (--team <team>=)", [(name, f"{about} ({where})") for name, (about, where) in SCRIPTS.items()]),
    ]
    return "\n\n".join(_block(title, rows) for title, rows in parts)


def _block(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {about}".rstrip() for name, about in rows)])


def _about(kind: str, name: str) -> str:
    """The first line of a settings file, where it is a comment."""
    first = config_path(kind, name).read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return first.lstrip("# ").rstrip(". ") if first.startswith("#") else ""


def _environment(name: str) -> str:
    teams = TEAMS.get(name)
    return _about("envs", name) + (f"; teams: {', '.join(teams)}" if teams else "")


def _recommended() -> dict[str, str]:
    """Where there are any -> of which algorithms."""
    found: dict[str, list[str]] = {}
    for name in recommended_names():
        for one in entries(name):
            found.setdefault(one.place, []).append(one.algorithm)
    return {place: ", ".join(algorithms) for place, algorithms in found.items()}


def _sides(battle: BattleMap) -> str:
    allies, enemies = (_units(battle.type_names(allies=own)) for own in (True, False))
    return f"{allies} against {enemies}, {battle.limit} steps"


def _units(names: Sequence[str]) -> str:
    told = ", ".join(f"{count} {name if count == 1 else _plural(name)}" for name, count in Counter(names).items())
    return told.replace("_", " ")


def _plural(name: str) -> str:
    return "colossi" if name == "colossus" else f"{name}s"
