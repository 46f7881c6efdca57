"""The family tree of policies: up to which iteration their learning rates are the same, and where they part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from lrbench.display.names import fitted, short_names
from lrbench.report.plot import register_plot
from lrbench.report.plots.lr_curves import rates_of_best
from lrbench.report.style import FAINT, INK, PALETTE, WIDTH, blank, legend_below, tidy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.report.frames import Frames

NAME = 40
SHARED, OWN = PALETTE[1], PALETTE[0]

MOST_LEAVES = 40
"""No more policies than this, the best ones, are in the tree."""

LEAST = 0.01
"""Policies that share no more of the budget than this from the start are drawn as trees of their own."""


@dataclass(frozen=True)
class Branch:
    """A stretch of iterations that some policies share.

    Attributes:
        names: the policies; more than one where there are `children`, or where their learning rates are all the same.
        start, stop: its iterations are start, ..., stop - 1.
        children: the branches that go on from `stop`.
    """

    names: tuple[str, ...]
    start: int
    stop: int
    children: tuple[Branch, ...] = ()

    @property
    def trained(self) -> int:
        """The iterations of it and of all that follows, each counted once."""
        return self.stop - self.start + sum(child.trained for child in self.children)

    def leaves(self) -> Iterator[Branch]:
        """The branches that nothing goes on from, in order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def prefix_tree(curves: Mapping[str, NDArray[np.float64]]) -> tuple[Branch, ...]:
    """Group policies by what they share from iteration 0 on; those that differ there are trees of their own.

    Args:
        curves: for each name the learning rates of iterations 0, 1, ...: float64 [steps], the same number for all.
    """
    return tuple(_branches(list(curves), curves, 0))


def family_tree_figure(curves: Mapping[str, NDArray[np.float64]], of: int | None = None) -> Figure:
    """Draw the tree of the policies' learning rates: what several of them share is trained only once.

    Args:
        curves: as for `prefix_tree`, at least one.
        of: how many policies there are, where these are the best of them.
    """
    if not curves:
        return blank("No policy of this study has learning rates that are known before training.")
    trees = prefix_tree(curves)
    steps = len(next(iter(curves.values())))
    trained, nominal = sum(tree.trained for tree in trees), steps * len(curves)
    trees = tuple(_apart(trees, LEAST * steps))
    leaves = [leaf for tree in trees for leaf in tree.leaves()]
    names = short_names(curves, NAME).shown
    titles = [fitted(" = ".join(names[name] for name in leaf.names), NAME) for leaf in leaves]
    figure = Figure(
        figsize=(WIDTH, 0.26 * len(leaves) + 0.13 * sum(t.count("\n") for t in titles) + 1.5), layout="constrained"
    )
    axes = figure.subplots()
    heights = {leaf: float(place) for place, leaf in enumerate(leaves)}
    level: list[list[tuple[float, float]]] = []
    shared: list[list[tuple[float, float]]] = []
    own: list[list[tuple[float, float]]] = []
    for tree in trees:
        _lay(tree, heights, shared, own, level)
    axes.add_collection(LineCollection(level, colors=FAINT, linewidths=0.9))
    axes.add_collection(LineCollection(own, colors=OWN, linewidths=2.0))
    axes.add_collection(LineCollection(shared, colors=SHARED, linewidths=3.6))
    tidy(axes, grid="x")
    axes.set_xlim(-0.01 * steps, steps)
    axes.set_ylim(len(leaves) - 0.4, -0.6)
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(leaves)), titles, fontsize=9, color=INK, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("iteration", color=INK)
    who = "These policies" if of in (None, len(curves)) else f"{len(curves)} of {of:,} policies"
    saved = f"{who} have {trained:,} different iterations of {nominal:,}: a seed takes {1 - trained / nominal:.0%} less"
    handles = [
        Line2D([], [], color=SHARED, linewidth=3.6, label="learning rates that several policies share"),
        Line2D([], [], color=OWN, linewidth=2.0, label="a policy's own"),
    ]
    legend_below(figure, handles, columns=2, title=saved)
    return figure


def _branches(names: Sequence[str], curves: Mapping[str, NDArray[np.float64]], start: int) -> Iterator[Branch]:
    """List the branches that begin at an iteration, of policies that were the same before it."""
    groups: dict[float, list[str]] = {}
    for name in names:
        groups.setdefault(float(curves[name][start]), []).append(name)
    for group in groups.values():
        stop = _common(group, curves, start)
        if stop == len(curves[group[0]]):
            yield Branch(tuple(group), start, stop)
        else:
            yield Branch(tuple(group), start, stop, tuple(_branches(group, curves, stop)))


def _apart(trees: Iterable[Branch], least: float) -> Iterator[Branch]:
    """Leave out the trunks that end before an iteration."""
    for tree in trees:
        if tree.children and tree.stop < least:
            yield from _apart(tree.children, least)
        else:
            yield tree


def _common(names: Sequence[str], curves: Mapping[str, NDArray[np.float64]], start: int) -> int:
    """Find the first iteration from `start` on at which the policies are not all the same."""
    first = curves[names[0]]
    stop = len(first)
    for name in names[1:]:
        differs = np.flatnonzero(curves[name][start:stop] != first[start:stop])
        stop = start + int(differs[0]) if len(differs) else stop
    return stop


Lines = list[list[tuple[float, float]]]


def _lay(branch: Branch, heights: dict[Branch, float], shared: Lines, own: Lines, level: Lines) -> float:
    """Add the lines of a branch and of all that follows it, and return at which height it lies."""
    below = [_lay(child, heights, shared, own, level) for child in branch.children]
    height = sum(below) / len(below) if below else heights[branch]
    (shared if len(branch.names) > 1 else own).append([(branch.start, height), (branch.stop, height)])
    if below:
        level.append([(branch.stop, min(below)), (branch.stop, max(below))])
    return height


@register_plot(
    "tree",
    "What policies share, and where they part",
    needs="several policies, not imported",
    applies=lambda frames: frames.record.source is None and frames.policies["name"].nunique() > 1,
    place=10,
)
def _tree(frames: Frames) -> Figure:
    return family_tree_figure(rates_of_best(frames, MOST_LEAVES), frames.policies["name"].nunique())
