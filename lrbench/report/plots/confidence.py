"""Two pictures of confidence: how sure a network is of each class, and whether it is right as often as it is sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lrbench.display.names import shortened
from lrbench.report.frames import one_task, records
from lrbench.report.labels import row_labels
from lrbench.report.plot import register_plot
from lrbench.report.style import FAINT, FILL, INK, PALETTE, WIDTH, blank, legend_below, tidy, titled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from lrbench.report.frames import Frames

MOST_ROWS = 20
MOST_PANELS = 8
COLUMNS = 4
WRITTEN = 20
"""The numbers are written into the cells where there are no more classes than this."""

LEAST = 10
"""The accuracy of fewer samples than this is not drawn."""

CLASS_NAME = 16
"""Characters of a class's name that are shown."""

UPRIGHT = 4
SLANT: Mapping[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
"""Names of classes that are longer than this are slanted, and how."""

NAME, TITLE = 34, 25
"""How many characters of a name stand on a line of a row, and of a panel's title."""

LOWEST = 3.0
"""The height that the name of the colours takes, in inches."""

MAP = "viridis"


class Reliability(NamedTuple):
    """A reliability diagram over the test samples of several seeds, each array [bins]; nan where a bin is empty."""

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    samples: NDArray[np.float64]

    @property
    def calibration_error(self) -> float:
        """The expected calibration error over all samples."""
        return float(np.nansum(np.abs(self.accuracy - self.confidence) * self.samples) / self.samples.sum())


def confidence_figure(runs: pd.DataFrame, policies: pd.DataFrame, class_names: Sequence[str] | None = None) -> Figure:
    """Draw the mean confidence of correct test predictions, by policy and class, over seeds.

    Args:
        runs: `Frames.runs` of one task.
        policies: `Frames.policies` of the same task, for the order.
        class_names: what the classes are called; their labels by default. Names of more than `WRITTEN` classes, which
            no axis has room for, are not shown.
    """
    by_class = {
        label: np.array([[np.nan if value is None else value for value in seen] for seen in lists])
        for label, lists in _details(runs, policies, "class_confidence").items()
    }
    if not by_class:
        return blank("No finished run of this study says how sure it is of each class.")
    shown = list(by_class)[:MOST_ROWS]
    names = row_labels(policies, NAME)
    means = np.array([_means(by_class[label]) for label in shown])
    classes = means.shape[1]
    called = [shortened(name, CLASS_NAME) for name in class_names or map(str, range(classes))]
    slanted = max(map(len, called)) > UPRIGHT and classes <= WRITTEN
    height = 0.32 * len(shown) + 0.14 * sum(names[label].count("\n") for label in shown) + 1.5 + 0.5 * slanted
    figure = Figure(figsize=(WIDTH, max(height, LOWEST)), layout="constrained")
    axes = figure.subplots()
    low = float(np.nanmin(means)) if np.isfinite(means).any() else 0.0
    image = axes.imshow(means, cmap=MAP, vmin=low, vmax=1.0, aspect="auto")
    axes.set_facecolor("#e6e6e6")
    if classes <= WRITTEN:
        for (row, column), value in np.ndenumerate(means):
            dark = not value >= low + 0.6 * (1 - low)
            ink = FAINT if np.isnan(value) else "white" if dark else "black"
            said = "none" if np.isnan(value) else f"{value:.2f}"
            axes.text(column, row, said, ha="center", va="center", fontsize=8, color=ink)
        axes.set_xticks(range(classes), called, parse_math=False, **(SLANT if slanted else {}))
    axes.set_yticks(range(len(shown)), [names[label] for label in shown], fontsize=9, color=INK, parse_math=False)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("class", color=INK)
    scale = figure.colorbar(image, ax=axes, pad=0.02)
    scale.outline.set_visible(False)
    scale.set_label("mean confidence where right", color=INK)
    if len(by_class) > len(shown):
        titled(axes, f"the best {len(shown)} of {len(by_class):,} policies")
    return figure


def reliability_figure(runs: pd.DataFrame, policies: pd.DataFrame) -> Figure:
    """Draw how often the predictions of each confidence are right over the test samples of all seeds, a panel a policy.

    Below the diagonal a network is surer than it is right.

    Args:
        runs: `Frames.runs` of one task.
        policies: `Frames.policies` of the same task, for the order.
    """
    found = {label: pooled(bins) for label, bins in _details(runs, policies, "reliability").items()}
    if not found:
        return blank("No finished run of this study has a reliability diagram.")
    shown = list(found)[:MOST_PANELS]
    names = row_labels(policies, TITLE)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(WIDTH, rows * 2.75 + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, label in zip(panels.flat, shown, strict=False):
        _diagram(axes, found[label])
        titled(axes, names[label])
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel("confidence", fontsize=9, color=INK)
        axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("fraction right", fontsize=9, color=INK)
    more = None if len(found) == len(shown) else f"the best {len(shown)} of {len(found):,} policies"
    handles = [
        Line2D(
            [],
            [],
            color=PALETTE[0],
            marker="o",
            markersize=4,
            label=f"test samples of all seeds, {LEAST} of them or more",
        ),
        Line2D([], [], color=FAINT, linestyle="--", linewidth=1, label="as right as it is sure"),
        Patch(color=PALETTE[0], alpha=FILL * 2, label="share of the samples"),
    ]
    legend_below(figure, handles, columns=3, title=more)
    return figure


def pooled(diagrams: Iterable[Mapping[str, Sequence[float | None]]]) -> Reliability:
    """Pool the samples of several runs in one reliability diagram.

    Args:
        diagrams: of each run its count, confidence and accuracy by bin; None where a bin is empty.
    """
    tables = [
        np.array(
            [
                [np.nan if value is None else value for value in bins[name]]
                for name in ("count", "confidence", "accuracy")
            ]
        )
        for bins in diagrams
    ]
    count = np.sum([table[0] for table in tables], axis=0)
    weighted = [np.nansum([table[0] * table[row] for table in tables], axis=0) for row in (1, 2)]
    confidence, accuracy = (
        np.divide(sums, count, out=np.full_like(count, np.nan), where=count > 0) for sums in weighted
    )
    return Reliability(confidence, accuracy, count)


def _details(runs: pd.DataFrame, policies: pd.DataFrame, column: str) -> dict[str, list[Any]]:
    """Collect a column of the finished runs at the base LR, by label in the order of the policies."""
    found: dict[str, list[Any]] = {label: [] for label in policies["label"]}
    for row in records(one_task(runs)[runs["stage"] == "main"][["label", column]]):
        if row[column] is not None and row["label"] in found:
            found[row["label"]].append(row[column])
    return {label: seen for label, seen in found.items() if seen}


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each column over the rows that have a value; nan where none has."""
    known = np.isfinite(values)
    sums = np.where(known, values, 0.0).sum(axis=0)
    means: NDArray[np.float64] = np.divide(
        sums, known.sum(axis=0), out=np.full_like(sums, np.nan), where=known.any(axis=0)
    )
    return means


def _diagram(axes: Axes, diagram: Reliability) -> None:
    bins = len(diagram.samples)
    axes.bar(
        (np.arange(bins) + 0.5) / bins,
        diagram.samples / diagram.samples.sum(),
        1 / bins,
        color=PALETTE[0],
        alpha=FILL * 2,
    )
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
    filled = diagram.samples >= LEAST
    axes.plot(
        diagram.confidence[filled],
        diagram.accuracy[filled],
        color=PALETTE[0],
        marker="o",
        markersize=3.5,
        linewidth=1.4,
    )
    axes.text(0.03, 0.93, f"ECE {diagram.calibration_error:.3f}", fontsize=8.5, color=INK, transform=axes.transAxes)
    tidy(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _class_names(frames: Frames) -> Sequence[str] | None:
    """Return what the classes of the one task are called, where the store knows."""
    (task,) = frames.record.tasks
    return task.class_names


@register_plot(
    "confidence",
    "Confidence by class",
    needs="a finished run of a classifier",
    applies=lambda frames: bool(frames.runs["class_confidence"].notna().any()),
    place=8,
)
def _confidence(frames: Frames) -> Figure:
    return confidence_figure(frames.runs, frames.policies, _class_names(frames))


@register_plot(
    "reliability",
    "Is the network right as often as it is sure?",
    needs="a finished run of a classifier",
    applies=lambda frames: bool(frames.runs["reliability"].notna().any()),
    place=9,
)
def _reliability(frames: Frames) -> Figure:
    return reliability_figure(frames.runs, frames.policies)
