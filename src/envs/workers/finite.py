"""Whether the numbers that an environment gives are numbers. Must not import torch."""

from __future__ import annotations

import math

import numpy as np

from envs.workers.failure import NotFinite
from envs.workers.shared_block import SharedBlock, SingleSpec


class FiniteCheck:
    """Looks at the rows of a worker's slots after every round: a microsecond, and more only where that shows something.

    Args:
        block: the rows.
        slots: of this worker.
        spec: names for the message.
    """

    def __init__(self, block: SharedBlock, slots: range, spec: SingleSpec) -> None:
        self._spec = spec
        self._slots = [block.slot(index) for index in slots]
        arrays = (array[slots.start : slots.stop] for array in (block.obs, block.state, block.rewards))
        self._rows = [array.reshape(-1) for array in arrays if array.dtype.kind == "f"]

    def clean(self) -> bool:
        """Whether all rows are numbers for sure; they may be where this is false, if they are very large."""
        return all(math.isfinite(row.dot(row)) for row in self._rows)

    def look(self, i: int, step: int, *, ended: bool) -> None:
        """Look at what was written to the worker's slot ``i`` in ``step`` (0: the reset), info where the episode ended.

        Raises:
            NotFinite: something is not a number.
        """
        slot, agents = self._slots[i], self._spec.agents
        when = f"in step {step}" if step else "after the reset"
        for k, row in enumerate(slot.obs):
            if (entry := _first(row)) is not None:
                raise NotFinite(f"the observation of {_agent(agents, k)} is {_word(row[entry])} {when} (entry {entry})")
        if (entry := _first(slot.rewards)) is not None:
            whose = f"the reward of {_agent(agents, entry)}" if len(slot.rewards) > 1 else "the reward"
            raise NotFinite(f"{whose} is {_word(slot.rewards[entry])} {when}")
        if (entry := _first(slot.state)) is not None:
            raise NotFinite(f"the state is {_word(slot.state[entry])} {when} (entry {entry})")
        if ended and (entry := _first(slot.info)) is not None:
            key = self._spec.info_keys[entry]
            raise NotFinite(f"info[{key!r}] is {_word(slot.info[entry])} at the end of the episode, {when}")


def _first(row: np.ndarray) -> int | None:
    """Return the first entry that is no number."""
    fine = np.isfinite(row)
    return None if fine.all() else int(fine.argmin())


def _word(value: np.float32) -> str:
    return "nan" if np.isnan(value) else f"{value} (infinite, or too large for float32)"


def _agent(names: tuple[str, ...], i: int) -> str:
    return f"agent {names[i] if names else i}"
