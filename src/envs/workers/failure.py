"""Why an episode is lost, as a worker tells its parent. Must not import torch."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from core.errors import UserError


class NotFinite(Exception):
    """An environment gave nan, an infinity or a number beyond float32; the text says what, who and when."""


def missing(error: ModuleNotFoundError) -> str:
    """Return what to do about a module that an environment imports only when it is built or reset."""
    if error.name is None:
        return str(error)
    return f"it needs the Python package '{error.name.partition('.')[0]}', which is not installed: pip install it."


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an episode was lost.

    Attributes:
        reason: completes "the last time ...".
        once: another seed may do better (a number was none).
        hopeless: the user has to mend something, as the environment itself says.
    """

    reason: str
    once: bool = False
    hopeless: bool = False

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return what is to be told of an exception that was just caught."""
        if isinstance(error, NotFinite):
            return cls(reason=str(error), once=True)
        if isinstance(error, UserError):
            return cls(reason=str(error), hopeless=True)
        if isinstance(error, ModuleNotFoundError):
            return cls(reason=missing(error), hopeless=True)
        return cls(reason=f"it raised:\n{traceback.format_exc()}")
