"""A study as a tree: runs that agree on their learning rates share a trunk, and fork where they first differ."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lrbench.study.schedule import computed_lrs
from lrbench.training.estimate import grain

if TYPE_CHECKING:
    from lrbench.tasks import AnyTask
    from lrbench.training.plan import PlannedRun

Layout = tuple[list[int], list[int]]
"""Trainings in the order of their learning rates, by their places, and until where each shares them with the next."""

RATES_AT_ONCE = 2**21
"""Of the learning rates that are compared about as many as these are in memory."""


@dataclass(frozen=True, eq=False)
class Branch:
    """Iterations that runs have in common: the same task, seed, modifiers and learning rates from the first on.

    Their budgets may differ, where it stops before the shortest of them ends.

    Attributes:
        runs: every run that passes through here; where nothing follows they end with the same weights, each watched
            in its own way or not at all.
        start, stop: the iterations of this branch, counted from 0; `stop` is not among them.
        children: how the runs go on from `stop`; empty where that is the end of the budget.
        steps: the iterations of this branch and all that follow it.
    """

    runs: tuple[PlannedRun, ...]
    start: int
    stop: int
    children: tuple[Branch, ...]
    steps: int

    @property
    def training(self) -> PlannedRun:
        """One of the runs, for all that they share: task, seed, modifiers, and learning rates up to `stop`."""
        return self.runs[0]

    def paused(self) -> Branch:
        """Part a last branch in two where the state of its runs is kept."""
        at = self.training.row.kept_at
        if self.children or not self.start < at < self.stop:
            return self
        return replace(self, stop=at, children=(replace(self, start=at, steps=self.stop - at),))

    def after(self, step: int) -> Branch:
        """Return the rest of the branch after `step` iterations of its runs."""
        return replace(self, start=step, steps=self.steps - (step - self.start))


def forest(runs: Iterable[PlannedRun], resume_point: Callable[[PlannedRun], tuple[int, Hashable]]) -> list[Branch]:
    """Lay runs out as trees of training, in the order of the runs.

    Runs share iterations where task, seed and modifiers are the same and the learning rates are equal bit for bit from
    their resume point on. Forks lie at multiples of a `grain` from there, so that none costs more than it saves. A
    reactive policy has no learning rates before it is trained, and shares only with itself. Watchers do not keep runs
    from sharing. Runs of different budgets share too, but for the last iteration of the shorter one, and unless there
    are modifiers or watchers among them, which may ask for the budget.

    Args:
        runs: each key once.
        resume_point: the iterations that a run has done, and what identifies the state that it goes on from.
    """
    return [
        tree for trainings, start, layout in _laid_out(runs, resume_point) for tree in _trees(trainings, start, layout)
    ]


def shared_steps(
    runs: Iterable[PlannedRun], resume_point: Callable[[PlannedRun], tuple[int, Hashable]]
) -> Iterator[tuple[AnyTask, int]]:
    """Yield tasks with the iterations of their trees in a `forest`, shared ones counted once."""
    for trainings, start, (_, shared) in _laid_out(runs, resume_point):
        steps = sum(of_one[0].task.steps - start for of_one in trainings)
        yield trainings[0][0].task, steps - (sum(shared) - start * len(shared))


def _laid_out(
    runs: Iterable[PlannedRun], resume_point: Callable[[PlannedRun], tuple[int, Hashable]]
) -> Iterator[tuple[list[list[PlannedRun]], int, Layout]]:
    """Yield runs that go on from the same state, grouped by training, with where they start and their layout."""
    runs = list(runs)
    apart = {run.trunk for run in runs if run.variant.parts}
    groups: dict[Hashable, dict[str, list[PlannedRun]]] = {}
    for run in runs:
        trunk = run.trunk
        group_key = (trunk, resume_point(run), run.task.steps if trunk in apart else None)
        groups.setdefault(group_key, {}).setdefault(run.training_key, []).append(run)
    layouts: dict[Hashable, Layout] = {}
    for group in groups.values():
        trainings = list(group.values())
        start, _ = resume_point(trainings[0][0])
        alike = (trainings[0][0].task.key, start, *(of_one[0].row.schedule.digest for of_one in trainings))
        if alike not in layouts:
            layouts[alike] = _layout(trainings, start)
        yield trainings, start, layouts[alike]


def next_branch(ready: Sequence[Branch], workers: int, remaining: Callable[[Branch], float]) -> int:
    """Return the place in `ready` of the branch to train next.

    With no more branches than workers, it is the one on the longest path, and among equals the one with most runs.
    With more, it is the smallest one: finishing small subtrees first closes forks, so that one worker never has more of
    them open than the logarithm to base 2 of the number of runs.

    Args:
        remaining: the cost of the path from the beginning of a branch to the end of its budget, in any unit.
    """
    if len(ready) > workers:
        return min(range(len(ready)), key=lambda i: (len(ready[i].runs), ready[i].steps))
    return max(range(len(ready)), key=lambda i: (remaining(ready[i]), len(ready[i].runs)))


def _trees(trainings: Sequence[Sequence[PlannedRun]], start: int, layout: Layout) -> list[Branch]:
    """Make the trees of a layout, in the order of their first runs."""
    order, shared = layout
    roots = _grown([trainings[i] for i in order], shared, start)
    place = {id(runs[0]): i for i, runs in enumerate(trainings)}
    return sorted(roots, key=lambda root: min(place.get(id(run), len(place)) for run in root.runs))


def _layout(trainings: Sequence[Sequence[PlannedRun]], start: int) -> Layout:
    """Sort trainings by the bytes of their learning rates, and measure how far neighbours agree.

    Those that agree so far are compared by some more iterations, so that few learning rates are in memory at once. One
    that ends before others is filled up with zeros, and parts from them before its last iteration at the latest.
    """
    if len(trainings) == 1:
        return [0], []
    budgets, unit = np.array([of_one[0].task.steps for of_one in trainings]), grain(trainings[0][0].task)
    steps = int(budgets.max())
    order, agreed = np.arange(len(trainings)), np.zeros(len(trainings) - 1, dtype=np.int64)
    pending = [(0, len(trainings), start)]
    while pending:
        low, high, begin = pending.pop()
        stop = min(steps, begin + max(RATES_AT_ONCE // (high - low), unit))
        table = np.zeros((high - low, stop - begin))
        for row, place in zip(table, order[low:high], strict=True):
            lrs = computed_lrs(trainings[place][0].policy, int(budgets[place]))[begin:stop]
            row[: len(lrs)] = lrs
        found = table.view(np.dtype((np.void, table.itemsize * table.shape[1])))[:, 0].argsort(kind="stable")
        order[low:high], bits = order[low:high][found], table[found].view(np.int64)
        parts = np.column_stack([bits[1:] != bits[:-1], np.ones(len(bits) - 1, dtype=bool)]).argmax(axis=1)
        agreed[low : high - 1] = begin + parts
        if stop < steps:
            ends = np.flatnonzero(np.append(parts < stop - begin, True)) + 1
            pending += [(low + one, low + end, stop) for one, end in pairwise([0, *ends.tolist()]) if end - one > 1]
    last = np.where(budgets < steps, budgets - 1, budgets)[order]
    agreed = np.minimum(agreed, np.minimum(last[1:], last[:-1]))
    return order.tolist(), (start + (agreed - start) // unit * unit).tolist()


def _grown(trainings: Sequence[Sequence[PlannedRun]], shared: Sequence[int], start: int) -> list[Branch]:
    """Lay out trainings in the order of their learning rates, of which neighbours share iterations up to `shared`.

    An open fork holds the stems found below it; it is closed when a neighbour parts earlier.
    """
    open_forks: list[tuple[int, list[_Stem]]] = [(start, [])]
    for runs, until in zip(trainings, [*shared, start], strict=True):
        stem = _Stem(tuple(runs), runs[0].task.steps, [])
        while open_forks[-1][0] > until:
            fork, stems = open_forks.pop()
            stems.append(stem)
            stem = _Stem(tuple(run for below in stems for run in below.runs), fork, stems)
        if open_forks[-1][0] < until:
            open_forks.append((until, []))
        open_forks[-1][1].append(stem)
    return [stem.branch(start) for stem in open_forks[0][1]]


@dataclass(frozen=True)
class _Stem:
    """A branch whose start is not known yet, with the stems after it."""

    runs: tuple[PlannedRun, ...]
    stop: int
    stems: list[_Stem]

    def branch(self, start: int) -> Branch:
        """Make the branch, given its start; without recursion, for forks may follow each other by thousands."""
        inner: list[tuple[_Stem, int]] = []
        pending = [(self, start)]
        while pending:
            stem, begins = pending.pop()
            inner.append((stem, begins))
            pending.extend((below, stem.stop) for below in stem.stems)
        grown: dict[int, Branch] = {}
        for stem, begins in reversed(inner):
            children = tuple(grown.pop(id(below)) for below in stem.stems)
            steps = stem.stop - begins + sum(child.steps for child in children)
            grown[id(stem)] = Branch(stem.runs, begins, stem.stop, children, steps).paused()
        return grown[id(self)]
