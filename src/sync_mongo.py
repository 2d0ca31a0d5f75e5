"""Copy runs into MongoDB: python src/sync_mongo.py results --url mongodb://127.0.0.1:27017 --db sacred.

Omniboard and everything else that reads Sacred's layout shows them there. Run it again whenever there is something new,
also while runs go on: nothing is written twice, and what is missing is added.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError, warn

FIND = 3.0  # seconds in which a server must be found
TRIES = 3  # for each run: another process may be copying it


def sync(sources: Sequence[Path], url: str, database: str, *, again: bool = False) -> Counter[str]:
    """Bring the copies of all runs at or below ``sources`` up to date.

    Args:
        sources: folders of runs, or above runs.
        url: address of the server.
        database: name of the database.
        again: compare runs whose files have not changed since, too.

    Returns:
        numbers of runs that were "new", "brought up to date", "unchanged" and "left out", and of "points" added.

    Raises:
        UserError: there are no runs, or the server cannot be reached or refuses.
    """
    from pymongo.errors import InvalidName, PyMongoError

    from analysis.runs import no_runs, run_folders
    from mirrors.follower import Timeouts
    from mirrors.store import Store, check_url, reason, server_of

    check_url(url)
    folders = run_folders(sources, having=("run.json", "metrics.json", "metrics.jsonl"))
    if not folders:
        raise no_runs(sources)
    store = Store(url, database, Timeouts(find=FIND, answer=30.0))
    counts: Counter[str] = Counter()
    try:
        store.prepare()
        for folder in folders:
            counts.update(_copied(store, folder, again))
    except InvalidName as error:
        raise UserError(f"--db {database}: {error}. Give another name.") from error
    except PyMongoError as error:
        raise UserError(f"{server_of(url)}: {reason(error)}. Is the server running, and is it its address?") from error
    finally:
        store.close()
    return counts


def _copied(store, folder: Path, again: bool) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """What became of one run; one that is damaged is named, and the rest is copied."""
    from pymongo.errors import PyMongoError

    from mirrors.follower import CopyFailed
    from mirrors.mongo import MongoCopy

    copy = MongoCopy(store, folder, again=again)
    for attempt in range(TRIES):
        try:
            changed = copy.sync()
            break
        except (CopyFailed, OSError) as error:
            if isinstance(error.__cause__, PyMongoError) and attempt == TRIES - 1:
                raise error.__cause__ from None
            if attempt == TRIES - 1:
                warn(f"{folder} is left out: {error}")
                return {"left out": 1}
    return {"new" if copy.new else "brought up to date" if changed else "unchanged": 1, "points": copy.added}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0, 1 where a run was left out, 2 after a user's mistake."""
    cli = argparse.ArgumentParser(
        prog="python src/sync_mongo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("sources", nargs="+", type=Path, metavar="RESULTS", help="folders of runs, or above runs")
    cli.add_argument("--url", default="mongodb://127.0.0.1:27017", help="the server (default: %(default)s); with "
                     "mongodb://user@host the password is that of the environment variable MONGO_PASSWORD")  # fmt: skip
    cli.add_argument("--db", default="sacred", help="the database (default: %(default)s)")
    cli.add_argument("--again", action="store_true", help="compare runs whose files have not changed since, too")
    given = cli.parse_args(argv)
    try:
        counts = sync(given.sources, given.url, given.db, again=given.again)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    points = counts.pop("points", 0)
    told = ", ".join(f"{number:,} {what}" for what, number in counts.items())
    print(f"{counts.total():,} runs: {told}; {points:,} points added")
    return 1 if counts["left out"] else 0


if __name__ == "__main__":
    sys.exit(main())
