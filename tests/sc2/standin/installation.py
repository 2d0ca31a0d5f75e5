"""Lays the stand-in out as an installation of StarCraft II, for SC2PATH to point at.

By hand: ``PYTHONPATH=src:tests/sc2/standin .venv/bin/python tests/sc2/standin/installation.py /tmp/StandIn``
"""

import shlex
import sys
from pathlib import Path

from envs.battle.maps import map_names

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[2] / "src"
BUILD = 75689  # of game version 4.10


def install(folder, *, python=sys.executable, build=BUILD):
    """Make ``folder``/Versions/Base75689/SC2_x64 and ``folder``/Maps/SMAC_Maps/*.SC2Map; returns ``folder``."""
    folder = Path(folder)
    binary = folder / "Versions" / f"Base{build:05d}" / "SC2_x64"
    binary.parent.mkdir(parents=True, exist_ok=True)
    paths = shlex.quote(f"{SOURCE}:{HERE}")
    # exec: the process that PySC2 started is the game, so that a signal reaches it
    binary.write_text(
        "#!/bin/sh\n# A stand-in for tests, not StarCraft II.\n"
        "export OMP_NUM_THREADS=1\n"
        f'PYTHONPATH={paths} exec {shlex.quote(str(python))} {shlex.quote(str(HERE / "server.py"))} "$@"\n'
    )
    binary.chmod(0o755)
    maps = folder / "Maps" / "SMAC_Maps"
    maps.mkdir(parents=True, exist_ok=True)
    for name in [*map_names(), "32x32_flat"]:
        (maps / f"{name}.SC2Map").write_bytes(b"stand-in map, not one of StarCraft II's: " + name.encode())
    return folder


if __name__ == "__main__":
    print(install(sys.argv[1]))
