"""What ``--list`` says of environments, without importing them: tests hold it to what they are."""

from __future__ import annotations

TEAMS: dict[str, tuple[str, ...]] = {
    "predator_prey": ("predator", "prey"),
    "simple_tag": ("predator", "prey"),
}
"""Environment -> its teams; all others have one, "agents"."""

GAMES: dict[str, str] = {
    "climbing": "3 x 3 actions; 11 at best, beside penalties of -30",
    "penalty": "3 x 3 actions; 10 in two corners, the penalty k in the others",
    "qtran": "3 x 3 actions; 8 at best, beside -12 (table 1 of QTRAN)",
    "two_step": "QMIX's game: the first action chooses the second game; 8 at best",
}
"""Games of ``matrix_game``: ``env_args.game`` -> what it is."""

SCRIPTS: dict[str, tuple[str, str]] = {
    "random": ("any available action", "every team"),
    "noop": ("nothing: the first available action", "every team"),
    "greedy": ("goes for the nearest living prey", "predator_prey, simple_tag: predator"),
    "fleeing": ("flees from the nearest predator", "predator_prey, simple_tag: prey"),
    "nearest": ("goes to the nearest landmark in sight", "spread, spread_paper: agents"),
    "assigned": ("shares the landmarks with the others", "spread, spread_paper: agents"),
    "attack_nearest": ("attacks the nearest enemy until it is dead", "battle, sc2: agents"),
    "focus_fire": ("attacks the weakest together, steps back while it reloads", "battle, sc2: agents"),
}
"""Scripted players (``--team <team>=<script>``): name -> what it does, which teams of which environments it plays."""
