"""The picture of a study's answer: every policy with its interval and its verdict, best first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lrbench.display.names import fitted, many
from lrbench.metrics.goal import TO_TARGET, Criterion, objective_criterion
from lrbench.policy.curve import rates_of
from lrbench.report.frames import budget_of, one_task, records, score_label
from lrbench.report.labels import row_labels
from lrbench.report.plot import register_plot
from lrbench.report.plots.lr_curves import simplified, stairs
from lrbench.report.style import FAINT, INK, VERDICTS, WIDTH, blank, edge, legend_below, look_of, tidy, verdict_handles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lrbench.report.frames import Frames

BEST, WORST = 25, 5
"""Of more policies than both together, as many from the top and as many from the bottom are drawn."""

NAME, TITLE = 34, 110
"""How many characters of a policy's name stand on one line, and of the task's."""

ROW = 0.3
"""The height of a row, in inches."""

BAND = 0.09

SHAPE = 5
"""How many times as coarse as a plot's the shape of a learning rate is drawn."""


def ranking_figure(policies: pd.DataFrame, by: Criterion | None = None) -> Figure:
    """Draw the score of each policy, best first, with its verdict by colour, shape and word.

    Left of each is the shape of its learning rate, from 0 to its own maximum; the band is as far below the best as the
    margin, and there a policy is as good as the best. Better scores are on the right, whichever these are. The score is
    the objective on the validation split, with that on the test split beside it, or what else ranks.

    Args:
        policies: `Frames.policies` of one task.
        by: the first goal of the task's results, by default the objective.
    """
    if not len(one_task(policies)):
        return blank("No run of this study has ended yet.")
    first = policies.iloc[0]
    goal = by or objective_criterion(first["objective"], first["better"], first["margin"])
    shown = policies if len(policies) <= BEST + WORST else _ends(policies)
    names = row_labels(policies, NAME)
    lines = [names[label].count("\n") for label in shown["label"]]
    height = ROW * (len(shown) + (len(shown) < len(policies))) + 0.13 * sum(lines) + 1.3
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    shapes, axes = figure.subplots(1, 2, sharey=True, width_ratios=(1, 7))
    places = _places(shown, [1 + 0.45 * extra for extra in lines], gap=len(shown) < len(policies))
    _draw_shapes(shapes, shown, places, names)
    _draw_scores(axes, shown, places, goal)
    if len(shown) < len(policies):
        middle = (places[BEST - 1] + places[BEST]) / 2
        said = _left_out(policies.iloc[BEST:-WORST])
        across = axes.get_yaxis_transform()
        axes.text(0.5, middle, said, transform=across, ha="center", va="center", color=FAINT, fontsize=9)
    axes.set_ylim(places[-1] + 0.8, places[0] - 0.8)
    _explain(figure, policies, goal)
    return figure


