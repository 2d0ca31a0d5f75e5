"""What may stand on the command line of main.py, and reading it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from core.settings import config_names
from core.words import WITH, arranged, check_options

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


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="python src/main.py",
        description="Train or test cooperative multi-agent reinforcement learning algorithms.",
        epilog=f"algorithms: {', '.join(config_names('algs'))}\nenvironments: {', '.join(config_names('envs'))}\n\n"
        + EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument("--config", metavar="ALGORITHM", help="a file of src/config/algs, without .yaml, or a path")
    cli.add_argument("--env-config", metavar="ENVIRONMENT", help="a file of src/config/envs, without .yaml, or a path")
    cli.add_argument("--team", action="append", default=[], metavar="NAME=PLAYER", help="who plays a team; repeatable")
    cli.add_argument("--list", action="store_true", help="print what there is to choose from, then stop")
    told = "print all settings, or those with this word, and where they came from, stop"
    cli.add_argument("--print-config", nargs="?", const="", metavar="WORD", help=told)
    cli.add_argument("--help-setting", metavar="SETTING", help="print what a setting means and may be, then stop")
    cli.add_argument(
        "--all-settings", action="store_true", help="print all settings of all parts, in Markdown, then stop"
    )
    cli.add_argument("--env-info", action="store_true", help="print the environment's sizes as JSON, then stop")
    cli.add_argument("--out", metavar="FILE", help="with evaluate=True: write the results, .json or .csv")
    cli.add_argument("words", nargs="*", metavar="with key=value", help="settings that win over all files")
    return cli


def read(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of the command line, and its key=value words.

    Args:
        argv: without the program's name.

    Raises:
        UserError: an option that is not known.
        SystemExit: --help, or an option without its value.
    """
    cli = _parser()
    given = arranged(argv, ("--print-config",))
    options, unknown = cli.parse_known_intermixed_args(given)
    check_options(unknown, re.findall(r"--[a-z-]+", cli.format_usage()))
    return options, [word for word in options.words if word != WITH[0]]
