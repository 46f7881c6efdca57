"""The forest plot of modifiers and settings: what each changes, policy by policy, paired by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lrbench.display.names import fitted, short_names, wrapped
from lrbench.modifiers.brief import brief_variant
from lrbench.report.frames import one_task, records, score_label, sign_of
from lrbench.report.plot import register_plot
from lrbench.report.style import FAINT, INK, VERDICTS, WIDTH, blank, legend_below, tidy, titled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lrbench.metrics.goal import Criterion
    from lrbench.report.frames import Frames

MOST_POLICIES = 8
COLUMNS = 4
NOTHING = 1e-9
"""Changes of a score that are smaller than this are none."""

MODIFIER, POLICY, AXIS = 34, 22, 26
"""How many characters of a name stand on a line."""


class Side(NamedTuple):
    """On which side of no effect an interval lies, and how it is drawn."""

    name: str
    color: str
    marker: str


BETTER = Side("better", VERDICTS["good"].color, "o")
WORSE = Side("worse", VERDICTS["avoid"].color, "X")
OPEN = Side("no difference established", FAINT, "s")


def effects_figure(effects: pd.DataFrame, policies: pd.DataFrame, goal: Criterion | None = None) -> Figure:
    """Draw what each modifier changes, with its 95% interval: a panel a policy, a row a modifier.

    Args:
        effects: `Frames.effects` of one task.
        policies: `Frames.policies` of the same task, for its objective.
        goal: whose metric is drawn; without one, or with the objective, it is the test score.
    """
    if not len(one_task(effects)) or not len(policies):
        return blank("No policy of this study was trained with and without a modifier or setting.")
    objective = policies["objective"].iloc[0]
    if goal is None or goal.of_objective(objective):
        figured, label, what, sign = f"test_{objective}", score_label(policies), "test score", sign_of(policies)
    else:
        figured, what, sign = goal.figure, goal.title, -1 if goal.better == "lower" else 1
        label = f"{goal.title} ({goal.better} is better)"
    shown = effects[effects["figure"] == figured]
    shown = shown[shown["difference"].notna()]
    if not len(shown):
        return blank("No run with a modifier or setting has a partner without it yet.")
    modifiers = list(dict.fromkeys(shown["modifier"]))
    names = list(dict.fromkeys(shown["name"]))
    called = short_names([brief_variant(modifier) for modifier in modifiers], MODIFIER).shown
    rows = [fitted(called[brief_variant(modifier)], MODIFIER) for modifier in modifiers]
    titles = short_names(names, POLICY).shown
    drawn = names[:MOST_POLICIES]
    columns = min(COLUMNS, len(drawn))
    lines = -(-len(drawn) // columns)
    height = lines * (0.27 * len(modifiers) + 0.13 * sum(row.count("\n") for row in rows) + 0.6) + 0.7
    below = wrapped(f"change of {label}", AXIS)
    height += 0.14 * below.count("\n")
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, drawn, strict=False):
        _draw(axes, records(shown[shown["name"] == name]), modifiers, sign)
        titled(axes, fitted(titles[name], POLICY))
    for axes in panels.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(modifiers)), rows, fontsize=9, color=INK, parse_math=False)
    panels[0, 0].set_ylim(len(modifiers) - 0.4, -0.6)
    if np.nanmax(np.abs(shown[["difference", "low", "high"]].to_numpy(dtype=np.float64))) < NOTHING:
        panels[0, 0].set_xlim(-0.01, 0.01)
    for axes in panels.flat[max(0, len(drawn) - columns) : len(drawn)]:
        axes.set_xlabel(below, fontsize=9, color=INK, parse_math=False)
        axes.tick_params(labelbottom=True)
    said = f"{what} with minus without, paired by seed, and its 95% interval"
    if len(names) > len(drawn):
        said += f"; {len(drawn)} of {len(names):,} policies"
    legend_below(figure, [_handle(side) for side in (BETTER, WORSE, OPEN)], columns=3, title=said, right=True)
    return figure


def side(low: float | None, high: float | None, sign: int = 1) -> Side:
    """Say whether the interval of a change is better, worse or neither; the sign is -1 where less is better."""
    if low is None or high is None or low <= 0 <= high:
        return OPEN
    return BETTER if sign * low > 0 else WORSE


def _draw(axes: Axes, rows: list[dict[str, Any]], modifiers: list[str], sign: int) -> None:
    axes.axvline(0, color=INK, linewidth=0.9)
    for row in rows:
        place, said = modifiers.index(row["modifier"]), side(row["low"], row["high"], sign)
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [place, place], color=said.color, linewidth=1.6)
        axes.plot([row["difference"]], [place], said.marker, color=said.color, markersize=7, markeredgecolor="white")
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))


def _handle(said: Side) -> Line2D:
    return Line2D([], [], color=said.color, marker=said.marker, markersize=7, markeredgecolor="white", label=said.name)


@register_plot(
    "effects",
    "What modifiers and settings change, policy by policy",
    needs="modifiers or axes",
    applies=lambda frames: len(frames.effects) > 0,
    place=7,
)
def _effects(frames: Frames) -> Figure:
    goals = frames.results.tasks[0].goals if frames.results.tasks else ()
    return effects_figure(frames.effects, frames.policies, next(iter(goals), None))
