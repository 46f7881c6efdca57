"""Declarations of metrics and their registry, which scorecards, tables, the page and plots read."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lrbench.errors import StudyError
from lrbench.metrics.direction import Better
from lrbench.metrics.statistics import Bounds
from lrbench.registry import Registry

if TYPE_CHECKING:
    from lrbench.metrics.confidence import Classification
    from lrbench.metrics.runs import RunRecord

    OfRun = Callable[[RunRecord], float | None]


@dataclass(frozen=True)
class RunEnd:
    """The last evaluation of a run: mean losses, and the metrics of its predictions.

    The train loss is None where it was not measured, a classification where there are no classes or no finite outputs.
    """

    train_loss: float | None
    val_loss: float
    test_loss: float
    val: Classification | None
    test: Classification | None


@dataclass(frozen=True)
class MetricDeclaration:
    """A number that describes a run, and how it is shown.

    Attributes:
        name: its key in documents, tables and the store.
        title: the title of its column.
        help: what it means, in half a sentence.
        digits: how many are shown behind the point; where negative, how many significant ones.
        better: which way it is better; None where neither is.
        bounds: its lowest and highest possible value; intervals are clipped to them.
        at_end: computes it when a run ends; it is stored with the run.
        of_run: computes it from what is stored of a run, whenever results are read.
        expected: every scorecard has it, known or not; others are there only where a run has them.
        column: where it is a column beside the scores, once it is known: nowhere, on the page, or on the page and in
            the ranking that the command line prints.
        dispensable: where names need room in that ranking, columns above 0 go, the highest first.
        effect: whether the effect of a modifier on it is shown, and how: as a difference, or in percent.
    """

    name: str
    title: str
    help: str
    digits: int = 3
    better: Better | None = "higher"
    bounds: Bounds | None = None
    at_end: Callable[[RunEnd], float | None] | None = None
    of_run: OfRun | None = None
    expected: bool = False
    column: Literal["", "page", "ranking"] = ""
    dispensable: int = 0
    effect: Literal["", "difference", "percent"] = ""

    @property
    def form(self) -> str:
        """The format specification of its numbers."""
        return f",.{self.digits}f" if self.digits >= 0 else f".{-self.digits - 1}e"


METRICS: Registry[MetricDeclaration] = Registry("metric", StudyError)


def register_metric(
    name: str,
    title: str = "",
    *,
    better: Better | None = "higher",
    digits: int = 3,
    bounds: Bounds | None = None,
    column: Literal["", "page", "ranking"] = "page",
) -> Callable[[OfRun], OfRun]:
    """Register a function of a `RunRecord` that returns a number, or None where the run has none, as a metric.

    It is computed whenever results are read, for earlier runs too. The first line of its docstring is its help. The
    other arguments are those of `MetricDeclaration`; the title is the name unless it is given. A run that diverged has
    no metrics.

    Raises:
        StudyError: the name is taken, or the function has no docstring.
    """

    def register(of_run: OfRun) -> OfRun:
        about = (inspect.getdoc(of_run) or "").partition("\n")[0]
        if not about:
            raise StudyError(f"metric '{name}' must say what it means in the docstring of its function")
        declared = MetricDeclaration(name, title or name, about, digits, better, bounds, None, of_run, column=column)
        METRICS.add(name, declared, of_run.__module__)
        return of_run

    return register


def expected_metrics() -> tuple[str, ...]:
    """Return the names of the metrics that every scorecard has, in the order of print."""
    return tuple(name for name, metric in METRICS.items() if metric.expected)


def metrics_at_end(end: RunEnd) -> dict[str, float | None]:
    """Compute the stored metrics of a run's end; without a classification of test only those with a value."""
    computed = {name: metric.at_end(end) for name, metric in METRICS.items() if metric.at_end is not None}
    return {name: value for name, value in computed.items() if value is not None or end.test is not None}


def metrics_of_run(run: RunRecord) -> dict[str, float | None]:
    """Compute the metrics that follow from the record of a run.

    Raises:
        StudyError: a metric of the user's fails, or returns no number.
    """
    return {name: _of_run(metric, run) for name, metric in METRICS.items() if metric.of_run is not None}


def _of_run(metric: MetricDeclaration, run: RunRecord) -> float | None:
    assert metric.of_run is not None
    try:
        value = metric.of_run(run)
        return value if value is None or isinstance(value, int) else float(value)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise StudyError(f"metric '{metric.name}' fails on a run of seed {run.seed}: {reason}") from error
