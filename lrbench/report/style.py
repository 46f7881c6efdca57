"""What every figure shares: its colours, its measures, and how it is written to a file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lrbench.report.output_file import write_output

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""Okabe and Ito's colours (2008), told apart with every common colour blindness; ochre in place of their yellow,
which white swallows."""

INK = "#333333"
FAINT = "#6b6b6b"
AXIS = "#8a8a8a"
OTHERS = "#c9c9c9"
"""The colour of what stands in the background."""

WIDTH = 10.0
"""Of every figure, in inches."""

CROWDED, ROOM = 0.05, 5
"""Where the better half of the scores would lie on less than this share of the axis, the axis is `ROOM` times as
wide as that half, and the scores below are written at its edge."""

LINE = 1.6
FILL = 0.12

PATH = re.compile(rb'(<path[^>]* d=")([^"]*)')
DECIMALS = re.compile(rb"(\.\d\d)\d+")

SUFFIXES = ("svg", "png", "pdf")
"""What a figure can be written as."""

CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r")
"""Characters that XML does not have."""


class Look(NamedTuple):
    """How a verdict is drawn: by colour, by the shape of its marker, and by its word."""

    color: str
    marker: str


VERDICTS: Mapping[str, Look] = {
    "good": Look("#00704f", "o"),
    "undecided": Look("#b37700", "D"),
    "avoid": Look("#c44400", "X"),
}
"""Darker shades of Okabe and Ito's bluish green, orange and vermilion, so that words can be written in them."""

UNJUDGED = Look(INK, "s")


def look_of(verdict: str | None) -> Look:
    """Return the look of a verdict; None is a policy that was compared with none."""
    return VERDICTS.get(verdict or "", UNJUDGED)


def tidy(axes: Axes, *, grid: Literal["both", "x", "y"] = "both", size: float = 9) -> None:
    """Give axes the common look: no box, quiet ticks, a faint grid along "x", "y" or both."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(labelsize=size, color=AXIS, labelcolor=INK, length=3)
    axes.grid(axis=grid, alpha=0.2)
    axes.set_axisbelow(True)


def titled(axes: Axes, title: str) -> None:
    """Set a title to the left, as plain text whatever it holds."""
    axes.set_title(title, fontsize=10, fontweight="bold", color=INK, loc="left", parse_math=False)


def legend_below(
    figure: Figure, handles: Sequence[Artist], *, columns: int = 1, title: str | None = None, right: bool = False
) -> None:
    """Set the legend under the axes, its names as plain text whatever they hold."""
    place: Literal["outside lower right", "outside lower left"] = (
        "outside lower right" if right else "outside lower left"
    )
    legend = figure.legend(
        handles=handles,
        loc=place,
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        title=title,
        title_fontproperties={"size": 9},
        alignment="right" if right else "left",
    )
    legend.get_title().set_color(INK)
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


def verdict_handles(verdicts: Iterable[object]) -> list[Artist]:
    """Make a legend's entry for each verdict that occurs; whatever is none is a policy that was compared with none."""
    found = {verdict if verdict in VERDICTS else "not judged" for verdict in verdicts}
    looks = {**VERDICTS, "not judged": UNJUDGED}
    return [
        Line2D(
            [],
            [],
            linestyle="",
            color=look.color,
            marker=look.marker,
            markersize=8,
            markeredgecolor="white",
            label=verdict,
        )
        for verdict, look in looks.items()
        if verdict in found
    ]


def blank(sentence: str) -> Figure:
    """Make a figure that says why there is nothing to see."""
    figure = Figure(figsize=(WIDTH, 1.6))
    figure.text(0.5, 0.5, sentence, ha="center", va="center", color=FAINT, fontsize=11, wrap=True, parse_math=False)
    return figure


def edge(scores: pd.Series[float]) -> float:
    """Find where the axis of scores begins; minus infinity where all scores have room on it."""
    best, middle, worst = scores.max(), scores.median(), scores.min()
    return float(best - ROOM * (best - middle)) if 0 < best - middle < CROWDED * (best - worst) else -np.inf


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, PNG or PDF, by the suffix of `path`; the same figure gives the same bytes.

    Raises:
        LRBenchError: the file cannot be written; what stood there is unchanged.
    """
    form = path.suffix.lower().lstrip(".")
    undated = {"metadata": {"CreationDate": None}} if form == "pdf" else {}
    write_output(path, svg(figure) if form == "svg" else _drawn(figure, form, **undated))


def shown_in_notebooks(figure: Figure) -> Figure:
    """Return a figure with a picture of its own: a notebook knows those of matplotlib only once pyplot was imported."""
    vars(figure)["_repr_png_"] = partial(png, figure)
    return figure


def png(figure: Figure) -> bytes:
    """Write a figure as PNG."""
    return _drawn(figure, "png")


def svg(figure: Figure) -> bytes:
    """Write a figure as SVG, with its text as text and no more decimals than an eye can see."""
    drawn = _drawn(figure, "svg", metadata={"Date": None}).translate(None, CONTROLS)
    return PATH.sub(lambda path: path[1] + DECIMALS.sub(rb"\1", path[2]), drawn)


def _drawn(figure: Figure, form: str, **options: Any) -> bytes:
    with rc_context({"svg.hashsalt": "lrbench", "svg.fonttype": "none"}):
        picture = BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            figure.savefig(picture, format=form, dpi=120, **options)
    return picture.getvalue()
