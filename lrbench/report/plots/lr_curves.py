"""The picture of learning-rate policies: learning rate against iteration."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from lrbench.display.names import fitted, short_names, wrapped
from lrbench.policy.curve import FIGURES, rates_of
from lrbench.report.frames import budget_of, records
from lrbench.report.lr_axis import lr_limits
from lrbench.report.plot import register_plot
from lrbench.report.style import FILL, INK, LINE, PALETTE, WIDTH, blank, shown_in_notebooks, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from lrbench.report.frames import Frames

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The x and the y of a line's points."""

POINTS = 2_000
"""No curve is drawn from more points than this; where it has more iterations, the extremes of each stretch are kept."""

TOLERANCE = 1e-3
"""A drawn line is no farther than this part of its axes from the curve."""

TICK_STEPS = (1, 2, 2.5, 5, 10)

LONGEST_NAME = 110
LONGEST_TITLE = {5: 22, 4: 28, 3: 38}
"""How many characters of a title fit over a panel, by the number of panels side by side."""

NAME = 38
"""Names of more characters are shortened, where others of the study say the rest."""

MOST_CURVES = 20
"""The learning rates of no more policies than this, the best ones, are drawn."""

MOST_LINES = 3
"""A title has no more lines than this."""


def lr_figure(curves: Mapping[str, NDArray[np.float64]], *, log: bool = False) -> Figure:
    """Learning rate against iteration: up to eight policies in one plot, more of them in one panel each.

    Args:
        curves: for each name the learning rates of iterations 0, 1, ...: float64 [steps], at least one.
        log: a logarithmic axis of learning rates; iterations with a rate of 0 leave a gap.
    """
    return _overlaid(curves, log) if len(curves) <= len(PALETTE) else _panels(curves, log)


def _lr_figure_of_notebooks(curves: Mapping[str, NDArray[np.float64]], *, log: bool = False) -> Figure:
    return shown_in_notebooks(lr_figure(curves, log=log))


FIGURES.add("lr", _lr_figure_of_notebooks, __name__)


