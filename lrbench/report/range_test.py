"""The picture of a range test: what each learning rate learns in a short run, and where the range lies."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from lrbench.display.names import many
from lrbench.report.frames import objective_label
from lrbench.report.style import FAINT, INK, LINE, PALETTE, WIDTH, tidy, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrbench.lr_range.range_test import RangeTest


def range_figure(test: RangeTest) -> Figure:
    """Training loss and validation objective against the learning rate: constant rates and sweeps, a line a seed.

    The range from `low` to `high` is shaded, the cliff dashed; the heavy line is the median over seeds of the constant
    rates.
    """
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    _panel(losses, test, "loss", "training loss")
    _panel(scores, test, "score", f"validation {objective_label(test.objective, test.better)}")
    titled(losses, f"{test.task}: {many(test.steps, 'iteration')} a run, {many(len(test.seeds), 'seed')}")
    cliff = "" if test.cliff is None else f", cliff {test.cliff.value:.2g}"
    titled(scores, f"low {test.low.value:.2g}, high {test.high.value:.2g}{cliff}")
    handles, labels = losses.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, labelcolor=INK)
    return figure


def _panel(axes: Axes, test: RangeTest, what: str, name: str) -> None:
    axes.set_xscale("log")
    axes.axvspan(test.low.value, test.high.value, color=PALETTE[2], alpha=0.12, linewidth=0, label="the range")
    if test.cliff is not None:
        axes.axvline(test.cliff.value, color=PALETTE[1], linestyle="--", linewidth=1.0, label="the cliff")
    for place, sweep in enumerate(test.sweeps):
        seen = sweep.losses if what == "loss" else sweep.scores
        axes.plot(sweep.lrs, seen, color=FAINT, alpha=0.5, linewidth=0.8, label="sweeps" if place == 0 else None)
    points: dict[float, list[float]] = {}
    for run in test.constant:
        value = run.loss if what == "loss" else run.score
        if value is not None:
            points.setdefault(run.lr, []).append(value)
    for rate, values in points.items():
        axes.plot([rate] * len(values), values, "o", color=PALETTE[0], alpha=0.35, markersize=3)
    rates = sorted(points)
    middles = [median(points[rate]) for rate in rates]
    axes.plot(rates, middles, color=PALETTE[0], linewidth=LINE, label="constant rates, median over seeds")
    if what == "loss":
        low = min(middles)
        high = max([middles[0], *(sweep.losses[0] for sweep in test.sweeps if sweep.losses)])
        axes.set_ylim(low - 0.15 * (high - low), high + 0.35 * (high - low))
    tidy(axes)
    axes.set_xlabel("learning rate", color=INK)
    axes.set_ylabel(name, color=INK, parse_math=False)
