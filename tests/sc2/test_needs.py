"""What is missing or wrong is one message with the line that mends it, before any process starts."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

import envs.starcraft2_needs as needs
from core.errors import UserError
from envs.starcraft2 import StarCraft2, StarCraft2Args

PIP = f"{sys.executable} -m pip install --no-deps -r {needs.ROOT / 'requirements-sc2.txt'}"
INSTALLER = str(needs.ROOT / "install_sc2.sh")


@pytest.fixture
def message(scripted, monkeypatch):
    """What building the environment says; it must not start a process."""

    def started(*_arguments, **_more):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", started)

    def build(map_name="win"):
        with pytest.raises(UserError) as caught:
            StarCraft2(2, StarCraft2Args(map_name=map_name))
        text = str(caught.value)
        assert "\n" not in text
        return text

    return build


@pytest.fixture
def game(tmp_path, scripted):
    return tmp_path / "game"


def hide(monkeypatch, module):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else real(name, *rest))


def test_the_mending_lines_name_files_that_are_there():
    assert (needs.ROOT / "requirements-sc2.txt").is_file()
    assert (needs.ROOT / "install_sc2.sh").is_file()


def test_no_game(message, tmp_path, monkeypatch):
    monkeypatch.delenv("SC2PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(needs, "BUNDLED", tmp_path / "3rdparty")
    text = message()
    assert f"{tmp_path / '3rdparty'} and {tmp_path / 'StarCraftII'} have no Versions/Base* folder" in text
    assert INSTALLER in text
    assert "SC2PATH" in text


def test_a_wrong_sc2path_is_named_and_not_replaced(message, tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(needs, "BUNDLED", tmp_path / "game")
    text = message()
    assert f"SC2PATH={tmp_path / 'elsewhere'} has no" in text
    assert INSTALLER in text


@pytest.mark.parametrize("place", ["bundled", "home"])
def test_without_sc2path_the_usual_places_are_searched(game, tmp_path, monkeypatch, place):
    monkeypatch.delenv("SC2PATH")
    monkeypatch.setattr(needs, "BUNDLED", game if place == "bundled" else tmp_path / "nothing")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "StarCraftII").symlink_to(game)
    assert needs.check_needs("win") == game


def test_an_incomplete_game(message, game):
    (game / "Versions" / "Base100000").mkdir()
    text = message()
    assert f"there is no {game / 'Versions' / 'Base100000' / 'SC2_x64'}" in text, "PySC2 starts the newest"
    assert INSTALLER in text


def test_a_game_that_is_not_executable(message, game):
    binary = game / "Versions" / "Base75689" / "SC2_x64"
    binary.chmod(0o644)
    assert message().endswith(f"chmod +x {binary}")


def test_no_maps(message, game):
    for path in (game / "Maps" / "SMAC_Maps").iterdir():
        path.unlink()
    text = message()
    assert str(game / "Maps" / "SMAC_Maps") in text
    assert INSTALLER in text


def test_an_unknown_map(message):
    text = message("defaet")
    assert "env_args.map_name=defaet" in text
    assert "Did you mean 'defeat'?" in text
    assert "draw, fragile, late, long" in text


def test_no_smac(message, monkeypatch):
    hide(monkeypatch, "smac")
    text = message()
    assert "github.com/oxwhirl/smac" in text
    assert text.endswith(PIP)


def test_the_other_smac(message, tmp_path, monkeypatch):
    """PyPI's smac is SMAC3, an optimiser of hyperparameters."""
    package = tmp_path / "site" / "smac"
    (package / "facade").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "smac", raising=False)  # the real one, where another test has imported it
    text = message()
    assert str(package / "__init__.py") in text
    assert "SMAC3" in text
    assert text.endswith(f"{sys.executable} -m pip uninstall -y smac && {PIP}")


@pytest.mark.parametrize("module", ["pysc2", "s2clientprotocol", "websocket", "portpicker", "absl"])
def test_a_missing_package(message, monkeypatch, module):
    hide(monkeypatch, module)
    text = message()
    assert f"missing: {needs._MODULES[module]}. " in text
    assert text.endswith(PIP)


def test_no_protobuf(message, monkeypatch):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    text = message()
    assert "missing: protobuf" in text
    assert text.endswith(PIP)


def test_a_protobuf_that_refuses_the_games_messages(message, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "6.33.1")
    monkeypatch.setenv(needs.PROTOBUF_SWITCH, "upb")
    text = message()
    assert "protobuf 6.33.1 with PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=upb" in text
    assert text.endswith("export PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python")


@pytest.mark.parametrize(("version", "switch"), [("3.20.3", "cpp"), ("6.33.1", "python"), ("7.36.2", None)])
def test_protobufs_that_do(game, monkeypatch, version, switch):
    """Without the switch the workers set it themselves."""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    monkeypatch.delenv(needs.PROTOBUF_SWITCH, raising=False)
    if switch:
        monkeypatch.setenv(needs.PROTOBUF_SWITCH, switch)
    assert needs.check_needs("win") == game


def test_pins_agree():
    """Both files go into one environment."""

    def pins(name):
        lines = (needs.ROOT / name).read_text().splitlines()
        return dict(line.split()[0].split("==") for line in lines if "==" in line and not line.startswith("#"))

    first, second = pins("requirements.txt"), pins("requirements-sc2.txt")
    assert first["protobuf"] == second["protobuf"] == "3.20.3"
    assert {name: first[name] for name in first.keys() & second.keys()} == {
        name: second[name] for name in first.keys() & second.keys()
    }
    assert set(needs._MODULES.values()) <= second.keys() | {"websocket-client"}
