"""How observations and states are kept in memory, and what networks read them as."""

from __future__ import annotations

from typing import Literal

import numpy as np

Kind = Literal["floats", "bytes", "image"]
"""floats: float32. bytes: uint8, read as the numbers they are. image: uint8 of bounds 0 and 255, divided by 255."""

DTYPE: dict[Kind, type[np.float32 | np.uint8]] = {"floats": np.float32, "bytes": np.uint8, "image": np.uint8}
UNIT: dict[Kind, int] = {"floats": 1, "bytes": 1, "image": 255}
"""What a network reads as 1: it divides by this."""
