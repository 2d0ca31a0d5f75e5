"""Many runs in one command: python src/sweep.py --config asae mappo --env-config spread --seeds 5 with t_max=500000."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError

if TYPE_CHECKING:
    from studies.planning import Plan
    from studies.run_set import RunSet
    from studies.runs import Run

AHEAD = 4  # times as many runs are given to Ray as it has room for
ABOUT = """\
examples:
  python src/sweep.py --config asae mappo qmix --env-config battle --grid env_args.map_name=3m,8m --seeds 5 with t_max=500000
  python src/sweep.py --config mappo --env-config spread --grid lr=0.001,0.0005 epochs=4,10 --dry-run
  python src/sweep.py ... --export-commands runs.txt   # then: sbatch --array=1-N --wrap 'sed -n "${SLURM_ARRAY_TASK_ID}p" runs.txt | bash'

Every setting of every run is checked before the first one starts. A run that has completed with the same settings is
not repeated, one that was interrupted is continued, one that dies is begun again from its checkpoint. Ctrl-C stops and
saves; the same command goes on.
"""  # noqa: E501


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="python src/sweep.py",
        description="Run algorithms x environments x settings x seeds, several at once.",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = cli.add_argument
    add("--config", nargs="+", required=True, metavar="ALGORITHM", help="files of src/config/algs, or paths")
    add("--env-config", nargs="+", required=True, metavar="ENVIRONMENT", help="files of src/config/envs, or paths")
    told = "settings and their values; several make every combination"
    add("--grid", nargs="+", action="extend", default=[], metavar="KEY=A,B", help=told)
    add("--seeds", default="1", metavar="N", help="so many, 1 to N; or which: 3,7,9 or 11-15 (default: 1)")
    add("--team", action="append", default=[], metavar="NAME=PLAYER", help="who plays a team; repeatable")
    add("--results", type=Path, default=Path("results/sweep"), metavar="DIR", help="folder (default: %(default)s)")
    add("--also", nargs="+", type=Path, default=[], metavar="DIR", help="runs that completed there count")
    add("--jobs", type=int, metavar="N", help="runs at once (default: one for each core)")
    told = (
        "processes of this machine, or tasks of a Ray cluster; with an address ray is meant, without one local: on one "
    )
    told += "machine Ray adds nothing but the time that it takes to start (ray there: a cluster of this machine alone)"
    add("--placer", choices=("local", "ray"), help=told)
    add("--address", metavar="HOST:PORT", help="of a Ray cluster, or auto; this machine is a node of it (RAY_ADDRESS)")
    add("--cpus", type=float, metavar="N", help="with Ray: cores of each run (default: 1)")
    add("--gpus", type=float, metavar="X", help="with Ray: GPUs of each run, also parts of one (default: 0)")
    add("--retries", type=int, default=2, metavar="N", help="of a run that dies (default: %(default)s)")
    add("--search", choices=("optuna",), help="for settings, by TPE with median pruning, in place of --grid")
    told = "with --search: key=low..high, key=low..high:log or key=a,b,c"
    add("--space", nargs="+", action="extend", default=[], metavar="KEY=RANGE", help=told)
    add("--trials", type=int, default=20, metavar="N", help="with --search (default: %(default)s)")
    told = "with --search: whose last value counts, of several seeds the mean (default: %(default)s)"
    add("--metric", default="test_return_mean", help=told)
    add("--minimize", action="store_true", help="with --search: the smallest value is wanted")
    add("--dry-run", action="store_true", help="show the plan and how long it will take, run nothing")
    told = "write the command lines of what is not done, one a line (-: print them), run nothing"
    add("--export-commands", metavar="FILE", help=told)
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0, 1 where runs failed, 2 after a user's mistake."""
    from core.words import parted

    arguments, words = parted(list(sys.argv[1:] if argv is None else argv))
    given = parser().parse_args(arguments)
    from studies.commanding import status_of

    return status_of(lambda: _sweep(given, words))


def _check(given: argparse.Namespace) -> None:
    if given.placer is None:
        given.placer = "ray" if given.address or os.environ.get("RAY_ADDRESS") else "local"
    if given.placer == "ray":
        given.address = given.address or os.environ.get("RAY_ADDRESS") or None
        given.cpus, given.gpus = (default if n is None else n for n, default in ((given.cpus, 1.0), (given.gpus, 0.0)))
    for option, least in (("jobs", 1), ("retries", 0), ("trials", 1), ("cpus", 0.01), ("gpus", 0)):
        value = getattr(given, option)
        if value is not None and not value >= least:
            raise UserError(f"--{option} must be {least} or more, got {value}.")
    if given.placer == "local" and (given.address or given.cpus or given.gpus):
        raise UserError("--address, --cpus and --gpus are for Ray: give --placer ray, or leave them out.")
    if bool(given.search) != bool(given.space):
        raise UserError("--search optuna and --space key=low..high belong together.")
    if given.search and (
        given.grid or given.dry_run or given.export_commands or len(given.config + given.env_config) > 2
    ):
        raise UserError(
            "--search is for one algorithm in one environment, without --grid, --dry-run and --export-commands."
        )


