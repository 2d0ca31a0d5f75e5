#!/usr/bin/env bash
# StarCraft II is not installed by this version.
cat >&2 <<'MESSAGE'
The installer of StarCraft II comes with a later version. --env-config=sc2 will need the game for Linux (4.10) with
Blizzard's AI and machine learning licence accepted, the SMAC maps in its Maps folder, SC2PATH pointing to the game
(3rdparty/StarCraftII by default), and the package of github.com/oxwhirl/smac (PyPI's "smac" is another package).
MESSAGE
exit 2
