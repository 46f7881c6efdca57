"""The picture of learning-rate policies: learning rate against iteration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lrbench.report.lr_axis import lr_limits, shortened
from lrbench.report.output_file import write_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""Okabe and Ito's colours (2008), told apart with every common colour blindness; ochre in place of their yellow,
which white swallows."""

POINTS = 2_000
"""No curve is drawn from more points than this; where it has more iterations, the extremes of each stretch are kept."""

COLUMNS = 3
LONGEST_NAME = 64
LONGEST_PANEL_NAME = 40


def lr_figure(curves: Mapping[str, NDArray[np.float64]], *, log: bool = False) -> Figure:
    """Learning rate against iteration: up to eight policies in one plot, more of them in one panel each.

    Args:
        curves: for each name the learning rates of iterations 0, 1, ...: float64 [steps], at least one.
        log: a logarithmic axis of learning rates; iterations with a rate of 0 leave a gap.
    """
    return _overlaid(curves, log) if len(curves) <= len(PALETTE) else _panels(curves, log)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix of `path`; the same figure gives the same bytes.

    Raises:
        LRBenchError: the file cannot be written; what stood there is unchanged.
    """
    form = path.suffix.lower().lstrip(".")
    metadata = {"Date": None} if form == "svg" else {}
    with rc_context({"svg.hashsalt": "lrbench", "svg.fonttype": "none"}):
        picture = BytesIO()
        figure.savefig(picture, format=form, dpi=150, metadata=metadata)
    write_output(path, picture.getvalue())


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


def _overlaid(curves: Mapping[str, NDArray[np.float64]], log: bool) -> Figure:
    figure = Figure(figsize=(8, 4.2 + 0.22 * len(curves)), layout="constrained")
    axes = figure.subplots()
    _prepare(axes, curves, log)
    lines = [_draw(axes, lrs, color) for lrs, color in zip(curves.values(), PALETTE, strict=False)]
    axes.set_xlabel("iteration")
    axes.set_ylabel("learning rate")
    names = [shortened(name, LONGEST_NAME) for name in curves]
    for text in figure.legend(lines, names, loc="outside lower left", frameon=False).get_texts():
        text.set_parse_math(False)
    return figure


def _panels(curves: Mapping[str, NDArray[np.float64]], log: bool) -> Figure:
    rows = math.ceil(len(curves) / COLUMNS)
    figure = Figure(figsize=(10, 1.9 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes, (name, lrs) in zip(grid.flat, curves.items(), strict=False):
        _prepare(axes, curves, log)
        _draw(axes, lrs, PALETTE[0])
        axes.set_title(shortened(name, LONGEST_PANEL_NAME), fontsize=9, loc="left", parse_math=False)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, len(curves) - COLUMNS) : len(curves)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("iteration", fontsize=10)
    figure.supylabel("learning rate", fontsize=10)
    return figure


def _prepare(axes: Axes, curves: Mapping[str, NDArray[np.float64]], log: bool) -> None:
    low, high = lr_limits(curves, log=log)
    if log:
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(low / 1.2, high * 1.2)
    else:
        axes.set_ylim(low, high * 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _draw(axes: Axes, lrs: NDArray[np.float64], color: str) -> Line2D:
    return axes.plot(*outline(lrs), drawstyle="steps-post", color=color, linewidth=1.6)[0]
