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
from matplotlib.ticker import FuncFormatter

from lrbench.display.names import fitted
from lrbench.errors import PolicyError
from lrbench.policy import parse
from lrbench.policy.function import Named
from lrbench.report.frames import budget_of, one_task, records, score_label, sign_of
from lrbench.report.plot import register_plot
from lrbench.report.style import INK, VERDICTS, WIDTH, blank, legend_below, titled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from lrbench.report.frames import Frames

MOST_MAPS = 6
"""A figure has no more maps than this, those with the most policies."""

LEAST, FILLED = 4, 0.5
"""Fewer policies than this, two values by two, make no map, and neither do those that fill less of it."""

WRITTEN = 80
"""The scores are written into the cells of maps with no more cells than this."""

COLORS = "viridis"
HATCH, HATCH_COLOR = "////", "#ffffff99"
BORDER = VERDICTS["avoid"].color
"""Of the good region: what stands out best on the colours of the map."""

ROW, MOST_ROWS = 0.42, 12
"""The height of a row in inches, and the most rows that have it; more rows share the room."""

MOST_TICKS = 25
"""Of more values than this not all are written at the side of a map."""

MOST_LETTERS = 60
"""More of them than this side by side below a map are set aslant."""

ACROSS, UP = 48, 26
"""How many characters of what a parameter means stand on one line, beside the map and below it."""

Member = tuple[dict[str, Any], dict[str, str], Named]
"""A row of the table of policies, its parameters as text, and the policy."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The policies of one function over two of its parameters.

    Attributes:
        function: its name.
        x, y: the names of the two parameters; y comes first in the function.
        x_doc, y_doc: what they mean.
        x_values, y_values: their values in rising order, as they are written in the study.
        rest: what the other parameters are, where all policies agree, and which differ.
        cells: [y, x], the row of each policy in `Frames.policies`, the one with the highest score where several
            share a cell; None where there is none.
    """

    function: str
    x: str
    y: str
    x_doc: str
    y_doc: str
    x_values: tuple[str, ...]
    y_values: tuple[str, ...]
    rest: str
    cells: NDArray[np.object_]


