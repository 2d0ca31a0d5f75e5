"""Pictures of curves: a panel per task, a colour per group, intervals as bands."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from analysis.curves import Curve

# Okabe and Ito's colours, told apart by people with any kind of colour vision; yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
PANELS = 30
THIN = 0.7
RC: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.titlesize": 11,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def draw_curves(
    found: Sequence[Curve],
    out: str | Path,
    *,
    y_label: str,
    title: str | None,
    x_label: str,
    y_min: float | None = None,
) -> None:
    """Draw curves, one panel per ``Curve.panel``, one colour per ``Curve.group``, both in the order given.

    What lies below ``y_min`` is cut off, and a panel where that is so says it. A line is thin where it has fewer seeds
    than elsewhere.

    Raises:
        UserError: the picture cannot be written, or has more panels or lines than can be told apart.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(curve.panel for curve in found))
    groups = list(dict.fromkeys(curve.group for curve in found))
    _check_size(panels, groups)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(1.2 + 4.4 * columns, 0.7 + 3.3 * rows), layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for i, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
            shown = [curve for curve in found if curve.panel == panel]
            _panel(axis, shown, groups)
            if y_min is not None:
                cut(axis, shown, y_min)
            axis.set_title(textwrap.fill(panel, 46))
            axis.set_xlabel(x_label if i + columns >= len(panels) else "")
            axis.set_ylabel(y_label if i % columns == 0 else "")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        if title:
            figure.suptitle(title, weight="bold")
        _legend(figure, found, groups)
        _save(figure, Path(out))


def _check_size(panels: Sequence[str], groups: Sequence[str]) -> None:
    for kind, names, most in (("panels", panels, PANELS), ("lines", groups, len(COLOURS) * len(STYLES))):
        if len(names) > most:
            raise UserError(
                f"A picture of {len(names)} {kind} cannot be read ('{names[0]}', '{names[1]}', '{names[2]}', ...; at "
                f"most {most}). Choose runs with --where key=value, --exclude, --filter-by-algs or --filter-by-envs, "
                "or what makes a line or a panel with --group-by or --panel-by; --table and --csv have no limit."
            )


def _look(group: str, groups: Sequence[str]) -> dict[str, Any]:
    index = groups.index(group)
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}


def _panel(axis: Any, found: Sequence[Curve], groups: Sequence[str]) -> None:
    import numpy as np
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for curve in found:
        look = _look(curve.group, groups)
        marker = "o" if len(curve.steps) < 2 else None
        most = curve.counts == curve.n_seeds
        if not most.all():
            axis.plot(curve.steps, curve.center, linewidth=THIN, marker=marker, markersize=3, **look)
        whole = np.where(most, curve.center, np.nan)
        axis.plot(curve.steps, whole, linewidth=1.8, marker=marker, markersize=5, **look)
        axis.fill_between(curve.steps, curve.low, curve.high, color=look["color"], alpha=0.18, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.xaxis.set_major_formatter(FuncFormatter(_steps))
    axis.margins(x=0.01)


def cut(axis: Any, found: Sequence[Curve], y_min: float) -> None:
    """Show nothing below ``y_min``, and say so."""
    import numpy as np

    top = max(float(np.nanmax([curve.center, curve.high])) for curve in found)
    if axis.get_ylim()[0] < y_min < top:
        axis.set_ylim(y_min, top + 0.05 * (top - y_min))
        axis.text(0.99, 0.02, f"cut at {y_min:g}", transform=axis.transAxes, ha="right", va="bottom", fontsize="small")


def _steps(value: float, _: int = 0) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _legend(figure: Any, found: Sequence[Curve], groups: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    labels = []
    for group in groups:
        seeds = [int(count) for curve in found if curve.group == group for count in curve.counts]
        number = str(min(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)}-{max(seeds)}"
        labels.append(f"{group} ({number} seed{'' if number == '1' else 's'})")
    handles = [Line2D([], [], linewidth=2.2, **_look(group, groups)) for group in groups]
    if any(curve.counts.min() < curve.n_seeds for curve in found):
        labels.append("thin: fewer seeds")
        handles.append(Line2D([], [], linewidth=THIN, color="#444444"))
    width = max(map(len, labels)) * 0.075 + 0.5  # inches that an entry takes, roughly
    columns = max(1, min(len(labels), int(figure.get_figwidth() / width)))
    figure.set_figheight(figure.get_figheight() + 0.2 * (-(-len(labels) // columns) - 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _save(figure: Any, out: Path) -> None:
    known = sorted(figure.canvas.get_supported_filetypes())
    if out.suffix.lstrip(".").lower() not in known:
        raise UserError(f"'{out}' names no kind of picture. End it in .png, .svg or .pdf (known: {', '.join(known)}).")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)
        if out.suffix.lower() == ".png":
            _shrink(out)
    except OSError as error:
        raise UserError(f"The picture cannot be written to '{out}': {error.strerror}. Choose another --out.") from error


def _shrink(out: Path) -> None:
    """Write a PNG again with a palette of 256 colours, which takes a third of the bytes."""
    from PIL import Image

    with Image.open(out) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(out, optimize=True)
