"""Declarations of metrics and their registry, which scorecards, tables, the page and plots read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lrbench.errors import StudyError
from lrbench.metrics.direction import Better
from lrbench.metrics.statistics import Bounds
from lrbench.registry import Registry

if TYPE_CHECKING:
    from lrbench.metrics.confidence import Classification
    from lrbench.metrics.runs import Curves, RunRecord

    OfRun = Callable[[RunRecord], float | None]
    OfCurves = Callable[[Curves], Any]


@dataclass(frozen=True)
class RunEnd:
    """The last evaluation of a run: mean losses, and the metrics of its predictions.

    A loss is None where it was not measured, a classification where there are no classes or no finite outputs.
    """

    train_loss: float | None
    val_loss: float | None
    test_loss: float | None
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
        margin: the difference that does not matter, where a study gives none; None: see `default_margin`.
        margin_of: the unit of the margin: that of the metric, or shares of the task's budget in iterations, or of the
            best policy's value.
        at_end: computes it when a run ends; it is stored with the run.
        of_run: computes it from what is stored of a run, whenever results are read.
        of_curves: computes it from the curves of runs, whenever results are read, for all runs together.
        expected: every scorecard has it, known or not; others are there only where a run has them.
        column: where it is a column beside the scores, once it is known: nowhere, on the page, or on the page and in
            the ranking that the command line prints.
        dispensable: where names need room in that ranking, columns above 0 go, the highest first.
        effect: whether the effect of a modifier on it is shown, and how: as a difference, or in percent.
        is_goal: whether policies may be ranked by it.
        is_censored: whether a finished run without it is worse than every run with it.
        is_exact: whether it is counted without noise.
    """

    name: str
    title: str
    help: str
    digits: int = 3
    better: Better | None = "higher"
    bounds: Bounds | None = None
    margin: float | None = None
    margin_of: Literal["", "steps", "best"] = ""
    at_end: Callable[[RunEnd], float | None] | None = None
    of_run: OfRun | None = None
    of_curves: OfCurves | None = None
    expected: bool = False
    column: Literal["", "page", "ranking"] = ""
    dispensable: int = 0
    effect: Literal["", "difference", "percent"] = ""
    is_goal: bool = True
    is_censored: bool = False
    is_exact: bool = False

    @property
    def form(self) -> str:
        """The format specification of its numbers."""
        return f",.{self.digits}f" if self.digits >= 0 else f".{-self.digits - 1}e"

    @property
    def default_margin(self) -> float:
        """The difference that does not matter, in the unit `margin_of`, where a study gives none."""
        return default_margin(self.margin, self.bounds)


SHARE_OF_RANGE = 0.01


def default_margin(declared: float | None, bounds: Bounds | None) -> float:
    """Return the margin of a metric where a study gives none.

    It is the declared one; else a hundredth of the range of the metric, one point of an accuracy; else 0, since on a
    scale that is not known every difference may matter.

    >>> default_margin(None, (0.0, 1.0)), default_margin(None, (0.0, None)), default_margin(0.02, None)
    (0.01, 0.0, 0.02)
    """
    if declared is not None:
        return declared
    low, high = (None, None) if bounds is None else bounds
    return 0.0 if low is None or high is None else SHARE_OF_RANGE * (high - low)


METRICS: Registry[MetricDeclaration] = Registry("metric", StudyError)


def register_metric(
    name: str,
    title: str = "",
    *,
    better: Better | None = "higher",
    digits: int = 3,
    bounds: Bounds | None = None,
    margin: float | None = None,
    column: Literal["", "page", "ranking"] = "page",
    is_censored: bool = False,
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
        declared = MetricDeclaration(
            *(name, title or name, about, digits, better, bounds, margin),
            of_run=of_run,
            column=column,
            is_censored=is_censored,
        )
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


def metrics_of_curves(curves: Curves) -> dict[str, list[float | None]]:
    """Compute the metrics that follow from the curves of runs: a column for each metric, in the order of the runs."""
    return {name: metric.of_curves(curves).tolist() for name, metric in METRICS.items() if metric.of_curves}


def metrics_of_runs(runs: Sequence[RunRecord]) -> dict[str, list[float | None]]:
    """Compute the metrics that follow from the records of runs, but for those of curves, as `metrics_of_curves` does.

    A run that diverged has none.

    Raises:
        StudyError: a metric of the user's fails, or returns no number.
    """
    known = {name: metric for name, metric in METRICS.items() if metric.of_run is not None}
    return {name: [None if run.diverged else _of_run(one, run) for run in runs] for name, one in known.items()}


def _of_run(metric: MetricDeclaration, run: RunRecord) -> float | None:
    assert metric.of_run is not None
    try:
        value = metric.of_run(run)
        return value if value is None or isinstance(value, int) else float(value)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise StudyError(f"metric '{metric.name}' fails on a run of seed {run.seed}: {reason}") from error
