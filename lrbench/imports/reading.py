"""How a source of runs is read, and what its runs are judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

from lrbench.errors import StudyError
from lrbench.imports.table import Columns
from lrbench.metrics.direction import Better
from lrbench.metrics.goal import Goal, Margin


@dataclass(frozen=True)
class Reading:
    """How a source is read, and what its runs are judged by.

    Attributes:
        metric: the column to judge by, by default the one that is plain.
        better: which way the metric is better, by default as its name says.
        margin: the difference that does not matter, in the metric's unit, or as a share of the best, as in "1%".
        target: the value to reach.
        columns: which column is what, such as {"policy": "optimizer"}; others are found by their names.
        pattern: what a line of a log looks like that has numbers; a file is a run, a folder a policy.
        wide: the table has a column for each run, whose names look like this, as in "{policy}_{seed}"; of TensorBoard,
            MLflow and W&B, what the names of runs look like.
        paired: whether runs of one name belong together, by default where their names are seeds.

    Raises:
        StudyError: the margin is none, or the target is not finite.
    """

    metric: str | None = None
    better: Better | None = None
    margin: float | str = 0.0
    target: float | None = None
    columns: Columns | None = None
    pattern: str | None = None
    wide: str | None = None
    paired: bool | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not math.isfinite(self.target):
            raise StudyError(f"the target must be a finite number, but is {self.target}")
        Goal.parse(f"margin:{self.margin}")

    @property
    def distance(self) -> Margin:
        """The margin as a number or a share."""
        found = Goal.parse(f"margin:{self.margin}").margin
        assert found is not None
        return found

    @property
    def has_terms(self) -> bool:
        """Whether it says by what the runs are judged, so that the terms they were exported with do not count."""
        given = (self.metric, self.better, self.target, self.paired)
        return any(one is not None for one in given) or self.distance.size > 0


class ReadingArguments(TypedDict, total=False):
    """The fields of a `Reading` as arguments."""

    metric: str | None
    better: Better | None
    margin: float | str
    target: float | None
    columns: Columns | None
    pattern: str | None
    wide: str | None
    paired: bool | None
