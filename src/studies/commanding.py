"""How commands that play sets of runs begin and end."""

from __future__ import annotations

import sys
from collections.abc import Callable

from core.errors import UserError
from observers.interrupts import Interrupted, interrupts


def status_of(play: Callable[[], list[str]]) -> int:
    """Play, and say what failed; 0, 1 where runs failed, 2 after a user's mistake, the signal's where one came.

    Args:
        play: what the command does; returns messages of runs that failed.
    """
    try:
        with interrupts():
            failures = play()
    except Interrupted as interrupted:
        print("Stopped: the same command goes on from here.", file=sys.stderr)
        return interrupted.exit_status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0
