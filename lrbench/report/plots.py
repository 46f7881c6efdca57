"""The plots of a study, by the names that the command line and the report know them by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.report.frames import Frames, rates_of, records
from lrbench.report.lr_curves import lr_figure
from lrbench.report.ranking import ranking_figure
from lrbench.report.style import blank
from lrbench.report.training_curves import training_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_RATES = 40
"""The learning rates of no more policies than this, the best ones, are drawn in one figure."""


@dataclass(frozen=True)
class Plot:
    """One kind of picture.

    Attributes:
        title: what it shows, in a few words.
        draw: from the tables of one task to the figure.
        needs: what a study must have for it, in words, and whether the tables of a task have it.
    """

    title: str
    draw: Callable[[Frames], Figure]
    needs: tuple[str, Callable[[Frames], bool]] = ("a task", lambda frames: True)

    def applies(self, frames: Frames) -> bool:
        """Whether there is something to see."""
        return self.needs[1](frames)


def drawings(frames: Frames) -> Iterator[tuple[str, Figure]]:
    """Every picture that a study has something for, by the name of its file without suffix.

    In a study of several tasks the name says which task it is about.
    """
    for task in frames.tasks:
        one = frames.on(task)
        for name, plot in PLOTS.items():
            if plot.applies(one):
                yield (name if len(frames.tasks) == 1 else f"{name}_{_slug(task)}"), plot.draw(one)


def _slug(task: str) -> str:
    return re.sub(r"[^\w.-]+", "_", task)[:80]


def _lr(frames: Frames) -> Figure:
    curves = {}
    for row in records(frames.policies.drop_duplicates("name").head(MOST_RATES)):
        lrs = rates_of(row["policy"], row["steps"], row["steps_per_epoch"])
        if lrs is not None:
            curves[row["name"]] = lrs
    return lr_figure(curves) if curves else blank("No policy of this study has learning rates that are known yet.")


PLOTS: Mapping[str, Plot] = {
    "ranking": Plot("every policy with its interval and verdict", lambda frames: ranking_figure(frames.policies)),
    "training": Plot(
        "score and loss against iteration", lambda frames: training_figure(frames.curves, frames.policies)
    ),
    "lr": Plot("learning rates, the best policies first", _lr),
}
