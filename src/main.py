"""Train or test: python src/main.py --config=ALGORITHM --env-config=ENVIRONMENT with key=value env_args.key=value."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError
from core.printing import show
from telling import usage
from telling.listing import listing


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 for a user's mistake)."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        args, words = usage.read(given)
        if args.list:
            show(listing())
            return 0
        from telling import explaining, reference
        from training import session
        from training.evaluation import Report
        from training.options import resolve

        if args.help_setting:
            show(explaining.help_setting(args.help_setting))
            return 0
        if args.all_settings:
            show(reference.reference())
            return 0
        if args.env_info:
            print(json.dumps(session.env_info(resolve(args.config or "iql", args.env_config, words)), indent=2))
            return 0
        options = resolve(args.config, args.env_config, words, args.team)
        if args.print_config is not None:
            show(explaining.table(options, args.print_config))
            return 0
        report = None if args.out is None else Report(args.out)
        return session.run(options, command=shlex.join(["python", "src/main.py", *given]), report=report)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the run began
        return 130


if __name__ == "__main__":
    sys.exit(main())