def range_map_figure(policies: pd.DataFrame) -> Figure:
    """Draw the mean validation score over two parameters of each function that has a grid in the study.

    The good region is outlined: the policies with that verdict, or, where no verdict of the study is good, those within
    the margin of the best. What lies beyond the cliff is hatched: the policies that diverged on a seed, and those whose
    interval reaches down to chance.

    Args:
        policies: `Frames.policies` of one task.
    """
    sign = sign_of(one_task(policies))
    policies = _as_gains(policies, sign)
    scores = policies["val"].dropna()
    maps = sorted(grids(policies), key=lambda grid: -sum(cell is not None for cell in grid.cells.flat))
    if not maps or not len(scores):
        return blank("No function has two values of two of its parameters in this study, and a score for them.")
    drawn = maps[:MOST_MAPS]
    columns = 1 if len(drawn) == 1 else 2
    rows = -(-len(drawn) // columns)
    heights = [
        1.5 + ROW * min(max(len(grid.y_values) for grid in drawn[first : first + columns]), MOST_ROWS)
        for first in range(0, len(drawn), columns)
    ]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    best = float(scores.max())
    chance = records(policies)[0]["chance"]
    low = float(scores.min()) if chance is None else min(chance, best)
    proven = bool((policies["verdict"] == "good").any())
    margin = float(policies["margin"].iloc[0])
    for axes, grid in zip(panels.flat, drawn, strict=False):
        good = [[_is_good(cell, proven, best - margin) for cell in line] for line in grid.cells]
        _draw(axes, grid, np.array(good), (low, best), sign)
    for axes in panels.flat[len(drawn) :]:
        axes.set_visible(False)
    scale = figure.colorbar(panels.flat[0].images[0], ax=panels, shrink=0.8, pad=0.02, aspect=40)
    scale.set_label(f"validation {score_label(policies)}", color=INK, parse_math=False)
    if sign < 0:
        scale.formatter = FuncFormatter(lambda gain, _: f"{-gain:g}")
    scale.outline.set_visible(False)
    _explain(
        figure, policies, drawn, "verdict good" if proven else f"within {margin:g} of the best", len(maps) - len(drawn)
    )
    return figure


def grids(policies: pd.DataFrame) -> list[Grid]:
    """Lay out a grid for each function, by each modifier, that has two values or more of two parameters or more.

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


def _as_gains(policies: pd.DataFrame, sign: int) -> pd.DataFrame:
    """Turn scores round where less is better, so that more is."""
    if sign > 0:
        return policies
    ends = {"val": "val", "val_low": "val_high", "val_high": "val_low", "chance": "chance"}
    return policies.assign(**{column: -policies[end].astype(float) for column, end in ends.items()})


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
    held = {(y, x): len({(texts[y], texts[x]) for _, texts, _ in members}) for y, x in combinations(varied, 2)}
    dense = {(y, x): count for (y, x), count in held.items() if count >= FILLED * len(values[y]) * len(values[x])}
    if not dense or max(dense.values()) < LEAST:
        return None
    y, x = max(dense, key=dense.__getitem__)
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
    docs = {parameter.name: parameter.doc for parameter in members[0][2].parameters}
    return Grid(function, x, y, docs[x], docs[y], x_values, y_values, rest, cells)


def _in_order(name: str, members: Iterable[Member]) -> tuple[str, ...]:
    """List the values of a parameter as text, ordered by what they come to in the budget."""
    sizes = {}
    for row, texts, policy in members:
        value = getattr(policy.bind_to(budget_of(row)), name)
        sizes[texts[name]] = tuple(value) if isinstance(value, tuple | list) else (float(value),)
    return tuple(sorted(sizes, key=sizes.__getitem__))


def _is_good(cell: Mapping[str, Any] | None, proven: bool, least: float) -> bool:
    if cell is None:
        return False
    return cell["verdict"] == "good" if proven else not cell["divergence_rate"] and _score(cell) >= least


def _is_lost(cell: Mapping[str, Any] | None) -> bool:
    """Find whether a policy diverged on a seed, or its interval, or its one score, reaches down to chance."""
    if cell is None:
        return False
    low = cell["val"] if cell["val_low"] is None else cell["val_low"]
    return bool(cell["divergence_rate"]) or (cell["chance"] is not None and low <= cell["chance"])


def _score(row: Mapping[str, Any]) -> float:
    return -np.inf if row["val"] is None else float(row["val"])


def _draw(axes: Axes, grid: Grid, good: NDArray[np.bool_], limits: tuple[float, float], sign: int) -> None:
    scores = np.array([[np.nan if cell is None else cell["val"] for cell in line] for line in grid.cells], dtype=float)
    axes.imshow(scores, cmap=COLORS, vmin=limits[0], vmax=limits[1], origin="lower", aspect="auto")
    for (y, x), cell in np.ndenumerate(grid.cells):
        if _is_lost(cell):
            corner = (x - 0.5, y - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch=HATCH, edgecolor=HATCH_COLOR, linewidth=0))
        if cell is not None and cell["val"] is not None and grid.cells.size <= WRITTEN:
            dark = (cell["val"] - limits[0]) < 0.6 * (limits[1] - limits[0])
            ink = "white" if dark else "black"
            ground = {"facecolor": axes.images[0].to_rgba(cell["val"]), "linewidth": 0, "pad": 1.5}
            said = axes.text(x, y, f"{sign * cell['val']:.2f}", ha="center", va="center", fontsize=8, color=ink)
            if _is_lost(cell):
                said.set_bbox(ground)
    _label(axes, grid)
    border = _border(good)
    axes.add_collection(LineCollection(border, colors="white", linewidths=5, capstyle="round"))
    axes.add_collection(LineCollection(border, colors=BORDER, linewidths=2.4, capstyle="round"))
    axes.spines[:].set_visible(False)
    titled(axes, grid.function + (f"  ({grid.rest})" if grid.rest else ""))


def _label(axes: Axes, grid: Grid) -> None:
    """Write the values of the two parameters at the sides, and what the parameters mean."""
    for axis, name, doc, values, width in (
        (axes.xaxis, grid.x, grid.x_doc, grid.x_values, ACROSS),
        (axes.yaxis, grid.y, grid.y_doc, grid.y_values, UP),
    ):
        unit = _shared_unit(values)
        shown = [value.removesuffix(unit) for value in values]
        apart = -(-len(values) // MOST_TICKS)
        shown = shown[::apart]
        axis.set_ticks(range(0, len(values), apart), shown, fontsize=8, color=INK, parse_math=False)
        title = fitted(f"{name},{unit}" if unit else f"{name}: {doc}", width)
        axis.set_label_text(title, fontsize=9, color=INK, parse_math=False)
        if axis is axes.xaxis and max(map(len, shown)) * len(shown) > MOST_LETTERS:
            axis.set_tick_params(rotation=30)
            for text in axis.get_ticklabels():
                text.set(ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)


def _shared_unit(values: Sequence[str]) -> str:
    """Find the text behind the first word of all values alike: ` per 1dur`."""
    units = {value[len(value.split(" ")[0]) :] for value in values}
    return units.pop() if len(units) == 1 else ""


def _border(inside: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """List the sides of cells that lie between inside and outside."""
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


def _explain(figure: Figure, policies: pd.DataFrame, drawn: Sequence[Grid], good: str, left_out: int) -> None:
    handles: list[Artist] = [Line2D([], [], color=BORDER, linewidth=2.4, label=good)]
    if any(_is_lost(cell) for grid in drawn for _, cell in np.ndenumerate(grid.cells)):
        label = "diverged on a seed" if policies["chance"].isna().all() else "diverged, or not told from chance"
        handles.append(Patch(facecolor="#440154", hatch=HATCH, edgecolor=HATCH_COLOR, linewidth=0, label=label))
    notes = [
        *([f"dur: the budget, {policies['steps'].iloc[0]:,} iterations"] if _in_budgets(drawn) else []),
        *([f"{left_out} smaller maps are left out"] if left_out else []),
    ]
    legend_below(figure, handles, columns=2, title="; ".join(notes) or None)


def _in_budgets(drawn: Iterable[Grid]) -> bool:
    """Find whether a length is a part of the budget."""
    return any("dur" in text for grid in drawn for text in (*grid.x_values, *grid.y_values, grid.rest))


@register_plot(
    "map",
    "Good and bad ranges: the score over two parameters",
    needs="two values of two parameters of a function",
    applies=lambda frames: bool(grids(frames.policies)),
    place=4,
)
def _map(frames: Frames) -> Figure:
    return range_map_figure(frames.policies)