def _ends(policies: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([policies.iloc[:BEST], policies.iloc[-WORST:]])


def _left_out(policies: pd.DataFrame) -> str:
    counts = Counter(policies["verdict"].fillna("not judged"))
    said = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    return f"… {len(policies):,} more policies: {said} …"


def _places(shown: pd.DataFrame, heights: list[float], *, gap: bool) -> list[float]:
    """Return the middle of each row, from 0 downwards, in rows of one line."""
    ends = np.cumsum(heights)
    middles = ends - np.array(heights) / 2
    if gap:
        middles[BEST:] += 1
    return [float(middle) for middle in middles]


def _draw_shapes(axes: Axes, shown: pd.DataFrame, places: list[float], names: dict[str, str]) -> None:
    for place, row in zip(places, records(shown), strict=True):
        lrs = rates_of(row["policy"], budget_of(row))
        if lrs is None:
            axes.text(0.5, place, "reacts", ha="center", va="center", color=FAINT, fontsize=8)
            continue
        high = float(lrs.max()) or 1.0
        steps, values = simplified(stairs(lrs), SHAPE * len(lrs), SHAPE * high)
        axes.plot(steps / len(lrs), place + 0.34 - 0.68 * values / high, color=INK, linewidth=0.9)
    called = [f"{row['place']}. {names[row['label']]}" for row in records(shown)]
    axes.set_yticks(places, called, parse_math=False, fontsize=9, color=INK)
    axes.set_xlim(-0.04, 1.04)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("learning rate", fontsize=9, color=INK)


def _draw_scores(axes: Axes, shown: pd.DataFrame, places: list[float], by: Criterion) -> None:
    sign, name = (-1 if by.better == "lower" else 1), by.figure
    is_objective = by.of_objective(shown["objective"].iloc[0])
    values = shown[name].astype(float) if name in shown else shown["val"] * np.nan
    best, steady = values.iloc[0], not shown["divergence_rate"].iloc[0]
    if by.margin.size > 0 and steady and np.isfinite(best):
        axes.axvspan(_at_margin(best, by), best, color=VERDICTS["good"].color, alpha=BAND, linewidth=0)
    least = edge(sign * values)
    for place, row, value in zip(places, records(shown), values, strict=True):
        look = look_of(row["verdict"])
        beside: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "va": "center",
            "color": look.color,
            "fontsize": 9,
        }
        axes.text(1.01, place, _verdict_of(row["verdict"], row["divergence_rate"]), **beside)
        if not np.isfinite(value):
            axes.text(0.01, place, _instead(row, by), **beside)
            continue
        if sign * value < least:
            axes.text(0.01, place, f"\N{LEFTWARDS ARROW} {value:{by.form}}", **beside)
            continue
        if row[f"{name}_low"] is not None:
            axes.plot(
                [row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=look.color, linewidth=1.8, zorder=2
            )
        axes.plot([value], [place], look.marker, color=look.color, markersize=8, markeredgecolor="white", zorder=3)
        if is_objective:
            axes.plot([row["test"]], [place], "|", color=INK, markersize=9, markeredgewidth=1.2, zorder=4)
    if sign < 0:
        axes.invert_xaxis()
    if np.isfinite(least):
        axes.set_xlim(left=sign * least)
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.set_xlabel(score_label(shown) if is_objective else _label(by), color=INK, parse_math=False)


def _at_margin(best: float, by: Criterion) -> float:
    """Return the value that is the margin behind the best one."""
    sign = -1 if by.better == "lower" else 1
    return best * (1 - sign * by.margin.size) if by.margin.of_best else best - sign * by.margin.size


def _instead(row: dict[str, Any], by: Criterion) -> str:
    """Say why a policy has no mean."""
    if by.figure == TO_TARGET and row["reached"] is not None:
        return f"{row['reached']:.0f} of {row['seeds']} seeds reach the target"
    return f"no {by.title}"


def _label(by: Criterion) -> str:
    return f"{by.title} (lower is better)" if by.better == "lower" else by.title


def _verdict_of(verdict: str | None, diverged: float | None) -> str:
    said = verdict or "not judged"
    return f"{said}, diverged" if diverged else said


def _explain(figure: Figure, policies: pd.DataFrame, by: Criterion) -> None:
    seeds = sorted(policies["seeds"].unique())
    n = many(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    handles = verdict_handles(policies["verdict"])
    is_objective = by.of_objective(policies["objective"].iloc[0])
    if is_objective:
        handles.append(Line2D([], [], color=INK, marker="|", markersize=9, linestyle="", label="test"))
    if by.margin.size > 0:
        handles.append(Patch(color=VERDICTS["good"].color, alpha=BAND, label=f"within {by.margin} of the best"))
    said = f"{'validation score' if is_objective else by.title}: mean and 95% interval, n = {n}"
    legend_below(figure, handles, columns=len(handles), title=said, right=True)
    figure.suptitle(
        fitted(policies["task"].iloc[0], TITLE), x=0.01, ha="left", fontsize=10, color=FAINT, parse_math=False
    )


@register_plot("ranking", "Every policy with its interval and its verdict", place=1)
def _ranking(frames: Frames) -> Figure:
    (task,) = frames.results.tasks
    return ranking_figure(frames.policies, task.goals[0])
