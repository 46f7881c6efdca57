"""What is written to a store and read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

Status = Literal["running", "finished", "diverged", "failed"]

ENDED: tuple[Status, ...] = ("finished", "diverged")
"""The statuses of runs whose numbers are final; any other run is trained (again) when it is next asked for."""


@dataclass(frozen=True)
class Score:
    """One evaluation as it is stored: losses, and the task's objective on validation and test.

    The scores and the test loss may be nan or infinite: that a user's metric is so is a fact about the evaluation.
    """

    step: int
    train_loss: float
    val_loss: float
    val_score: float
    test_loss: float
    test_score: float


NO_EVALUATIONS = np.empty((0, len(fields(Score))))


class Scores(Sequence[Score]):
    """A run's evaluations by rising step, in one table of which a `Score` is made when it is asked for.

    A store of 100,000 runs has millions of them.

    Args:
        table: float64 [evaluations, 6], the fields of `Score`.
    """

    def __init__(self, table: NDArray[np.float64] = NO_EVALUATIONS) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, place: int) -> Score: ...
    @overload
    def __getitem__(self, place: slice) -> Scores: ...
    def __getitem__(self, place: int | slice) -> Score | Scores:
        if isinstance(place, slice):
            return Scores(self._table[place])
        step, *figures = self._table[place].tolist()
        return Score(int(step), *figures)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Scores):
            return np.array_equal(self._table, other._table, equal_nan=True)
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return repr(tuple(self))

    def steps(self) -> list[int]:
        return [int(step) for step in self._table[:, 0].tolist()]

    def val_scores(self) -> list[float]:
        scores: list[float] = self._table[:, 3].tolist()
        return scores


@dataclass(frozen=True)
class Segment:
    """What one finished segment of a run adds to the store.

    Attributes:
        step: iterations of the run done after it.
        seconds: wall time spent on training and evaluating it, without what other runs of the same training took.
        flops: floating-point operations of training of the whole run so far.
        final: the metrics of the last evaluation, once the run is finished.
        checkpoint: the file name of the state after it, where the run goes on from there.
        provenance: what trained it, where that is not what the run began with.
    """

    step: int
    seconds: float
    flops: int
    scores: tuple[Score, ...]
    status: Status = "running"
    diverged_at: int | None = None
    final: Mapping[str, Any] | None = None
    checkpoint: str | None = None
    provenance: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class NewRun:
    """What identifies a run, before anything is known of how it ends."""

    key: str
    task: str
    task_key: str
    policy: str
    modifiers: str
    seed: int
    steps: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class StoredRun(NewRun):
    """All that the store knows of a run; `created` is when it was begun, in seconds since 1970."""

    status: Status
    step: int
    seconds: float
    flops: int
    diverged_at: int | None
    error: str | None
    final: Mapping[str, Any] | None
    checkpoint: str | None
    created: float = field(compare=False)
    scores: Scores = field(default_factory=Scores)

    @property
    def ended(self) -> bool:
        """Whether its numbers are final."""
        return self.status in ENDED


@dataclass(frozen=True)
class StudySlot:
    """A place of a study that a run fills."""

    task: str
    stage: str
    entry: str
    variant: str
    scale: float
    seed: int
    run: str


@dataclass(frozen=True)
class Holder:
    """A coordinator that holds runs, by its machine and its process there."""

    machine: str
    process: int
    runs: int
