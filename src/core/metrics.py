"""What learners tell of an update; most of it is computed where it is told alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Later:
    """A metric that is computed when it is asked for (``float(metric)``), once and without gradient.

    It must be what it would have been when it was made, and draw no random numbers. So it is of tensors that nobody
    changes in place; of networks only where it is made when they have moved, since they stay as they then are until
    their learner's next update. Who keeps it longer reads later networks.

    Args:
        function: of the arguments that follow: one number, or what others are made of.
        values: tensors, of which it keeps no graph; others that come later; anything else.
    """

    __slots__ = ("_function", "_of", "_value")

    def __init__(self, function: Callable[..., Any], *values: Any) -> None:
        self._function, self._value = function, None
        self._of = [x.detach() if isinstance(x, Tensor) and x.requires_grad else x for x in values]

    def __call__(self) -> Any:
        """Compute it."""
        if self._value is None:
            with torch.no_grad():
                self._value = self._function(*map(now, self._of))
            self._of = []
        return self._value

    def __float__(self) -> float:
        """Return the number; waits for the device."""
        return float(self())


Metrics = dict[str, float | Tensor | Later]
"""Name -> value. Learners leave scalars as tensors; the sink makes numbers of those that it writes."""


def now(metric: Any) -> Any:
    """What comes later, computed; anything else as it is."""
    return metric() if isinstance(metric, Later) else metric
