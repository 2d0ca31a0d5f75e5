"""The stand-in game as an installation, and where SMAC itself is."""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.extend([str(HERE), str(HERE / "standin")])


def is_there(package):
    """SMAC and SMACv2 cannot be had from PyPI; a checkout on PYTHONPATH does."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else ()
    return any((Path(place) / "env" / "starcraft2" / "starcraft2.py").is_file() for place in places or ())


def pytest_collection_modifyitems(items):
    for package in ("smac", "smacv2"):
        if is_there(package):
            continue
        reason = f"{package} is not installed (put a checkout of github.com/oxwhirl/{package} on PYTHONPATH)"
        for item in items:
            if item.get_closest_marker(package):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    """Folder of the stand-in, for SC2PATH; its simulator is compiled."""
    from game import Game
    from installation import install

    Game("3m", 0).advance(1)
    return install(tmp_path_factory.mktemp("StarCraftII"))


@pytest.fixture
def standin(installation, monkeypatch):
    """The stand-in is the installed game."""
    monkeypatch.setenv("SC2PATH", str(installation))
    return installation


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """The scripted package is the installed SMAC, with maps of its own; returns its log as a function."""
    import json

    game = tmp_path / "game"
    binary = game / "Versions" / "Base75689" / "SC2_x64"
    binary.parent.mkdir(parents=True)
    binary.touch(mode=0o755)
    for name in ("win", "defeat", "draw", "late", "long", "fragile", "broken", "nowhere", "3m", "2m_vs_1z"):
        path = game / "Maps" / "SMAC_Maps" / f"{name}.SC2Map"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv("SC2PATH", str(game))
    monkeypatch.setenv("SCRIPTED_LOG", str(log))
    monkeypatch.syspath_prepend(str(HERE / "scripted"))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]
