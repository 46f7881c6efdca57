"""The picture of robustness: the final score when every learning rate of a policy is multiplied by a factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from lrbench.report.frames import one_task, score_label
from lrbench.report.labels import row_labels
from lrbench.report.plot import register_plot
from lrbench.report.style import FAINT, FILL, INK, LINE, PALETTE, WIDTH, blank, legend_below, tidy

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.report.frames import Frames

NAME = 60
MARKERS = "osD^vP*h"

MOST = 2 * len(PALETTE)
"""No more policies than this are drawn; the second half of them is dashed."""

ACROSS = 120
"""How many characters of the legend stand side by side."""


def robustness_figure(runs: pd.DataFrame, policies: pd.DataFrame) -> Figure:
    """Final validation score against the factor on the base learning rate, the best policies in a colour each.

    Each is the mean over seeds in a band from the lowest to the highest; a run that diverged counts as chance.

    Args:
        runs: `Frames.runs` of one task.
        policies: `Frames.policies` of the same task, for the order.
    """
    scaled = one_task(runs)[runs["stage"].isin(["main", "scale"]) & runs["val_score"].notna()]
    if not (scaled["stage"] == "scale").any():
        return blank("No policy of this study was trained at other base learning rates.")
    scales = sorted(scaled["scale"].unique())
    known = policies[policies["label"].isin(scaled.loc[scaled["stage"] == "scale", "label"])]
    shown = known.head(MOST)
    names = row_labels(known, NAME)
    called = [names[label] for label in shown["label"]]
    columns = max(1, min(5, ACROSS // (max(map(len, called)) + 6)))
    lines = sum(name.count("\n") + 1 for name in called) / columns + 1
    figure = Figure(figsize=(WIDTH, 4.4 + 0.2 * lines), layout="constrained")
    axes = figure.subplots()
    for place, (label, name) in enumerate(zip(shown["label"], called, strict=True)):
        color, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
        dashes = "-" if place < len(PALETTE) else "--"
        over = scaled[scaled["label"] == label].groupby("scale")["val_score"]
        mean, low, high = over.mean(), over.min(), over.max()
        axes.plot(mean.index, mean, dashes, color=color, marker=marker, markersize=5, linewidth=LINE, label=name)
        axes.fill_between(mean.index, low, high, color=color, alpha=FILL, linewidth=0)
    chance = policies["chance"].iloc[0]
    if chance is not None and chance == chance:
        axes.axhline(chance, color=FAINT, linewidth=0.9, linestyle=":")
        axes.text(scales[0], chance, "chance", ha="left", va="bottom", fontsize=8, color=FAINT)
    tidy(axes)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(scales))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("×{x:g}"))
    axes.set_xlabel("factor on every learning rate of the policy", color=INK)
    axes.set_ylabel(f"validation {score_label(policies)}", color=INK, parse_math=False)
    title = None if len(known) == len(shown) else f"the best {len(shown)} of {len(known):,} policies"
    legend_below(figure, axes.get_legend_handles_labels()[0], columns=columns, title=title)
    return figure


@register_plot(
    "robustness",
    "Robustness: the score at other base learning rates",
    needs="base_lr_scales",
    applies=lambda frames: bool((frames.runs["stage"] == "scale").any()),
    place=6,
)
def _robustness(frames: Frames) -> Figure:
    return robustness_figure(frames.runs, frames.policies)
