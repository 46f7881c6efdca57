"""A run as metrics see it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.metrics.curves import steps_to_target
from lrbench.metrics.direction import Better, as_gain, is_worthless
from lrbench.metrics.metric import METRICS, metrics_of_curves, metrics_of_runs
from lrbench.metrics.statistics import Bounds

TOP1 = "top1"
"""The name of the objective of a task that brings no metric of its own."""

Split = Literal["val", "test"]
SPLITS: tuple[Split, ...] = ("val", "test")


class Curve:
    """A run's evaluations on the validation split.

    Args:
        steps: iterations done, rising.
        scores: the task's objective; a gap where it is not finite.
    """

    def __init__(self, steps: ArrayLike, scores: ArrayLike) -> None:
        self.arrays = np.asarray(steps, dtype=np.int64), np.asarray(scores, dtype=np.float64)
        """The two as arrays [evaluations], views of what was read: a store of 100,000 runs has millions of numbers."""

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(self.arrays[0].tolist())

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(self.arrays[1].tolist())

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curve):
            return NotImplemented
        pairs = zip(self.arrays, other.arrays, strict=True)
        return all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Curve(steps={self.steps}, scores={self.scores})"

    def __str__(self) -> str:
        """Write the curve in one cell of a table, scores to six digits.

        >>> str(Curve((50, 100), (0.25, 0.5)))
        '50:0.25 100:0.5'
        """
        points = chain.from_iterable(zip(self.steps, self.scores, strict=True))
        return " ".join(["%d:%.6g"] * len(self.steps)) % tuple(points)

    @classmethod
    def parse(cls, text: str) -> Curve:
        """Read what `str` writes.

        Raises:
            ValueError: the text is no curve.
        """
        points = [point.split(":") for point in text.split()]
        return cls([int(step) for step, _ in points], [float(score) for _, score in points])


Column = list[float | None]
"""A metric of many runs; None where a run does not have it."""


class Figures(Mapping[str, float | None]):
    """The metrics of one run by name: a row of a table that many runs share, for 100,000 dicts need much more room.

    Args:
        columns: the metrics of the runs of the table.
        place: of the run in each column.
        names: of the metrics that the run has, if only as None; values are not read.
    """

    __slots__ = ("columns", "names", "place")

    def __init__(self, columns: Mapping[str, Column], place: int, names: Mapping[str, object]) -> None:
        self.columns, self.place, self.names = columns, place, names

    def __reduce__(self) -> tuple[type[Figures], tuple[dict[str, Column], int, dict[str, None]]]:
        """Leave the other runs behind."""
        return Figures, ({name: [value] for name, value in self.items()}, 0, dict.fromkeys(self))

    def __getitem__(self, name: str) -> float | None:
        if name not in self.names:
            raise KeyError(name)
        return self.columns[name][self.place]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True)
class RunRecord:
    """One policy trained with one seed."""

    seed: int
    status: Literal["finished", "diverged"]
    steps: int
    """Iterations done, fewer than the budget for a run that diverged."""
    curve: Curve
    final: Mapping[str, float | None]
    """The stored metrics of the trained network by name: `val_<objective>`, `test_<objective>`, and others. Names that
    are not registered are averaged over seeds too."""
    diverged_at: int | None = None
    seconds: float | None = None
    evaluating: float | None = None
    flops: float | None = None
    chance: float | None = None
    """The objective's value for guessing, as which a diverged run counts; None: such a run is left out."""
    objective: str = TOP1
    """Name of the score by which policies are compared."""
    better: Better = "higher"
    """Which way that score is better."""
    bounds: Bounds | None = None
    """The lowest and the highest possible score, where the task gives them."""
    is_tested: bool = True
    """Whether its task measures a test score."""

    @property
    def diverged(self) -> bool:
        return self.status == "diverged"

    @property
    def is_finite(self) -> bool:
        """Whether the final objective is finite on both splits; True for a run that diverged, which has none."""
        scores = (self.final.get(f"{split}_{self.objective}") for split in SPLITS)
        return self.diverged or all(score is None or math.isfinite(score) for score in scores)

    def score(self, split: Split) -> float | None:
        """Return the final objective on a split; chance where the run diverged, or it is NaN or infinitely bad.

        None where the task does not measure it.
        """
        if split == "test" and not self.is_tested:
            return None
        score = self.final.get(f"{split}_{self.objective}")
        worthless = self.diverged or (score is not None and is_worthless(score, self.better))
        return self.chance if worthless else score

    def steps_to(self, target: float) -> int | None:
        """Return the first evaluated step whose score is as good as `target`; None without one, or if it diverged."""
        return arrivals([self], target)[0]

    @property
    def gains(self) -> list[float]:
        """The scores of the curve as gains."""
        return [as_gain(score, self.better) for score in self.curve.scores]

    @cached_property
    def figures(self) -> Figures:
        """The metrics of a finished run by name; of a diverged run its two scores alone."""
        return figures_of([self])[0]


