"""Test trained runs: python src/evaluate.py results/sacred/asae/spread/1 --episodes 1000 --film with key=value."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError

EXAMPLES = """\
examples:
  python src/evaluate.py results/sacred/asae/spread/1 --episodes 1000
  python src/evaluate.py results/sacred/asae/spread/1 --sampled --film with seed=7 replay_episodes=3 replay_format=mp4
  python src/evaluate.py results/models/RUN/200000 with env_args.key=lbforaging:Foraging-10x10-2p-3f-v3
  python src/evaluate.py results/sacred/*/spread/* --out summary.csv --csv episodes.csv
  python src/evaluate.py results/sacred/asae/predator_prey/1 --team prey=fleeing

A run's own settings hold; those after "with" win (another seed, another map of the same sizes). Every result is filed
under results/evaluations.
"""


def _parser() -> argparse.ArgumentParser:
    cli = argparse.ArgumentParser(
        prog="python src/evaluate.py",
        description="Play test episodes of trained runs: means with 95% intervals over episodes, films, tables.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument("runs", nargs="+", metavar="RUN", help="results folder (or one above), models folder, checkpoint")
    cli.add_argument("--episodes", type=int, metavar="N", help="how many (default: the run's test_nepisode)")
    cli.add_argument("--sampled", action="store_true", help="draw actions from the policy instead of the best ones")
    cli.add_argument("--film", action="store_true", help="write a film of greedy episodes too")
    cli.add_argument("--out", metavar="FILE", help="write the results, .json or .csv")
    cli.add_argument("--csv", metavar="FILE", help="write a table of all episodes, .csv")
    cli.add_argument("--team", action="append", default=[], metavar="NAME=PLAYER", help="who plays a team; repeatable")
    cli.add_argument("--config", metavar="ALGORITHM", help="for a checkpoint without settings.pt")
    cli.add_argument("--env-config", metavar="ENVIRONMENT", help="likewise, or to test in another environment")
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 for a user's mistake)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        from core.words import chosen

        given, words = chosen(_parser(), arguments)
        words += [] if given.episodes is None else [f"test_nepisode={given.episodes}"]
        words += ["test_greedy=false"] if given.sampled else []
        words += ["save_replay=true"] if given.film else []
        from training.evaluating import evaluate

        return evaluate(
            given.runs, words, command=shlex.join(["python", "src/evaluate.py", *arguments]), config=given.config,
            env_config=given.env_config, teams=given.team, out=given.out, episodes=given.csv,
        )  # fmt: skip
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first run began
        return 130


if __name__ == "__main__":
    sys.exit(main())