def _plan(given: argparse.Namespace, words: Sequence[str]) -> Plan:
    from studies.planning import Plan, read_grid, read_seeds

    return Plan(
        configs=tuple(dict.fromkeys(given.config)),
        envs=tuple(dict.fromkeys(given.env_config)),
        grid=read_grid(given.grid),
        seeds=read_seeds(given.seeds),
        teams=tuple(given.team),
        words=tuple(words),
    )


def _sweep(given: argparse.Namespace, words: Sequence[str]) -> list[str]:
    """Do what was asked for; messages of what failed."""
    _check(given)
    from observers.interrupts import announce
    from studies.run_set import RunSet

    announce(lambda held: "the runs save and end")

    plan = _plan(given, words)
    every = plan.runs()
    runs = RunSet(given.results, also=given.also, retries=given.retries)
    if not given.dry_run and given.export_commands is None:
        with runs.locked():
            return _play(given, runs, plan)
    todo = _checked(runs, every)
    if given.export_commands is not None:
        _export(given.export_commands, [runs.command(run) for run in todo])
    else:
        _show(plan, every, todo, runs, _jobs(given))
    return []


def _checked(runs: RunSet, every: Sequence[Run]) -> list[Run]:
    """Check every run, then return those that have not completed."""
    from studies.planning import check

    check(every)
    todo = runs.todo(every)
    check(todo, fit=True)
    return todo


def _jobs(given: argparse.Namespace) -> int:
    return given.jobs or len(os.sched_getaffinity(0))


def _play(given: argparse.Namespace, runs: RunSet, plan: Plan) -> list[str]:
    """Check, connect, run."""
    from studies.board import Board
    from studies.watching import Watch

    every, space = plan.runs(), _space(given)
    if given.placer == "ray":
        from core.ray_cluster import check_reachable
        from studies.on_ray import asked

        check_reachable(given.address, option=asked(given.address))
    with contextlib.ExitStack() as stack:
        todo = _checked(runs, every) if not given.search else []
        room, jobs = _placed(given, runs, stack) if todo or given.search else (1, 1)
        watch = Watch(runs.results, {run: run.options().experiment.t_max for run in todo}, keep=given.metric)
        board = Board(watch, jobs=room)
        runs.report(say=board.say, tell=watch.hear)
        if not given.search:
            with board.shown():
                failures = runs.play(every, jobs=jobs)
        else:
            from studies.searching import Search

            how = {"metric": given.metric, "minimize": given.minimize, "watch": watch, "say": board.say}
            search = Search(runs, plan, space, **how)
            with board.shown():
                failures = search.play(given.trials, jobs=room)
            for line in search.best():
                board.say(line)
        board.say(f"Results: {given.results}")
    return failures


def _space(given: argparse.Namespace) -> dict[str, Any]:
    if not given.search:
        return {}
    from studies.searching import check_installed, read_space

    check_installed()
    return read_space(given.space)


def _placed(given: argparse.Namespace, runs: RunSet, stack: contextlib.ExitStack) -> tuple[int, int]:
    """Choose where runs are played; how many there is room for, and how many are given to it at once."""
    jobs = _jobs(given)
    if given.placer == "local":
        return jobs, jobs
    from studies.on_ray import on_ray

    needs = {"cpus": given.cpus, "gpus": given.gpus}
    placer = stack.enter_context(on_ray(runs.results, address=given.address, cores=jobs, **needs))
    runs.place(placer)
    room = min(given.jobs or placer.slots, placer.slots)
    return room, given.jobs or AHEAD * room  # nodes that come find runs that wait


def _export(path: str, commands: Sequence[Sequence[str]]) -> None:
    text = "".join(f"cd {shlex.quote(os.getcwd())} && {shlex.join(command)}\n" for command in commands)
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise UserError(f"--export-commands: {path} cannot be written: {error.strerror}.") from error
    print(f"{len(commands)} commands: {path}")


def _show(plan: Plan, every: Sequence[Run], todo: Sequence[Run], runs: RunSet, jobs: int) -> None:
    """Print the plan and how long it will take."""
    from studies.estimating import estimate

    print(f"{plan}: {len(every)} runs, {len(every) - len(todo)} of them completed")
    for line in estimate(todo, runs, jobs=jobs):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