@dataclass(frozen=True)
class PolicyRuns:
    """A policy of a study and its ended runs."""

    name: str
    policy: str
    """The policy's text."""
    runs: tuple[RunRecord, ...]


class Curves(NamedTuple):
    """The curves of runs that were evaluated equally often, as arrays [runs, evaluations]."""

    steps: NDArray[np.int64]
    scores: NDArray[np.float64]
    gains: NDArray[np.float64]
    """The scores as gains."""

    @classmethod
    def of(cls, runs: Sequence[RunRecord]) -> Curves:
        steps, scores = (np.array([run.curve.arrays[which] for run in runs]) for which in (0, 1))
        return cls(steps, scores, scores * [[as_gain(1.0, run.better)] for run in runs])


def _by_length(runs: Sequence[RunRecord]) -> Iterator[tuple[list[int], Curves]]:
    """Yield the curves of finished runs, those of each length together, with the places of the runs."""
    lengths: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        if not run.diverged:
            lengths.setdefault(len(run.curve), []).append(place)
    for places in lengths.values():
        yield places, Curves.of([runs[place] for place in places])


def arrivals(runs: Sequence[RunRecord], target: float) -> list[int | None]:
    """Return `RunRecord.steps_to` of each run, computed for all together."""
    found: list[int | None] = [None] * len(runs)
    for places, curves in _by_length(runs):
        goal = np.array([[as_gain(target, runs[place].better)] for place in places])
        for place, step in zip(places, steps_to_target(curves.steps, curves.gains, goal), strict=True):
            found[place] = step
    return found


def figures_of(runs: Sequence[RunRecord]) -> list[Figures]:
    """Return the `figures` of each run, computed for all together, some ten times faster."""
    objectives = dict.fromkeys(run.objective for run in runs)
    scores = {(split, name): f"{split}_{name}" for split in SPLITS for name in objectives}
    stored = dict.fromkeys(chain.from_iterable(run.final for run in runs if not run.diverged))
    columns: dict[str, Column] = {
        name: [None if run.diverged else run.final.get(name) for run in runs] for name in stored
    }
    for (split, objective), name in scores.items():
        others = columns.get(name, [None] * len(runs))
        columns[name] = [
            run.score(split) if run.objective == objective else other for run, other in zip(runs, others, strict=True)
        ]
    for places, curves in _by_length(runs):
        for name, values in metrics_of_curves(curves).items():
            column = columns.setdefault(name, [None] * len(runs))
            for place, value in zip(places, values, strict=True):
                column[place] = value
    columns |= metrics_of_runs(runs)
    computed = [name for name, metric in METRICS.items() if metric.of_curves or metric.of_run]
    names: dict[tuple[object, ...], dict[str, None]] = {}

    def names_of(run: RunRecord) -> dict[str, None]:
        own = tuple(scores[split, run.objective] for split in SPLITS)
        alike = (own, None if run.diverged else tuple(run.final))
        if alike not in names:
            names[alike] = dict.fromkeys(own if run.diverged else (*run.final, *own, *computed))
        return names[alike]

    return [Figures(columns, place, names_of(run)) for place, run in enumerate(runs)]


def columns_of(runs: Sequence[RunRecord]) -> dict[str, NDArray[np.float64]]:
    """Return the figures of runs as arrays [runs] by name; nan where a run does not have it."""
    tables: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        tables.setdefault(id(run.figures.columns), []).append(place)
    found: dict[str, NDArray[np.float64]] = {}
    for places in tables.values():
        rows = [runs[place].figures.place for place in places]
        for name, column in runs[places[0]].figures.columns.items():
            values = found.setdefault(name, np.full(len(runs), np.nan))
            values[places] = np.array(column, dtype=np.float64)[rows]
    return found


def measure(runs: Iterable[RunRecord]) -> None:
    """Compute the `figures` of runs, all together."""
    known = list(runs)
    for run, figures in zip(known, figures_of(known), strict=True):
        vars(run)["figures"] = figures  # where `cached_property` looks for it
