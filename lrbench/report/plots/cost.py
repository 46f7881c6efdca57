"""The picture of what a score costs: final score against cost, with the policies that no other one beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from lrbench.report.frames import one_task, records, score_label, sign_of
from lrbench.report.labels import row_labels
from lrbench.report.plot import register_plot
from lrbench.report.style import AXIS, FAINT, INK, WIDTH, blank, edge, legend_below, look_of, tidy, verdict_handles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lrbench.report.frames import Frames

COSTS = {
    "steps_to_target": "iterations to the target, mean over seeds",
    "steps_to_best": "iterations to a run's best validation score, mean over seeds",
    "seconds": "seconds of training, mean over seeds",
    "flops": "floating-point operations of training, mean over seeds",
}

FRONT = "Pareto front: nothing is both cheaper and better"
NAME = 50
LARGE, SMALL, CROWDED = 8, 4, 200
"""The size of a marker, and that of one among more than `CROWDED`."""

ARROWS = 0.02
"""The height of arrows above the edge of the axis, as a share of the axis."""

MOST_POINTS = 1500
"""More policies than this, the best ones, are not drawn."""


def cost_figure(policies: pd.DataFrame, cost: str | None = None) -> Figure:
    """Validation score against what it cost, each policy by its verdict, and the Pareto front of the two.

    Better scores are at the top, whichever these are. Policies whose cost is not known, such as the iterations to a
    target that not every seed reached, stand in a strip of their own on the right.

    Args:
        policies: `Frames.policies` of one task.
        cost: a column of it, one of `COSTS`; by default the iterations to the target where a policy reached it, else
            those to a run's best.
    """
    known = policies[one_task(policies)["val"].notna()].head(MOST_POINTS)
    if not len(known):
        return blank("No run of this study has ended yet.")
    column = cost or _default_cost(known)
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    costly, unknown = known[known[column].notna()], known[known[column].isna()]
    axes, strip = figure.subplots(1, 2, sharey=True, width_ratios=(8, 1))
    sign = sign_of(known)
    least = edge(sign * known["val"])
    _scatter(axes, [(row[column], row) for row in records(costly)], least, sign)
    named = _draw_front(axes, costly, column, row_labels(known, NAME))
    tidy(axes)
    target = records(known)[0]["target"]
    goal = f"the target is {target:g}; " if column == "steps_to_target" and target is not None else ""
    axes.set_xlabel(f"{COSTS.get(column, column)} ({goal}lower is better)", color=INK)
    axes.set_ylabel(f"validation {score_label(known)}", color=INK, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(6) if len(costly) else NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.margins(x=0.08, y=0.1)
    if sign < 0:
        axes.invert_yaxis()
    if np.isfinite(least):
        axes.set_ylim(bottom=sign * least)
    if len(unknown):
        spots = np.linspace(-0.5, 0.5, min(len(unknown), 7))
        _scatter(strip, [(spots[place % len(spots)], row) for place, row in enumerate(records(unknown))], least, sign)
        tidy(strip, grid="y")
        strip.set_xlim(-1, 1)
        strip.set_xticks([0], ["not all\nreached it" if column == "steps_to_target" else "unknown"], color=INK)
        strip.tick_params(axis="y", length=0, labelleft=False)
        strip.spines["left"].set_visible(False)
    else:
        strip.set_visible(False)
    handles = verdict_handles(known["verdict"])
    if len(named) > 1:
        handles.append(Line2D([], [], color=AXIS, linewidth=1.2, label=FRONT))
    below = known["val"][sign * known["val"] < least]
    if len(below):
        said = f"below the axis: {len(below)} of {below.min():.3f} to {below.max():.3f}"
        handles.append(Line2D([], [], linestyle="", marker="v", color=INK, markersize=LARGE, label=said))
    more = f"the best {len(known):,} of {len(policies):,} policies" if len(known) < len(policies) else None
    legend_below(figure, [*handles, *named], columns=2, title=more)
    return figure


def costs_differ(policies: pd.DataFrame) -> bool:
    """Find whether the policies of one task differ in the cost that is drawn by default."""
    known = policies[policies["val"].notna()]
    return bool(known[_default_cost(known)].nunique(dropna=False) > 1)


def _default_cost(policies: pd.DataFrame) -> str:
    return "steps_to_target" if policies["steps_to_target"].notna().any() else "steps_to_best"


def pareto(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Find the points than which none is as cheap and better, or as good and cheaper: their places, by rising cost."""
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda place: (costs[place], -scores[place])):
        if not front or scores[place] > scores[front[-1]]:
            front.append(place)
    return front


def _scatter(axes: Axes, points: Sequence[tuple[float, dict[str, Any]]], least: float, sign: int) -> None:
    """Draw policies at their costs and scores, the good ones on top; scores below the axis as arrows at its edge."""
    size = LARGE if len(points) <= CROWDED else SMALL
    for verdict in (None, "avoid", "undecided", "good"):
        look = look_of(verdict)
        style: dict[str, Any] = {"color": look.color, "markersize": size, "markeredgecolor": "white", "zorder": 3}
        shown = [(cost, row["val"]) for cost, row in points if row["verdict"] == verdict]
        inside = [point for point in shown if sign * point[1] >= least]
        axes.plot([cost for cost, _ in inside], [score for _, score in inside], look.marker, **style)
        below = [cost for cost, score in shown if sign * score < least]
        axes.plot(below, [ARROWS] * len(below), "v", transform=axes.get_xaxis_transform(), **style)


def _draw_front(axes: Axes, costly: pd.DataFrame, column: str, names: Mapping[str, str]) -> list[Line2D]:
    """Draw the front, a letter at each of its policies, and return what the letters stand for."""
    if not len(costly):
        axes.text(0.5, 0.5, "no policy has this cost", transform=axes.transAxes, ha="center", color=FAINT)
        axes.set_xlim(0, 1)
        return []
    rows = records(costly)
    sign = sign_of(costly)
    gains = [sign * row["val"] for row in rows]
    front = [rows[place] for place in pareto([row[column] for row in rows], gains)]
    x, y = [row[column] for row in front], [row["val"] for row in front]
    axes.plot(x, y, color=AXIS, linewidth=1.2, drawstyle="steps-post", zorder=1)
    named = front[-len(ascii_lowercase) :]
    for letter, row in zip(ascii_lowercase, named, strict=False):
        place = (row[column], row["val"])
        axes.annotate(letter, place, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=10, color=INK)
    return [
        Line2D([], [], linestyle="", label=f"{letter}  {names[row['label']]}")
        for letter, row in zip(ascii_lowercase, named, strict=False)
    ]


@register_plot(
    "cost",
    "What a score costs",
    needs="policies that differ in what they cost",
    applies=lambda frames: costs_differ(frames.policies),
    place=5,
)
def _cost(frames: Frames) -> Figure:
    return cost_figure(frames.policies)
