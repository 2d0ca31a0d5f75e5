"""What a user should know of an environment, said once."""

from __future__ import annotations

import sys

SAID: set[str] = set()
"""Notices so far: the environments of tests would repeat those of training."""


def say(name: str, notice: str) -> None:
    """Print a notice about an environment on standard error, unless it was said before."""
    text = f"Environment {name}: {notice}"
    if text not in SAID:
        SAID.add(text)
        print(text, file=sys.stderr)
