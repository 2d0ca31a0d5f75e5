"""Two runs that make their folders in one place at the same microsecond."""

from __future__ import annotations

from faults import checking
from faults.playing import BEAT, KINDS, Ground, Playing
from faults.tally import Tally

KIND = "game"


def play(ground: Ground, number: int) -> Tally:
    """One pair, in a folder of results of its own."""
    tally, reference = Tally(wanted=1), ground.reference(KIND)
    results = ground.place(f"pair {number + 1}")
    together = results.parent / "together"
    env = {**BEAT, "TORTURE_MEET": f"{together},2"}
    command = KINDS[KIND].command(results)
    with Playing(command, results, env) as one, Playing(command, results, env, said=results.parent / "other") as other:
        for run in (one, other):
            if (status := run.wait()) != 0:
                tally.wrong.append(f"{results}: exit status {status}: {run.errors[-500:]}")
    tally.tried = int(together.exists() and together.stat().st_size >= 2)
    ended = [folder for own in checking.completed(results).values() for folder in own]
    if len(ended) != 2:
        tally.wrong.append(f"{results}: {len(ended)} runs have completed, not 2")
    tally.wrong += checking.unreadable(results)
    for folder in ended:
        wrong = checking.unlike(folder, reference)
        tally.finished += 1
        tally.same += not wrong
        tally.wrong += wrong
    return tally
