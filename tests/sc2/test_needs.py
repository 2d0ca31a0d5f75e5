"""What is missing or wrong is one message with the line that mends it, before any process starts."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

import envs.adapters.starcraft2_needs as needs
from core.errors import UserError
from envs.adapters.starcraft2 import StarCraft2, StarCraft2Args

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


def installed(monkeypatch, **versions):
    """Some packages are installed in these versions (None: not at all), the others as they are."""
    real = importlib.metadata.version

    def version(name):
        if versions.get(name, "") is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize("version", [None, "3.20.3", "5.29.5", "8.0.0", "60.1"])
def test_a_protobuf_that_does_not_read_the_games_messages(message, monkeypatch, version):
    installed(monkeypatch, protobuf=version, s2clientprotocol=None)
    text = message()
    assert f"need protobuf 6 or 7, and {version or 'none'} is installed" in text
    assert text.endswith(PIP)


@pytest.mark.parametrize("version", ["6.33.5", "7.36.2"])
def test_protobufs_that_do(game, monkeypatch, version):
    installed(monkeypatch, protobuf=version, s2clientprotocol=None)
    assert needs.check_needs("win") == game


@pytest.mark.parametrize(
    ("newer", "told"), [("1.0.2", "is installed beside pys2clientprotocol"), (None, "is installed:")]
)
def test_the_older_form_of_the_messages(message, monkeypatch, newer, told):
    """Uninstalling it takes files of the newer one along, so both go and the newer one comes anew."""
    installed(monkeypatch, s2clientprotocol="5.0.17.98310.0", pys2clientprotocol=newer)
    text = message()
    assert told in text
    assert text.endswith(f"{sys.executable} -m pip uninstall -y s2clientprotocol pys2clientprotocol && {PIP}")


def test_pins_agree():
    """Both files go into one environment; the older form of the game's messages is in neither."""

    def pins(name):
        lines = (needs.ROOT / name).read_text().splitlines()
        return dict(line.split()[0].split("==") for line in lines if "==" in line and not line.startswith("#"))

    first, second = pins("requirements.txt"), pins("requirements-sc2.txt")
    assert "protobuf" not in first
    assert second["protobuf"].split(".")[0] in needs.PROTOBUFS
    assert {name: first[name] for name in first.keys() & second.keys()} == {
        name: second[name] for name in first.keys() & second.keys()
    }
    assert set(needs._MODULES.values()) <= second.keys()
    assert "s2clientprotocol" not in second


def test_messages_are_read_compiled():
    """37 times as quick as the pure Python form of the same protobuf."""
    from google.protobuf.internal import api_implementation
    from s2clientprotocol import sc2api_pb2

    assert api_implementation.Type() == "upb"
    assert type(sc2api_pb2.Response()).__mro__[1].__module__ == "google._upb._message"
