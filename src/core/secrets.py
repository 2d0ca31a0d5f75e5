"""Passwords stay out of records and messages."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(\w+://[^:@/\s]*:)[^@\s]+(?=@)")


def hidden(text: str) -> str:
    """Return a text (an address, a command line) with ``***`` in place of the password of every address in it."""
    return _PASSWORD.sub(r"\1***", text)
