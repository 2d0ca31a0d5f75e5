"""Write a trained policy for other programs: python src/export.py results/sacred/asae/spread/1 --out policy.onnx."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError

EXAMPLES = """\
examples:
  python src/export.py results/sacred/asae/spread/1 --format onnx --out policy.onnx
  python src/export.py results/models/RUN/200000 --out policy.pt                 # TorchScript
  python src/export.py results/sacred/asae/predator_prey/1 --team prey --out prey.onnx

One file per network (with several, their numbers are added to the name); docs/using_a_policy.md says how to play it.
"""


def _parser() -> argparse.ArgumentParser:
    cli = argparse.ArgumentParser(
        prog="python src/export.py",
        description="Write the networks of a trained run as ONNX or TorchScript files, to act without this code.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument("run", metavar="RUN", help="results folder, models folder or one checkpoint")
    cli.add_argument("--out", default="policy.onnx", metavar="FILE", help="the file (default: %(default)s)")
    cli.add_argument("--format", choices=["onnx", "torchscript"], help="default: what FILE ends in, .onnx or .pt")
    cli.add_argument("--team", metavar="NAME", help="only this team's networks (default: all)")
    told = "refuse a policy that decides for all agents together"
    cli.add_argument("--decentralised", action="store_true", help=told)
    cli.add_argument("--config", metavar="ALGORITHM", help="for a checkpoint without settings.pt")
    cli.add_argument("--env-config", metavar="ENVIRONMENT", help="likewise")
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0, or 2 after a user's mistake."""
    try:
        from core.words import chosen

        given, words = chosen(_parser(), list(sys.argv[1:] if argv is None else argv))
        from training.exporting import export

        lines = export(
            given.run, words, out=given.out, kind=given.format, team=given.team, decentralised=given.decentralised,
            config=given.config, env_config=given.env_config,
        )  # fmt: skip
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
