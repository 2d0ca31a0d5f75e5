"""Train or test: python src/main.py --config=ALGORITHM --env-config=ENVIRONMENT with key=value env_args.key=value."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError
from core.settings import config_names

EXAMPLES = """\
examples:
  python src/main.py --config=asae --env-config=spread with seed=1
  python src/main.py --config=qmix --env-config=spread with env_args.n_agents=4 t_max=500000 lr=1e-3
  python src/main.py --config=coma --env-config=pettingzoo with env_args.key=mpe2.simple_spread_v3
  python src/main.py --config=asae --env-config=spread --print-config
  python src/main.py --config=asae --env-config=predator_prey --team preys=coma   # or random, fleeing, checkpoint:PATH
  python src/main.py with resume=results/sacred/asae/spread/1
  python src/main.py --out table.csv with checkpoint_path=results/sacred/asae/spread/1 evaluate=True

Swap the word after --config= to compare algorithms under the same runner, logging and statistics;
draw their curves with: python src/plot.py results --metric test_return_mean --out curves.png
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="python src/main.py",
        description="Train or test cooperative multi-agent reinforcement learning algorithms.",
        epilog=f"algorithms: {', '.join(config_names('algs'))}\nenvironments: {', '.join(config_names('envs'))}\n\n"
        + EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument("--config", metavar="ALGORITHM", help="a file of src/config/algs, without .yaml")
    cli.add_argument("--env-config", metavar="ENVIRONMENT", help="a file of src/config/envs, without .yaml")
    cli.add_argument("--team", action="append", default=[], metavar="NAME=PLAYER", help="who plays a team; repeatable")
    cli.add_argument("--list", action="store_true", help="print the algorithms and environments, then stop")
    cli.add_argument("--print-config", action="store_true", help="print all settings and where they came from, stop")
    cli.add_argument("--env-info", action="store_true", help="print the environment's sizes as JSON, then stop")
    cli.add_argument("--out", metavar="FILE", help="with evaluate=True: write the results, .json or .csv")
    cli.add_argument("words", nargs="*", metavar="with key=value", help="settings that win over all files")
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 for a user's mistake)."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = parser().parse_intermixed_args(given)
    words = args.words[1:] if args.words[:1] == ["with"] else args.words
    try:
        if args.list:
            print(f"algorithms (--config):       {', '.join(config_names('algs'))}")
            print(f"environments (--env-config): {', '.join(config_names('envs'))}")
            return 0
        import session
        from options import resolve

        if args.env_info:
            print(json.dumps(session.env_info(resolve(args.config or "iql", args.env_config, words)), indent=2))
            return 0
        options = resolve(args.config, args.env_config, words, args.team)
        if args.print_config:
            print(options.table())
            return 0
        return session.run(options, command=shlex.join(["python", "src/main.py", *given]), out=args.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the run began
        return 130


if __name__ == "__main__":
    sys.exit(main())
