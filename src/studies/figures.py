"""The paper's figures as sets of runs, and its statements beside what our runs show.

Wan, Song, Lan and Zheng, arXiv 2012.03488, sections 5.2 and 5.3 and its appendix. An iteration trains on the episodes
of 4 worlds of at most 150 steps; spread has 1,600 iterations, predator-prey 10,000. Learning rates are those of
config/algs and config/recommended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.curves import Curve
from studies.runs import Run

WORLDS, STEPS = 4, 150
ALGORITHMS = ("asae", "coma", "iql", "vdn", "qmix")
RETURN, PREDATORS, PREYS = "test_return_mean", "test_predator_return_mean", "test_prey_return_mean"
CAPTURES = "test_capture_rate_mean"
RUN_AWAY = -600.0
"""Returns on spread below this (random play has it with N = 3) are those of policies that leave the ground."""
SETTLED = -350.0
"""With N = 3 every variant of asae comes above this at once; where they differ is above it."""
Curves = Sequence[Curve]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user may choose of a figure.

    Attributes:
        seeds: runs with seeds 1 to this.
        scale: of the environment steps.
        algorithms, sizes: empty for the figure's own.
        words: settings for every run.
    """

    seeds: int = 5
    scale: float = 1.0
    algorithms: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    words: tuple[str, ...] = ()

    def settings(self, iterations: int, seed: int) -> tuple[str, ...]:
        """Settings that all figures share: lengths, 20 tests of 100 episodes."""
        t_max = max(1, round(iterations * self.scale)) * WORLDS * STEPS
        words = [f"seed={seed}", f"t_max={t_max}", f"batch_size_run={WORLDS}", f"env_args.time_limit={STEPS}"]
        words += ["gamma=0.98", f"test_interval={max(1, t_max // 20)}", "test_nepisode=100"]
        words += [f"{kind}_log_interval={max(1, t_max // 100)}" for kind in ("runner", "learner")]
        return (*words, f"save_model_interval={max(1, t_max // 5)}", *self.words)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        title: above the picture.
        metrics: what is drawn -> how it is called.
        runs: of a choice.
        statements: what the paper says, and what says the same of our curves (of each metric).
        y_min: where the picture is cut off; None: nowhere.
    """

    title: str
    metrics: dict[str, str]
    runs: Callable[[Choice], list[Run]]
    statements: tuple[tuple[str, Callable[[dict[str, Curves]], str]], ...] = field(default=())
    y_min: float | None = None


# -- the runs --------------------------------------------------------------------------------------------------------


def _spread(choice: Choice, n: int, line: str, config: str, words: Sequence[str] = ()) -> list[Run]:
    return [
        Run(
            panel=f"spread, N = {n}",
            line=line,
            config=config,
            env="spread_paper",
            words=(*choice.settings(1600, seed), f"env_args.n_agents={n}", *words),
        )
        for seed in range(1, choice.seeds + 1)
    ]


def _algorithms_on_spread(choice: Choice) -> list[Run]:
    lines = choice.algorithms or ALGORITHMS
    return [run for n in choice.sizes or (3, 4, 5) for name in lines for run in _spread(choice, n, name, name)]


def _variants(variants: dict[str, tuple[str, ...]]) -> Callable[[Choice], list[Run]]:
    """Make the runs of variants of asae: name -> settings."""

    def runs(choice: Choice) -> list[Run]:
        sizes = choice.sizes or (3,)
        return [
            run for n in sizes for line, words in variants.items() for run in _spread(choice, n, line, "asae", words)
        ]

    return runs


def _chase(choice: Choice, panel: str, predators: int, preys: int, config: str, prey: str, line: str) -> list[Run]:
    teams = (f"prey={prey}",)
    words = (f"env_args.n_predators={predators}", f"env_args.n_preys={preys}")
    own = () if prey == "random" else ("team.prey.gamma=0.98",)
    return [
        Run(
            panel=panel,
            line=line,
            config=config,
            env="predator_prey",
            teams=teams,
            words=(*choice.settings(10_000, seed), *words, *own),
        )
        for seed in range(1, choice.seeds + 1)
    ]


def _predators_alone(choice: Choice) -> list[Run]:
    return [
        run
        for n in choice.sizes or (2, 3, 4)
        for name in choice.algorithms or ALGORITHMS
        for run in _chase(choice, f"{n} predators, 3 preys", n, 3, name, "random", name)
    ]


def _competition(choice: Choice) -> list[Run]:
    first, second = choice.algorithms or ("asae", "coma")
    return [
        run
        for n in choice.sizes or (2, 3, 4)
        for config, prey in ((first, second), (second, first))
        for run in _chase(choice, f"{n} vs {n}", n, n, config, prey, f"{config} predators, {prey} preys")
    ]


# -- what our curves say ---------------------------------------------------------------------------------------------


def ranking(curves: Curves) -> str:
    """The lines of every panel from best to worst by the last value of their centre."""
    parts = []
    for panel, members in _panels(curves).items():
        best = sorted(members, key=lambda curve: -curve.center[-1])
        parts.append(f"{panel}: " + " > ".join(f"{curve.group} {curve.center[-1]:.4g}" for curve in best))
    return "; ".join(parts)


def settled(curves: Curves, line: str = "asae") -> str:
    """When a line has first come within 5% of its best value."""
    parts = []
    for curve in curves:
        if curve.group == line:
            first, best = curve.center[0], curve.center.max()
            there = curve.steps[np.argmax(curve.center >= best - 0.05 * abs(best))]
            rise = f"after {there / (WORLDS * STEPS):,.0f} iterations" if best > first else "never above its start"
            parts.append(f"{curve.panel}: {rise}")
    return "; ".join(parts) or f"no {line} among the runs"


def steadiness(curves: Curves) -> str:
    """Standard deviation over seeds of the last value, least first."""
    parts = []
    for panel, members in _panels(curves).items():
        spread = sorted((float(np.nanstd(curve.values[:, -1])), curve.group) for curve in members)
        parts.append(f"{panel}: " + ", ".join(f"{group} {value:.3g}" for value, group in spread))
    return "; ".join(parts)


def change(curves: Curves) -> str:
    """First and last value of every line."""
    return "; ".join(f"{c.panel}, {c.group}: {c.center[0]:.4g} to {c.center[-1]:.4g}" for c in curves)


def advantage(curves: Curves) -> str:
    """By how much the first algorithm's predators end above the second's."""
    parts = []
    for panel, members in _panels(curves).items():
        if len(members) == 2:
            names = [curve.group.partition(" ")[0] for curve in members]
            last = [float(curve.center[-1]) for curve in members]
            both = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, last, strict=True))
            parts.append(f"{panel}: {both} ({last[0] - last[1]:+.2f})")
    return "; ".join(parts)


def _panels(curves: Curves) -> dict[str, list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.panel, []).append(curve)
    return found


# -- the figures -----------------------------------------------------------------------------------------------------

FIGURES: dict[str, Figure] = {
    "fig5": Figure(
        title="Simple spread (the paper's figure 5)",
        metrics={RETURN: "return"},
        runs=_algorithms_on_spread,
        y_min=RUN_AWAY,
        statements=(
            ("ASAE reaches the highest return of the five.", lambda found: ranking(found[RETURN])),
            ("ASAE is the most stable.", lambda found: "deviation over seeds: " + steadiness(found[RETURN])),
            ("ASAE converges after 800 iterations.", lambda found: settled(found[RETURN])),
        ),
    ),
    "fig6": Figure(
        title="Predators against random preys (the paper's figure 6)",
        metrics={PREDATORS: "return of the predators", CAPTURES: "capture rate"},
        runs=_predators_alone,
        statements=(
            ("ASAE's predators learn best of the five.", lambda found: ranking(found[PREDATORS])),
            ("(not in the paper: capture rates)", lambda found: ranking(found[CAPTURES])),
            ("Credit assignment gets harder with more agents.", lambda found: settled(found[PREDATORS])),
        ),
    ),
    "fig7": Figure(
        title="ASAE against COMA (the paper's figure 7)",
        metrics={PREDATORS: "return of the predators", PREYS: "return of the preys"},
        runs=_competition,
        statements=(
            (
                "ASAE's predators begin to improve after 2,000 iterations (4 vs 4: converged after 4,000).",
                lambda found: change(found[PREDATORS]),
            ),
            ("The return of COMA's preys goes on falling.", lambda found: change(found[PREYS])),
            (
                "With the sides exchanged ASAE does better than COMA as well.",
                lambda found: f"predators' return: {ranking(found[PREDATORS])}; preys' return: {ranking(found[PREYS])}",
            ),
        ),
    ),
    "fig8": Figure(
        title="Capture rate of trained predators (the paper's figure 8)",
        metrics={CAPTURES: "capture rate"},
        runs=_competition,
        statements=(
            (
                "ASAE's predators capture more than COMA's, and the more agents the larger the difference.",
                lambda found: advantage(found[CAPTURES]),
            ),
        ),
    ),
    "fig9": Figure(
        title="Number of action samples (the paper's figure 9)",
        metrics={RETURN: "return"},
        y_min=SETTLED,
        runs=_variants({f"m = {m}": (f"n_samples={m}",) for m in (1, 2, 5, 10, 20)}),
        statements=(("m = 10 in all other experiments.", lambda found: ranking(found[RETURN])),),
    ),
    "fig11": Figure(
        title="Clip range (the paper's figure 11)",
        metrics={RETURN: "return"},
        y_min=SETTLED,
        runs=_variants({f"clip {clip}": (f"eps_clip={clip}",) for clip in (0.02, 0.05, 0.1, 0.2, 0.5)}),
        statements=(("A clip range of 0.1 in all other experiments.", lambda found: ranking(found[RETURN])),),
    ),
    "ablate": Figure(
        title="Beyond the paper",
        metrics={RETURN: "return"},
        y_min=SETTLED,
        runs=_variants(
            {
                "default": (),
                "exact marginal": ("marginal=exact",),
                "expected own action": ("own_action=expected",),
                "resynchronised": ("resync=true",),
                "KL stop at 0.01": ("target_kl=0.01",),
            }
        ),
        statements=(("(not in the paper)", lambda found: ranking(found[RETURN])),),
    ),
}
