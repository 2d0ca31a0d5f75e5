"""Run and draw a figure of the paper: python src/reproduce.py fig5 --seeds 3 --scale 0.1."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import core.packages  # noqa: F401  (first: it tells of missing packages)
from core.errors import UserError
from core.registry import did_you_mean

if TYPE_CHECKING:
    from analysis.curves import Curve
    from studies.figures import Choice, Curves, Figure
    from studies.run_set import RunSet
    from studies.runs import Run

NAMES = ("fig5", "fig6", "fig7", "fig8", "fig9", "fig11", "ablate")
CHOSEN = {"fig5": 1, "fig6": 1, "fig7": 2, "fig8": 2}  # figures whose algorithms can be chosen -> at least so many
ABOUT = """\
fig5    spread, N = 3, 4, 5: asae, coma, iql, vdn, qmix
fig6    predators (2, 3, 4) against three random preys: the same algorithms
fig7    asae predators against coma preys and the other way round, 2 vs 2, 3 vs 3, 4 vs 4: returns
fig8    the same runs: capture rates
fig9    number of action samples m = 1, 2, 5, 10, 20 (spread)
fig11   clip range 0.02, 0.05, 0.1, 0.2, 0.5 (spread)
ablate  exact marginal, expected own action, resynchronisation, KL stop (spread)

A run that has completed with the same settings is not repeated, whichever figure it belonged to. Ctrl-C stops and
saves; the same command goes on. Settings after "with" are for every run.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="python src/reproduce.py",
        description="Run what a figure of the paper shows, draw it, and set its statements beside ours.",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument("figures", nargs="+", metavar="FIGURE", help=", ".join(NAMES))
    cli.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of everything (default: %(default)s)")
    cli.add_argument("--scale", type=float, default=1.0, metavar="X", help="of the environment steps (default: 1)")
    cli.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at once (default: %(default)s)")
    cli.add_argument("--algorithms", nargs="+", default=[], metavar="NAME", help="others than the figure's own")
    cli.add_argument("--sizes", nargs="+", type=int, default=[], metavar="N", help="other numbers of agents")
    cli.add_argument("--results", type=Path, default=Path("results/reproduce"), help="folder (default: %(default)s)")
    cli.add_argument("--also", nargs="+", type=Path, default=[], metavar="DIR", help="runs that completed there count")
    cli.add_argument("--draw", action="store_true", help="run nothing, draw what has completed")
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0, 1 where runs failed, 2 after a user's mistake."""
    from core.words import parted

    arguments, words = parted(list(sys.argv[1:] if argv is None else argv))
    given = parser().parse_args(arguments)
    from studies.commanding import status_of

    return status_of(lambda: _play(given, words))


def _play(given: argparse.Namespace, words: Sequence[str]) -> list[str]:
    """Run and draw the figures; messages of runs that failed."""
    _check(given)
    from studies.figures import FIGURES, Choice
    from studies.run_set import RunSet

    sizes = tuple(given.sizes)
    choice = Choice(
        seeds=given.seeds, scale=given.scale, algorithms=tuple(given.algorithms), sizes=sizes, words=tuple(words)
    )
    runs, failures = RunSet(given.results, also=given.also), list[str]()
    with runs.locked():
        for name in given.figures:
            todo = FIGURES[name].runs(choice)
            failures += [] if given.draw else runs.play(todo, jobs=given.jobs)
            _show(name, FIGURES[name], choice, todo, runs)
    return failures


def _check(given: argparse.Namespace) -> None:
    for name in given.figures:
        if name not in NAMES:
            raise UserError(f"Unknown figure '{name}'.{did_you_mean(name, NAMES)} Known: {', '.join(NAMES)}.")
    for option in ("seeds", "jobs", "scale"):
        if not getattr(given, option) > 0:
            raise UserError(f"--{option} must be above 0, got {getattr(given, option)}.")
    if any(size < 1 for size in given.sizes):
        raise UserError(f"--sizes must be 1 or more, got {' '.join(map(str, given.sizes))}.")
    wanted = [CHOSEN.get(name, 0) for name in given.figures]
    if given.algorithms and not all(wanted):
        raise UserError(f"--algorithms is for {', '.join(CHOSEN)}: the other figures have asae alone.")
    if given.algorithms and 2 in wanted and len(given.algorithms) != 2:
        raise UserError(f"fig7 and fig8 need two --algorithms, got {' '.join(given.algorithms)}.")


def _show(name: str, figure: Figure, choice: Choice, todo: Sequence[Run], runs: RunSet) -> None:
    """Draw the picture and write the table of a figure, from those of its runs that have completed."""
    from analysis.drawing import draw_curves

    found = _curves(figure, todo, runs)
    every = _panels(figure, found)
    picture, page = runs.results / f"{name}.png", runs.results / f"{name}.md"
    called = next(iter(figure.metrics.values())) if len(figure.metrics) == 1 else "test result"
    label = f"{called} (interquartile mean)"
    draw_curves(every, picture, y_label=label, title=figure.title, x_label="environment steps", y_min=figure.y_min)
    page.write_text(_page(name, figure, choice, found, len(todo)))
    print(f"{picture}\n{page}")


def _curves(figure: Figure, todo: Sequence[Run], runs: RunSet) -> dict[str, Curves]:
    """Metric -> curves, in the figure's panels and lines and in its order."""
    from analysis.curves import curves
    from analysis.runs import find_runs

    records = []
    for run in todo:
        folder = runs.completed(run)
        if folder is not None:
            (record,) = find_runs([folder])
            config = {"name": run.line, "env": run.panel, "seed": record.setting("seed")}
            records.append(replace(record, config=config))
    if not records:
        raise UserError(f"None of the {len(todo)} runs has completed: there is nothing to draw yet.")
    order = list(dict.fromkeys((run.panel, run.line) for run in todo))
    found = {metric: curves(records, metric) for metric in figure.metrics}
    return {metric: sorted(made, key=lambda c: order.index((c.panel, c.group))) for metric, made in found.items()}


def _panels(figure: Figure, found: dict[str, Curves]) -> list[Curve]:
    """All curves; where a figure has several metrics each has panels of its own."""
    if len(figure.metrics) == 1:
        return list(next(iter(found.values())))
    return [replace(c, panel=f"{c.panel}: {figure.metrics[metric]}") for metric, made in found.items() for c in made]


def _page(name: str, figure: Figure, choice: Choice, found: dict[str, Curves], n_runs: int) -> str:
    """The table, in markdown."""
    from analysis.markdown import markdown
    from analysis.tables import final_values

    n_seeds = sum(curve.n_seeds for curve in next(iter(found.values())))
    lines = [f"# {figure.title}", "", f"    {_command(name, choice)}", ""]
    lines += [f"{n_seeds} of {n_runs} runs. Greedy tests of 100 episodes, at the end of training.", ""]
    lines += [f"![{figure.title}]({name}.png)", ""]
    lines += [markdown(final_values(_panels(figure, found))), ""]
    statements = [[statement, ours(found)] for statement, ours in figure.statements]
    lines += [markdown([["the paper", "here"], *statements])]
    return "\n".join(lines) + "\n"


def _command(name: str, choice: Choice) -> str:
    words = [f"python src/reproduce.py {name} --seeds {choice.seeds} --scale {choice.scale:g}"]
    words += [f"--algorithms {' '.join(choice.algorithms)}"] if choice.algorithms else []
    words += [f"--sizes {' '.join(map(str, choice.sizes))}"] if choice.sizes else []
    words += [f"with {' '.join(choice.words)}"] if choice.words else []
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
