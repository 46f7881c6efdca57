"""The picture of good and bad learning-rate ranges: the final score over two parameters of a function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from lrbench.errors import PolicyError
from lrbench.policy import parse
from lrbench.policy.function import Named
from lrbench.report.frames import objective_name, one_task, records
from lrbench.report.style import INK, VERDICTS, WIDTH, blank, legend_below, titled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MOST_MAPS = 6
"""A figure has no more maps than this, those with the most policies."""

LEAST = 4
"""Fewer policies than this, two values by two, make no map."""

WRITTEN = 80
"""The scores are written into the cells of maps with no more cells than this."""

COLORS = "viridis"
HATCH, HATCH_COLOR = "////", "#ffffff99"
BORDER = VERDICTS["avoid"].color
"""Of the good region: what stands out best on the colours of the map."""

Member = tuple[dict[str, Any], dict[str, str], Named]
"""A row of the table of policies, its parameters as text, and the policy."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The policies of one function over two of its parameters.

    Attributes:
        function: its name.
        x, y: the names of the two parameters; y comes first in the function.
        x_values, y_values: their values in rising order, as they are written in the study.
        rest: what the other parameters are, where all policies agree, and which differ.
        cells: [y, x], the row of each policy in `Frames.policies`, the one with the highest score where several
            share a cell; None where there is none.
    """

    function: str
    x: str
    y: str
    x_values: tuple[str, ...]
    y_values: tuple[str, ...]
    rest: str
    cells: NDArray[np.object_]


def range_map_figure(policies: pd.DataFrame) -> Figure:
    """The mean validation score over two parameters of each function that has a grid in the study.

    The good region is outlined: the policies with that verdict, or, where no verdict of the study is good, those within
    the margin of the best. Policies that diverged on a seed are hatched.

    Args:
        policies: `Frames.policies` of one task.
    """
    scores = one_task(policies)["val"].dropna()
    maps = sorted(grids(policies), key=lambda grid: -sum(cell is not None for cell in grid.cells.flat))
    if not maps or not len(scores):
        return blank("No function has two values of two of its parameters in this study, and a score for them.")
    drawn = maps[:MOST_MAPS]
    columns = 1 if len(drawn) == 1 else 2
    rows = -(-len(drawn) // columns)
    tallest = max(len(grid.y_values) for grid in drawn)
    figure = Figure(figsize=(WIDTH, rows * (1.5 + 0.42 * min(tallest, 12)) + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    best = float(scores.max())
    chance = records(policies)[0]["chance"]
    low = float(scores.min()) if chance is None else min(chance, best)
    proven = bool((policies["verdict"] == "good").any())
    margin = float(policies["margin"].iloc[0])
    for axes, grid in zip(panels.flat, drawn, strict=False):
        good = [[_is_good(cell, proven, best - margin) for cell in line] for line in grid.cells]
        _draw(axes, grid, np.array(good), (low, best))
    for axes in panels.flat[len(drawn) :]:
        axes.set_visible(False)
    scale = figure.colorbar(panels.flat[0].images[0], ax=panels, shrink=0.8, pad=0.02)
    scale.set_label(f"validation {objective_name(policies['objective'].iloc[0])}", color=INK)
    scale.outline.set_visible(False)
    _explain(figure, "verdict good" if proven else f"within {margin:g} of the best", len(maps) - len(drawn))
    return figure


def grids(policies: pd.DataFrame) -> list[Grid]:
    """A grid for each function, by each training method, that has two values or more of two parameters or more.

    The two with the most values are the axes.
    """
    families: dict[tuple[str, str], list[Member]] = {}
    for row in records(policies):
        policy = _named(row)
        if policy is not None:
            texts = {p.name: p.kind.text(getattr(policy, p.name)) for p in policy.parameters}
            families.setdefault((policy.label, row["modifier"]), []).append((row, texts, policy))
    found = (_grid(function, modifier, members) for (function, modifier), members in families.items())
    return [grid for grid in found if grid is not None]


def _named(row: Mapping[str, Any]) -> Named | None:
    try:
        policy = parse(row["policy"])
    except PolicyError:
        return None
    return policy if isinstance(policy, Named) else None


def _grid(function: str, modifier: str, members: Sequence[Member]) -> Grid | None:
    names = [parameter.name for parameter in members[0][2].parameters]
    values = {name: {texts[name] for _, texts, _ in members} for name in names}
    varied = [name for name in names if len(values[name]) > 1]
    pairs = sorted(combinations(varied, 2), key=lambda pair: -len({(t[pair[0]], t[pair[1]]) for _, t, _ in members}))
    if not pairs or len({(texts[pairs[0][0]], texts[pairs[0][1]]) for _, texts, _ in members}) < LEAST:
        return None
    y, x = pairs[0]
    y_values, x_values = (_in_order(name, members) for name in (y, x))
    cells = np.full((len(y_values), len(x_values)), None, dtype=object)
    for row, texts, _ in members:
        place = y_values.index(texts[y]), x_values.index(texts[x])
        if cells[place] is None or _score(row) > _score(cells[place]):
            cells[place] = row
    fixed = [
        f"{parameter.name}={members[0][1][parameter.name]}"
        for parameter in members[0][2].parameters
        if len(values[parameter.name]) == 1 and getattr(members[0][2], parameter.name) != parameter.default
    ]
    others = [name for name in varied if name not in (x, y)]
    over = [f"best over {' and '.join(others)}"] if others else []
    rest = ", ".join([*fixed, *over, *([modifier] if modifier else [])])
    return Grid(function, x, y, x_values, y_values, rest, cells)


def _in_order(name: str, members: Iterable[Member]) -> tuple[str, ...]:
    """The values of a parameter as text, ordered by what they come to in the budget."""
    sizes = {}
    for row, texts, policy in members:
        value = getattr(policy.bind(row["steps"], row["steps_per_epoch"]), name)
        sizes[texts[name]] = tuple(value) if isinstance(value, tuple | list) else (float(value),)
    return tuple(sorted(sizes, key=sizes.__getitem__))


def _is_good(cell: Mapping[str, Any] | None, proven: bool, least: float) -> bool:
    if cell is None:
        return False
    return cell["verdict"] == "good" if proven else not cell["divergence_rate"] and _score(cell) >= least


def _score(row: Mapping[str, Any]) -> float:
    return -np.inf if row["val"] is None else float(row["val"])


def _draw(axes: Axes, grid: Grid, good: NDArray[np.bool_], limits: tuple[float, float]) -> None:
    scores = np.array([[np.nan if cell is None else cell["val"] for cell in line] for line in grid.cells], dtype=float)
    axes.imshow(scores, cmap=COLORS, vmin=limits[0], vmax=limits[1], origin="lower", aspect="auto")
    for (y, x), cell in np.ndenumerate(grid.cells):
        if cell is not None and cell["divergence_rate"]:
            corner = (x - 0.5, y - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch=HATCH, edgecolor=HATCH_COLOR, linewidth=0))
        elif cell is not None and cell["val"] is not None and grid.cells.size <= WRITTEN:
            dark = (cell["val"] - limits[0]) < 0.6 * (limits[1] - limits[0])
            ink = "white" if dark else "black"
            axes.text(x, y, f"{cell['val']:.2f}", ha="center", va="center", fontsize=8, color=ink)
    border = _border(good)
    axes.add_collection(LineCollection(border, colors="white", linewidths=5, capstyle="round"))
    axes.add_collection(LineCollection(border, colors=BORDER, linewidths=2.4, capstyle="round"))
    axes.set_xticks(range(len(grid.x_values)), grid.x_values, fontsize=8, color=INK, parse_math=False)
    axes.set_yticks(range(len(grid.y_values)), grid.y_values, fontsize=8, color=INK, parse_math=False)
    if max(map(len, grid.x_values)) * len(grid.x_values) > 60:
        axes.tick_params(axis="x", rotation=45)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(grid.x, color=INK)
    axes.set_ylabel(grid.y, color=INK)
    titled(axes, grid.function + (f"  ({grid.rest})" if grid.rest else ""))


def _border(inside: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """The sides of cells that lie between inside and outside."""
    padded = np.pad(inside, 1)
    sides = []
    for y, x in np.argwhere(padded):
        left, low = x - 1.5, y - 1.5
        if not padded[y, x - 1]:
            sides.append([(left, low), (left, low + 1)])
        if not padded[y, x + 1]:
            sides.append([(left + 1, low), (left + 1, low + 1)])
        if not padded[y - 1, x]:
            sides.append([(left, low), (left + 1, low)])
        if not padded[y + 1, x]:
            sides.append([(left, low + 1), (left + 1, low + 1)])
    return sides


def _explain(figure: Figure, good: str, left_out: int) -> None:
    handles = [
        Line2D([], [], color=BORDER, linewidth=2.4, label=good),
        Patch(facecolor="#440154", hatch=HATCH, edgecolor=HATCH_COLOR, linewidth=0, label="diverged on a seed"),
    ]
    more = f"{left_out} smaller maps are left out" if left_out else None
    legend_below(figure, handles, columns=2, title=more)
