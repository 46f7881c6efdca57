"""A study as a tree: runs that agree on their learning rates share a trunk, and fork where they first differ."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lrbench.training.estimate import grain

if TYPE_CHECKING:
    from lrbench.training.plan import PlannedRun


@dataclass(frozen=True, eq=False)
class Branch:
    """Iterations that runs have in common: the same task, seed, modifiers and learning rates from the first on.

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
        """One of the runs, for what they share: task, seed, modifiers, and learning rates up to `stop`."""
        return self.runs[0]

    def after(self, step: int) -> Branch:
        """What is left of it once `step` iterations of its runs are done."""
        return replace(self, start=step, steps=self.steps - (step - self.start))


def forest(runs: Iterable[PlannedRun], resume_point: Callable[[PlannedRun], tuple[int, Hashable]]) -> list[Branch]:
    """The trees of the training that answers runs, in the order of the runs.

    Runs share iterations where task, seed and modifiers are the same and the learning rates are equal bit for bit from
    where they stand; forks lie at multiples of a `grain` from there, so that none costs more than it saves. A policy
    that reacts to evaluations has no learning rates before it is trained, and shares only with itself. What a run's
    variant watches does not keep it from sharing.

    Args:
        runs: each key once.
        standing: the iterations that a run has behind it, and what identifies the state that it goes on from.
    """
    groups: dict[Hashable, dict[str, list[PlannedRun]]] = {}
    for run in runs:
        groups.setdefault((run.trunk, resume_point(run)), {}).setdefault(run.training_key, []).append(run)
    return [tree for group in groups.values() for tree in _trees(list(group.values()), resume_point)]


def next_branch(ready: Sequence[Branch], workers: int, remaining: Callable[[Branch], float]) -> int:
    """Return the place in `ready` of the branch to train next.

    Where there is no more to do at once than there are workers, that is the branch on the longest path, and among
    those the one that opens most. Where there is enough to keep all of them busy, it is the smallest one: finishing
    small subtrees first closes forks, so that one worker never has more of them open than the logarithm to base 2 of
    the number of runs.

    Args:
        remaining: the cost of the path from the beginning of a branch to the end of its budget, in any unit.
    """
    if len(ready) > workers:
        return min(range(len(ready)), key=lambda i: (len(ready[i].runs), ready[i].steps))
    return max(range(len(ready)), key=lambda i: (remaining(ready[i]), len(ready[i].runs)))


def _trees(
    trainings: Sequence[Sequence[PlannedRun]], resume_point: Callable[[PlannedRun], tuple[int, Hashable]]
) -> list[Branch]:
    """The trees of runs that stand at the same state; those of one training are given together."""
    start, _ = resume_point(trainings[0][0])
    if len(trainings) == 1:
        return [_leaf(trainings[0], start)]
    lrs = [runs[0].lrs[start:] for runs in trainings]
    order = sorted(range(len(lrs)), key=lambda i: lrs[i].tobytes())
    unit = grain(trainings[0][0].task)
    shared = [start + _agreement(lrs[one], lrs[other]) // unit * unit for one, other in pairwise(order)]
    roots = _grown([trainings[i] for i in order], shared, start)
    place = {id(runs[0]): i for i, runs in enumerate(trainings)}
    return sorted(roots, key=lambda root: min(place.get(id(run), len(place)) for run in root.runs))


def _grown(trainings: Sequence[Sequence[PlannedRun]], shared: Sequence[int], start: int) -> list[Branch]:
    """Trees over trainings in the order of their learning rates, of which neighbours share iterations up to `shared`.

    Each open fork holds what has been found below it; it is closed once a neighbour parts from it earlier.
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
    """A branch whose beginning is not known yet, with the branches after it."""

    runs: tuple[PlannedRun, ...]
    stop: int
    stems: list[_Stem]

    def branch(self, start: int) -> Branch:
        """The branch, once its beginning is known; without recursion, for forks may follow each other by thousands."""
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
            grown[id(stem)] = Branch(stem.runs, begins, stem.stop, children, steps)
        return grown[id(self)]


def _leaf(runs: Sequence[PlannedRun], start: int) -> Branch:
    stop = runs[0].task.steps
    return Branch(tuple(runs), start, stop, (), stop - start)


def _agreement(one: np.ndarray, other: np.ndarray) -> int:
    """For how many iterations two arrays of learning rates agree bit for bit, from the first on."""
    different = one.view(np.int64) != other.view(np.int64)
    return int(different.argmax()) if different.any() else len(one)
