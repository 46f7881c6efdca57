"""The picture of training: score and loss against iteration, a line a policy, a band over its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from lrbench.display.names import many
from lrbench.report.frames import one_task, score_label
from lrbench.report.labels import row_labels
from lrbench.report.plot import register_plot
from lrbench.report.style import FILL, INK, LINE, OTHERS, PALETTE, WIDTH, blank, legend_below, tidy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from lrbench.report.frames import Frames

NAME = 46
"""How many characters of a name stand on one line of the legend."""

SPIKES = 0.01
"""The highest and the lowest part of all bands, so large, may reach out of the axes."""

MOST_OTHERS = 60
"""No more lines than this stand in the background."""


class Band(NamedTuple):
    """One policy's evaluations over its seeds, each [evaluations]: as far as every seed has them."""

    step: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cut: bool
    """Whether it ends before the budget because a seed diverged."""


def training_figure(curves: pd.DataFrame, policies: pd.DataFrame) -> Figure:
    """Draw score and loss against iteration: the mean over seeds in a band from the lowest to the highest.

    The dashed line beside a policy's validation loss is its training loss, the mean since the evaluation before.

    The best policies have a colour each, the others stand behind them in grey. A line ends with a cross where one of
    the policy's seeds diverged, since a mean over those that are left would flatter it.

    Args:
        curves: `Frames.curves` of one task.
        policies: `Frames.policies` of the same task, for the order.
    """
    if not len(one_task(curves)) or not len(policies):
        return blank("No evaluation of this study's runs is stored yet.")
    order = list(policies["label"])
    named, others = order[: len(PALETTE)], order[len(PALETTE) :]
    behind = others[:: max(1, -(-len(others) // MOST_OTHERS))]
    main = curves[(curves["stage"] == "main") & curves["label"].isin([*named, *behind])]
    runs = {str(label): rows for label, rows in main.groupby("label", sort=False)}
    names = row_labels(policies, NAME)
    lines = sum(names[label].count("\n") + 1 for label in named) / 2 + 1
    figure = Figure(figsize=(WIDTH, 4.0 + 0.2 * lines), layout="constrained")
    scores, losses = figure.subplots(1, 2)
    for axes, column in ((scores, "val_score"), (losses, "val_loss")):
        _draw(axes, {label: band(rows, column) for label, rows in runs.items()}, named, behind)
        axes.set_xlim(left=0)
        axes.set_xlabel("iteration", color=INK)
    training = {label: band(runs[label], "train_loss") for label in named if label in runs}
    for label, color in zip(named, PALETTE, strict=False):
        if label in training and len(training[label].step):
            losses.plot(training[label].step, training[label].mean, "--", color=color, linewidth=1.0, zorder=3)
            bottom, top = losses.get_ylim()
            losses.set_ylim(min(bottom, float(np.quantile(training[label].mean, SPIKES))), top)
    scores.set_ylabel(f"validation {score_label(curves)}", color=INK, parse_math=False)
    losses.set_ylabel("loss (lower is better)", color=INK)
    handles = [Line2D([], [], color=color, label=names[label]) for label, color in zip(named, PALETTE, strict=False)]
    if others:
        said = many(len(others), "other") if len(behind) == len(others) else f"{len(behind)} of {len(others):,} others"
        handles.append(Line2D([], [], color=OTHERS, label=said))
    handles.append(Line2D([], [], color=INK, label="validation"))
    if any(len(one.step) for one in training.values()):
        handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.0, label="training loss"))
    if any(one.cut for one in training.values()):
        handles.append(Line2D([], [], color=INK, linestyle="", marker="X", markersize=7, label="a seed diverged"))
    legend_below(figure, handles, columns=2)
    return figure


def band(rows: pd.DataFrame, column: str) -> Band:
    """Mean, lowest and highest value over seeds, at the steps where all seeds of a policy have a finite one.

    Args:
        rows: evaluations of one policy, one a seed and step.
    """
    table = rows.pivot_table(index="step", columns="seed", values=column, dropna=False)
    values = table.to_numpy(dtype=np.float64)
    whole = np.isfinite(values).all(axis=1)
    values = values[whole]
    cut = bool((rows["status"] == "diverged").any())
    step = table.index.to_numpy(dtype=np.float64)[whole]
    return Band(step, values.mean(axis=1), values.min(axis=1, initial=np.inf), values.max(axis=1, initial=-np.inf), cut)


def _draw(axes: Axes, bands: dict[str, Band], named: list[str], behind: list[str]) -> None:
    lines = [np.column_stack((bands[label].step, bands[label].mean)) for label in behind if label in bands]
    axes.add_collection(LineCollection(lines, colors=OTHERS, linewidths=0.8, zorder=1))
    for number, (label, color) in enumerate(zip(named, PALETTE, strict=False)):
        if label not in bands:
            continue
        one, zorder = bands[label], 3 + len(named) - number
        axes.plot(one.step, one.mean, color=color, linewidth=LINE, zorder=zorder)
        axes.fill_between(one.step, one.low, one.high, color=color, alpha=FILL, linewidth=0, zorder=2)
        if one.cut and len(one.step):
            axes.plot(one.step[-1:], one.mean[-1:], "X", color=color, markersize=7, markeredgecolor="white", zorder=20)
    tidy(axes)
    axes.autoscale_view()
    low = np.concatenate([bands[label].low for label in named if label in bands] or [np.zeros(0)])
    high = np.concatenate([bands[label].high for label in named if label in bands] or [np.zeros(0)])
    if len(low):
        bottom, top = np.quantile(low, SPIKES), np.quantile(high, 1 - SPIKES)
        room = 0.05 * (top - bottom) or 0.05
        axes.set_ylim(bottom - room, top + room)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


@register_plot("training", "Score and loss against iteration", place=2)
def _training(frames: Frames) -> Figure:
    return training_figure(frames.curves, frames.policies)
