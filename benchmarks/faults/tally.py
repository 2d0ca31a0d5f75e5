"""What was found, added up, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS = ("fault", "tried", "while a checkpoint was written", "records lost at most", "training repeated at most",
           "resumed, bit for bit", "result")  # fmt: skip


@dataclass
class Tally:
    """What a fault did.

    Attributes:
        tried: how often it was done to something that was going on.
        wanted: how often it was to be done.
        in_save: of those, while a checkpoint was being written.
        records: seconds before the fault of which nothing is on file, at most; None where the clock cannot tell.
        training: seconds between the newest checkpoint and the fault, at most; likewise.
        steps: environment steps since that checkpoint, at most.
        jumps: of a clock.
        finished: runs that were played to their end after it.
        same: ... and are the undisturbed run, bit for bit.
        wrong: checks that failed, in words.
        not_tried: why the fault is impossible here.
    """

    tried: int = 0
    wanted: int = 0
    in_save: int | None = None
    records: float | None = None
    training: float | None = None
    steps: int | None = None
    jumps: int = 0
    finished: int = 0
    same: int = 0
    wrong: list[str] = field(default_factory=list)
    not_tried: str = ""

    def lost(self, *, records: float, training: float, steps: int) -> None:
        """Remember the most that was lost."""
        self.records = max(records, self.records or 0.0)
        self.training = max(training, self.training or 0.0)
        self.steps = max(steps, self.steps or 0)

    def add(self, other: Tally) -> None:
        """Add what another part of the same fault found."""
        for name in ("tried", "wanted", "jumps", "finished", "same"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.in_save is not None:
            self.in_save = (self.in_save or 0) + other.in_save
        if other.records is not None:
            self.lost(records=other.records, training=other.training or 0.0, steps=other.steps or 0)
        self.wrong += other.wrong
        self.not_tried = self.not_tried or other.not_tried

    @property
    def faults(self) -> list[str]:
        """Why this is no success; empty where it is one."""
        if self.not_tried:
            return [f"NOT TRIED: {self.not_tried}"]
        missed = [f"only {self.tried} of {self.wanted} were done"] if self.tried < self.wanted or not self.tried else []
        differ = [f"{self.finished - self.same} of {self.finished} ended differently"] * (self.same != self.finished)
        return [*self.wrong, *missed, *differ]

    def row(self, name: str) -> Sequence[str]:
        """Its line of the table."""
        result = "NOT TRIED" if self.not_tried else "FAILED" if self.faults else "held"
        tried = f"{self.tried} ({self.jumps} jumps)" if self.jumps else str(self.tried)
        saves = "" if self.in_save is None else str(self.in_save)
        records = "" if self.records is None else f"{self.records:.1f} s"
        training = "" if self.training is None else f"{self.training:.1f} s ({self.steps} steps)"
        return name, tried, saves, records, training, f"{self.same} of {self.finished}" * (self.finished > 0), result


def table(found: dict[str, Tally]) -> str:
    """All of it in Markdown."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(tally.row(name) for name, tally in found.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
