"""The one exception for a user's mistake, and how several are told at once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


class UserError(Exception):
    """Something the user can mend: a wrong key, a missing package, an unreadable file.

    ``main.py`` prints the message without a traceback and ends with exit status 2. The message says
    what was wrong, what was given and how to mend it. Bugs raise anything else and keep their traceback.
    """


def warn(text: str) -> None:
    """Warn on stderr, also in a quiet run; ``text`` gets a full stop."""
    print(f"warning: {text}.", file=sys.stderr)


class Faults:
    """Several mistakes of a user, told at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, message: str) -> None:
        """Remember one."""
        self._found += [] if message in self._found else [message]

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Remember the UserError that the block raises, if any."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    def end(self) -> None:
        """Raise all that was found, if anything was.

        Raises:
            UserError: one line each.
        """
        if self._found:
            raise UserError("\n".join(self._found))