def outline(lrs: NDArray[np.float64], points: int = POINTS) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At most `points` iterations, and their learning rates, that look like the whole curve.

    The first and the last iteration and the lowest and highest of every stretch between are among them.
    """
    if len(lrs) <= points:
        return np.arange(len(lrs)), lrs
    edges = np.linspace(0, len(lrs), points // 2, dtype=np.int64)
    kept = {0, len(lrs) - 1}
    for start, stop in pairwise(edges.tolist()):
        stretch = lrs[start:stop]
        kept |= {int(start + stretch.argmin()), int(start + stretch.argmax())}
    steps = np.array(sorted(kept))
    return steps, lrs[steps]


def stairs(lrs: NDArray[np.float64]) -> Line:
    """Draw a curve that holds each learning rate from its iteration to the next one."""
    steps, values = outline(lrs)
    return np.append(np.repeat(steps, 2)[1:], len(lrs)).astype(np.float64), np.repeat(values, 2)


def simplified(line: Line, width: float, height: float) -> Line:
    """Keep as few corners of a line as draw it, by the algorithm of Ramer (1972) and of Douglas and Peucker (1973).

    Args:
        line: with rising x.
        width, height: what the axes span; corners are left out where the line then moves by less than a thousandth.
    """
    points = np.column_stack((line[0] / width, line[1] / height))
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1]] = True
    stretches = [(0, len(points) - 1)]
    while stretches:
        start, stop = stretches.pop()
        along = points[stop] - points[start]
        across = points[start + 1 : stop] - points[start]
        away = np.abs(along[0] * across[:, 1] - along[1] * across[:, 0])
        if away.max(initial=0.0) > TOLERANCE * np.hypot(*along):
            corner = start + 1 + int(away.argmax())
            kept[corner] = True
            stretches += [(start, corner), (corner, stop)]
    return line[0][kept], line[1][kept]


def _overlaid(curves: Mapping[str, NDArray[np.float64]], log: bool) -> Figure:
    names = [wrapped(name, LONGEST_NAME) for name in short_names(curves, LONGEST_NAME).shown.values()]
    figure = Figure(figsize=(WIDTH, 4.4 + 0.2 * "\n".join(names).count("\n") + 0.2 * len(names)), layout="constrained")
    axes = figure.subplots()
    _prepare(axes, curves, log, ticks=5)
    lines = [_draw(axes, lrs, color, log) for lrs, color in zip(curves.values(), PALETTE, strict=False)]
    axes.tick_params(labelsize=10)
    axes.set_xlabel("iteration", color=INK)
    axes.set_ylabel("learning rate", color=INK)
    for text in figure.legend(lines, names, loc="outside lower left", frameon=False, labelcolor=INK).get_texts():
        text.set_parse_math(False)
    return figure


def _panels(curves: Mapping[str, NDArray[np.float64]], log: bool) -> Figure:
    columns = _columns(curves)
    names = short_names(curves, LONGEST_TITLE[columns]).shown
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(WIDTH, (7.2 / columns + 0.15) * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (name, lrs) in zip(grid.flat, curves.items(), strict=False):
        _prepare(axes, curves, log, ticks=2)
        line = _draw(axes, lrs, PALETTE[0], log)
        if not log:
            axes.fill_between(*line.get_data(), color=PALETTE[0], alpha=FILL, linewidth=0)
        title = fitted(names[name], LONGEST_TITLE[columns], MOST_LINES)
        axes.set_title(title, fontsize=9, fontweight="bold", color=INK, loc="left", parse_math=False)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, len(curves) - columns) : len(curves)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("iteration", fontsize=9, color=INK)
    figure.supylabel("learning rate", fontsize=9, color=INK)
    return figure


def _columns(names: Collection[str]) -> int:
    """Choose how many panels stand side by side: few places stay empty, and every title fits."""
    longest = max(map(len, short_names(names, LONGEST_TITLE[5]).shown.values()))
    fitting = [columns for columns in (5, 4) if longest <= LONGEST_TITLE[columns]]
    return min(fitting, key=lambda columns: -len(names) % columns, default=3)


def _prepare(axes: Axes, curves: Mapping[str, NDArray[np.float64]], log: bool, ticks: int) -> None:
    low, high = lr_limits(curves, log=log)
    steps = max(map(len, curves.values()))
    if log:
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(low / 1.2, high * 1.2)
    else:
        axes.set_ylim(0.0, high * 1.06)
        axes.yaxis.set_major_locator(MaxNLocator(ticks + 1, steps=TICK_STEPS))
    axes.set_xlim(0, steps)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=TICK_STEPS, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    tidy(axes, size=8)


def _draw(axes: Axes, lrs: NDArray[np.float64], color: str, log: bool) -> Line2D:
    line = stairs(lrs)
    if not log:
        line = simplified(line, axes.get_xlim()[1], axes.get_ylim()[1])
    return axes.plot(*line, color=color, linewidth=LINE, solid_capstyle="butt", clip_on=log)[0]


def rates_of_best(frames: Frames, most: int) -> dict[str, NDArray[np.float64]]:
    """Compute the learning rates of the best policies, as far as they are known without training."""
    policies = frames.policies.drop_duplicates("name")
    called = short_names(policies["name"], NAME).shown
    best = records(policies.head(most))
    known = {called[row["name"]]: rates_of(row["policy"], budget_of(row)) for row in best}
    return {name: lrs for name, lrs in known.items() if lrs is not None}


@register_plot("lr", "Learning rates, the best policies first", place=3)
def _lr(frames: Frames) -> Figure:
    curves = rates_of_best(frames, MOST_CURVES)
    return lr_figure(curves) if curves else blank("No policy of this study has learning rates that are known yet.")
