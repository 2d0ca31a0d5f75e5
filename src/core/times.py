"""Times of Sacred's files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def time_of(text: Any) -> datetime | None:
    """A time, in UTC; without a zone it is UTC already, as Sacred writes it. None where it is none."""
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
