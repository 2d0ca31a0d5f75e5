"""What StarCraft II needs on this machine, checked from files alone before any process starts.

Nothing of the game's packages is imported here, so a missing one is told before a worker process starts.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from core.errors import UserError
from core.registry import did_you_mean

ROOT = Path(__file__).resolve().parents[3]
BUNDLED = ROOT / "3rdparty" / "StarCraftII"
V2_MAP = "32x32_flat"
V2_MAPS = "https://github.com/oxwhirl/smacv2/releases/download/maps/SMAC_Maps.zip"
PROTOBUFS = ("6", "7")
"""Major versions that read pys2clientprotocol 1.0.2."""

_INSTALLER = ROOT / "install_sc2.sh"
_PIP = f"{sys.executable} -m pip"
_INSTALL = f"{_PIP} install --no-deps -r {ROOT / 'requirements-sc2.txt'}"
_MESSAGES, _OLD_MESSAGES = "pys2clientprotocol", "s2clientprotocol"  # on PyPI; both are the module s2clientprotocol
_MODULES = {
    "pysc2": "pysc2",
    "s2clientprotocol": _MESSAGES,
    "websocket": "websocket-client",
    "portpicker": "portpicker",
    "absl": "absl-py",
}
"""Module -> name on PyPI, of what SMAC and PySC2 import."""


def check_needs(map_name: str) -> Path:
    """Check that the game, the map and the packages of SMAC are there; return the game's folder.

    Raises:
        UserError: something is missing or wrong; says what mends it.
    """
    folder = _find_game()
    _check_map(folder, map_name)
    _check_smac()
    _check_packages()
    _check_messages()
    return folder


def check_needs_of_v2() -> Path:
    """The same for SMACv2, whose teams all fight on one map."""
    folder = _find_game()
    place = folder / "Maps" / "SMAC_Maps"
    if not (place / f"{V2_MAP}.SC2Map").is_file():
        raise UserError(
            f"SMACv2's map is missing: there is no {place / V2_MAP}.SC2Map. It is in {V2_MAPS}, and in the folder "
            "smacv2/env/starcraft2/maps/SMAC_Maps of SMACv2's repository: put it there."
        )
    if importlib.util.find_spec("smacv2") is None:
        raise UserError(
            "The Python package SMACv2 (github.com/oxwhirl/smacv2) is not installed. "
            f"Mend it: {_PIP} install --no-deps -r {ROOT / 'requirements-sc2v2.txt'}"
        )
    _check_packages()
    _check_messages()
    return folder


def _find_game() -> Path:
    given = os.environ.get("SC2PATH")
    places = [Path(given).expanduser()] if given else [BUNDLED, Path("~/StarCraftII").expanduser()]
    for place in places:
        if any(place.glob("Versions/Base*/")):
            _check_binary(place)
            return place.resolve()
    told = f"SC2PATH={given} has" if given else f"{' and '.join(map(str, places))} have"
    raise UserError(
        f"StarCraft II is not there: {told} no Versions/Base* folder. "
        f"Install it with {_INSTALLER}, or set SC2PATH to the folder that it is in."
    )


def _check_binary(place: Path) -> None:
    if not sys.platform.startswith("linux"):
        return
    newest = max(place.glob("Versions/Base*/"), key=lambda folder: (len(folder.name), folder.name))  # PySC2 takes it
    binary = newest / "SC2_x64"
    if not binary.is_file():
        raise UserError(f"StarCraft II is incomplete: there is no {binary}. Mend it with {_INSTALLER}.")
    if not os.access(binary, os.X_OK):
        raise UserError(f"StarCraft II cannot be started: {binary} is not executable. Mend it: chmod +x {binary}")


def _check_map(place: Path, map_name: str) -> None:
    folder = place / "Maps" / "SMAC_Maps"
    known = sorted(path.stem for path in folder.glob("*.SC2Map"))
    if not known:
        raise UserError(f"SMAC's maps are missing: there is none in {folder}. Install them with {_INSTALLER}.")
    if map_name not in known:
        raise UserError(
            f"Unknown map env_args.map_name={map_name}.{did_you_mean(map_name, known)} In {folder}: {', '.join(known)}."
        )


def _check_smac() -> None:
    found = importlib.util.find_spec("smac")
    if found is None:
        raise UserError(f"The Python package SMAC (github.com/oxwhirl/smac) is not installed. Mend it: {_INSTALL}")
    places = [Path(place) for place in found.submodule_search_locations or ()]
    if not any((place / "env" / "starcraft2" / "starcraft2.py").is_file() for place in places):
        raise UserError(
            f"The package 'smac' that is installed ({found.origin or places}) is another one: PyPI's smac is SMAC3, "
            f"which is unrelated. Mend it: {_PIP} uninstall -y smac && {_INSTALL}"
        )


def _check_packages() -> None:
    missing = [package for module, package in _MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"SMAC needs Python packages that are missing: {', '.join(missing)}. Mend it: {_INSTALL}")


def _check_messages() -> None:
    """Check the form of the game's messages: the older one is refused by the protobuf of today, or spoils the other."""
    if _version(_OLD_MESSAGES):
        beside = f" beside {_MESSAGES}, into the same folder" if _version(_MESSAGES) else ""
        raise UserError(
            f"The package {_OLD_MESSAGES} is installed{beside}: it is the older form of StarCraft II's messages, which "
            f"takes the place of {_MESSAGES}. Mend it: {_PIP} uninstall -y {_OLD_MESSAGES} {_MESSAGES} && {_INSTALL}"
        )
    protobuf = _version("protobuf")
    if protobuf.partition(".")[0] not in PROTOBUFS:
        raise UserError(
            f"StarCraft II's messages need protobuf {' or '.join(PROTOBUFS)}, and {protobuf or 'none'} is installed. "
            f"Mend it: {_INSTALL}"
        )


def _version(package: str) -> str:
    """Return the version of an installed package, or an empty text."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
