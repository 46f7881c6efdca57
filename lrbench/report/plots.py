"""The plots of a study, by the names that the command line and the report know them by."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lrbench.display.names import short_names
from lrbench.policy.curve import rates_of
from lrbench.report.confidence import confidence_figure, reliability_figure
from lrbench.report.cost import cost_figure, costs_differ
from lrbench.report.effects import effects_figure
from lrbench.report.family_tree import family_tree_figure
from lrbench.report.frames import Frames, records
from lrbench.report.lr_curves import lr_figure
from lrbench.report.profile import profile_figure
from lrbench.report.range_map import grids, range_map_figure
from lrbench.report.ranking import ranking_figure
from lrbench.report.robustness import robustness_figure
from lrbench.report.style import blank
from lrbench.report.training_curves import training_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

NAME = 38
"""Names of more characters are shortened, where others of the study say the rest."""

MOST_CURVES, MOST_LEAVES = 20, 40
"""The learning rates of no more policies than this, the best ones, are drawn as curves, and as a tree."""


@dataclass(frozen=True)
class Plot:
    """One kind of picture.

    Attributes:
        title: what it shows, in a few words.
        draw: from the tables to the figure.
        needs, applies: what a study must have so that there is something to see, in words, and whether the tables have
            it.
        over_tasks: it is drawn from the tables of the whole study; all others are from those of one task.
    """

    title: str
    draw: Callable[[Frames], Figure]
    needs: str = "a task"
    applies: Callable[[Frames], bool] = lambda frames: True
    over_tasks: bool = False


class Drawing(NamedTuple):
    """A picture of a study.

    Attributes:
        name: of its file, without suffix; in a study of several tasks it says which task it is about.
        task: that task; None for a picture of all of them.
    """

    name: str
    task: str | None
    plot: Plot
    figure: Figure


def drawings(frames: Frames, *, without: Collection[str] = ()) -> Iterator[Drawing]:
    """Every picture that a study has something for, but for the plots of some names."""
    wanted = {name: plot for name, plot in PLOTS.items() if name not in without}
    for name, plot in wanted.items():
        if plot.over_tasks and plot.applies(frames):
            yield Drawing(name, None, plot, plot.draw(frames))
    for task in frames.tasks:
        one = frames.on(task)
        for name, plot in wanted.items():
            if not plot.over_tasks and plot.applies(one):
                called = name if len(frames.tasks) == 1 else f"{name}_{_slug(task)}"
                yield Drawing(called, task, plot, plot.draw(one))


def _slug(task: str) -> str:
    return re.sub(r"[^\w.-]+", "_", task)[:80]


def _rates(frames: Frames, most: int) -> dict[str, NDArray[np.float64]]:
    """The learning rates of the best policies, as far as they are known without training."""
    policies = frames.policies.drop_duplicates("name")
    called = short_names(policies["name"], NAME).shown
    best = records(policies.head(most))
    known = {called[row["name"]]: rates_of(row["policy"], row["steps"], row["steps_per_epoch"]) for row in best}
    return {name: lrs for name, lrs in known.items() if lrs is not None}


def _class_names(frames: Frames) -> Sequence[str] | None:
    """What the classes of the one task are called, where the store knows."""
    (task,) = frames.definition["tasks"]
    names: Sequence[str] | None = task.get("class_names")
    return names


def _lr(frames: Frames) -> Figure:
    curves = _rates(frames, MOST_CURVES)
    return lr_figure(curves) if curves else blank("No policy of this study has learning rates that are known yet.")


PLOTS: Mapping[str, Plot] = {
    "ranking": Plot("Every policy with its interval and its verdict", lambda f: ranking_figure(f.policies)),
    "training": Plot("Score and loss against iteration", lambda f: training_figure(f.curves, f.policies)),
    "lr": Plot("Learning rates, the best policies first", _lr),
    "map": Plot(
        "Good and bad ranges: the score over two parameters",
        lambda f: range_map_figure(f.policies),
        "two values of two parameters of a function",
        lambda f: bool(grids(f.policies)),
    ),
    "cost": Plot(
        "What a score costs",
        lambda f: cost_figure(f.policies),
        "policies that differ in what they cost",
        lambda f: costs_differ(f.policies),
    ),
    "robustness": Plot(
        "Robustness: the score at other base learning rates",
        lambda f: robustness_figure(f.runs, f.policies),
        "base_lr_scales",
        lambda f: bool((f.runs["stage"] == "scale").any()),
    ),
    "effects": Plot(
        "What training methods change, policy by policy",
        lambda f: effects_figure(f.effects, f.policies),
        "modifiers",
        lambda f: len(f.effects) > 0,
    ),
    "confidence": Plot(
        "Confidence by class",
        lambda f: confidence_figure(f.runs, f.policies, _class_names(f)),
        "a finished run of a classifier",
        lambda f: bool(f.runs["class_confidence"].notna().any()),
    ),
    "reliability": Plot(
        "Is the network right as often as it is sure?",
        lambda f: reliability_figure(f.runs, f.policies),
        "a finished run of a classifier",
        lambda f: bool(f.runs["reliability"].notna().any()),
    ),
    "tree": Plot(
        "What policies share, and where they part",
        lambda f: family_tree_figure(_rates(f, MOST_LEAVES), f.policies["name"].nunique()),
        "several policies",
        lambda f: f.policies["name"].nunique() > 1,
    ),
    "profile": Plot(
        "How often each policy is near the best, over tasks and seeds",
        lambda f: profile_figure(f.runs),
        "several tasks",
        lambda f: len(f.tasks) > 1,
        over_tasks=True,
    ),
}
