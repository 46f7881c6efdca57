"""The picture of score against budget, of policies on one trunk and of those that are trained anew for each budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from lrbench.display.names import fitted
from lrbench.report.frames import objective_label
from lrbench.report.plot import register_plot
from lrbench.report.style import FAINT, INK, LINE, PALETTE, WIDTH, blank, legend_below, tidy

if TYPE_CHECKING:
    from lrbench.report.frames import Frames
    from lrbench.study.horizon_results import Horizons

NAME = 44
SPREAD = 0.012
"""How far the points of neighbouring policies lie apart, as a share of a budget, so that intervals do not hide."""


def horizons_figure(horizons: Horizons) -> Figure:
    """Draw the validation score of each policy at each budget, on a log axis, with its 95% interval.

    Lines are solid for policies on one trunk, and dashed for those that are trained anew. Better scores are at the top.
    """
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    axes = figure.subplots()
    middle = (len(horizons.policies) - 1) / 2
    for place, policy in enumerate(horizons.policies):
        known = [score for score in policy.scores if score.val.mean is not None]
        steps = [score.steps * (1 + SPREAD * (place - middle)) for score in known]
        means = [score.val.mean or 0.0 for score in known]
        ends = [(score.val.low, score.val.high) for score in known]
        below = [0.0 if low is None else mean - low for mean, (low, _) in zip(means, ends, strict=True)]
        above = [0.0 if high is None else high - mean for mean, (_, high) in zip(means, ends, strict=True)]
        axes.errorbar(
            steps,
            means,
            yerr=(below, above),
            label=f"{fitted(policy.name, NAME)} ({'one trunk' if policy.one_trunk else 'anew'})",
            color=PALETTE[place % len(PALETTE)],
            linestyle="-" if policy.one_trunk else "--",
            linewidth=LINE,
            marker="o" if policy.one_trunk else "s",
            markersize=5,
            capsize=2,
        )
    tidy(axes)
    axes.set_xscale("log")
    budgets = [score.steps for score in horizons.policies[0].scores]
    axes.xaxis.set_major_locator(FixedLocator(budgets))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("budget in iterations (log scale; points lie beside each other to be seen)", color=INK)
    label = objective_label(horizons.objective, horizons.better)
    axes.set_ylabel(f"validation {label}", color=INK, parse_math=False)
    if horizons.better == "lower":
        axes.invert_yaxis()
    axes.tick_params(labelcolor=FAINT)
    legend_below(figure, axes.get_legend_handles_labels()[0], columns=2)
    return figure


@register_plot(
    "horizons",
    "Score against budget",
    of="study",
    needs="a task at several budgets",
    applies=lambda frames: bool(frames.results.horizons),
    place=15,
)
def _horizons(frames: Frames) -> Figure:
    found = frames.results.horizons
    return horizons_figure(found[0]) if found else blank("No task of this study stands at several budgets.")
