"""Goals: the metrics by which policies are ranked, each with the distance that does not matter.

A goal is named by its metric, `steps_to_target`, or by the task's objective, `top1`; `loss` is that on the validation
split. A margin of its own stands behind a colon: `steps_to_target:50`, in the unit of the metric, or `seconds:5%`, as a
share of the best policy's value, which compares logarithms and so is about geometric means.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from lrbench.errors import StudyError, unknown_name
from lrbench.metrics.direction import Better, as_gain
from lrbench.metrics.metric import METRICS, MetricDeclaration
from lrbench.metrics.pairs import Pairs, Ranks, Signs, Test, Unpaired
from lrbench.metrics.runs import RunRecord

if TYPE_CHECKING:
    from lrbench.metrics.scorecard import Scorecard

VALIDATION = "val_"
TO_TARGET = "steps_to_target"
OVER_BASE_LRS = "base_lr_"
"""The beginning of the names of metrics that need runs at other base LRs."""

NO_NOISE = 1e-9
"""The resolution of counts without noise: so small that equal ones are no matter of chance."""

ROUNDING = 1e-9

MOST_DECIMALS = 6
"""Of a score, however small the margin is."""

By = str | Iterable[str] | Mapping[str, float | str]
"""Goals as they are given: one, several, or each with its margin."""


class Margin(NamedTuple):
    """A distance that does not matter, in the unit of a metric or as a share of the best policy's value."""

    size: float
    of_best: bool = False

    def __str__(self) -> str:
        return f"{100 * self.size:g}%" if self.of_best else f"{self.size:g}"

    def rounded(self, *, up: bool) -> Margin:
        """Round the margin up or down to two significant digits.

        >>> str(Margin(0.03121).rounded(up=True)), str(Margin(0.0519, of_best=True).rounded(up=False))
        ('0.032', '5.1%')
        """
        if self.size == 0:
            return self
        step = 10.0 ** (math.floor(math.log10(self.size)) - 1)
        count = math.ceil(self.size / step - ROUNDING) if up else math.floor(self.size / step + ROUNDING)
        return self._replace(size=count * step)


@dataclass(frozen=True)
class Goal:
    """A metric by which policies are ranked; the margin is the default unless given.

    >>> str(Goal.parse("seconds:5%")), Goal.parse("steps_to_target:50").margin.size
    ('seconds:5%', 50.0)
    """

    name: str
    margin: Margin | None = None

    def __str__(self) -> str:
        return self.name if self.margin is None else f"{self.name}:{self.margin}"

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read NAME or NAME:MARGIN.

        Raises:
            StudyError: the margin is no finite number from 0 on, nor a share below 100%.
        """
        name, colon, margin = text.rpartition(":")
        return cls(name, _margin(margin, text)) if colon else cls(text)


def _margin(given: str, where: str) -> Margin:
    of_best = given.endswith("%")
    try:
        size = float(given.removesuffix("%")) / (100 if of_best else 1)
    except ValueError:
        size = -1.0
    if not 0 <= size < (1 if of_best else math.inf):
        raise StudyError(
            f"the margin of '{where}' must be a finite number from 0 on, as in steps_to_target:50, or a share of the "
            "best below 100%, as in seconds:5%"
        )
    return Margin(size, of_best)


def texts_of(by: By) -> tuple[str, ...]:
    """List goals as texts, which are given as one, several, or each with its margin."""
    if isinstance(by, str):
        return (by,)
    return tuple(f"{name}:{margin}" for name, margin in by.items()) if isinstance(by, Mapping) else tuple(by)


def goals_of(by: By) -> tuple[Goal, ...]:
    """Read goals as they are given.

    Raises:
        StudyError: one has a margin that is none, or is given twice.
    """
    goals = tuple(map(Goal.parse, texts_of(by)))
    names = [goal.name for goal in goals]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise StudyError(f"the goal '{twice}' is given {names.count(twice)} times, each may stand only once")
    return goals


@dataclass(frozen=True)
class Criterion:
    """A goal on a task: which number of a run counts, which way it is better, and what is as good as the best.

    Attributes:
        name: of the goal.
        figure: of the number among those of a run.
        form: the format of its values.
        resolution: as for `judge`.
        target: the validation score to which iterations are counted.
        paired: whether the runs of one seed belong together.
    """

    name: str
    figure: str
    better: Better
    margin: Margin
    title: str = ""
    form: str = ".3f"
    is_censored: bool = False
    resolution: float | None = None
    target: float | None = None
    paired: bool = True

    def is_known(self, card: Scorecard) -> bool:
        """Whether a run of a policy has the number."""
        reached = card.reached if self.figure == TO_TARGET else None
        return bool(reached or (self.figure in card.metrics and card.metrics[self.figure].n))

    def of_objective(self, objective: str) -> bool:
        """Whether it is a task's objective."""
        return self.figure == f"{VALIDATION}{objective}"

    def to_json(self) -> dict[str, Any]:
        """Return an entry of the list `by` that `lrbench run --json` prints; a margin of the best is a share of it."""
        margin = {"margin": self.margin.size, "of_best": self.margin.of_best}
        return {"goal": self.name, "metric": self.figure, "better": self.better, **margin}

    @property
    def largest_margin(self) -> float:
        """The range of the metric, in its unit: a larger margin makes all policies alike; infinite where it is open."""
        declared = METRICS.get(self.figure)
        low, high = (None, None) if declared is None or declared.bounds is None else declared.bounds
        return math.inf if low is None or high is None else high - low

    @property
    def needs_base_lrs(self) -> bool:
        """Whether it is known once the runs at other base LRs are."""
        return self.figure.startswith(OVER_BASE_LRS)

    @property
    def test(self) -> Test:
        """How policies are compared by it."""
        if self.is_censored:
            return Signs if self.paired else Ranks
        return Pairs if self.paired else Unpaired

    @property
    def distance(self) -> float:
        """The margin between gains."""
        if not self.margin.of_best:
            return self.margin.size
        return math.log1p(self.margin.size) if self.better == "lower" else -math.log1p(-self.margin.size)

    def margin_at(self, distance: float) -> Margin:
        """Return the margin of a distance between gains."""
        if not self.margin.of_best:
            return Margin(distance)
        return Margin(math.expm1(distance) if self.better == "lower" else -math.expm1(-distance), of_best=True)

    def gain(self, run: RunRecord) -> float:
        """Return the run's number as a gain; nan where it has none, minus infinity if that is the worst.

        Raises:
            StudyError: the margin is a share, and the number is not positive.
        """
        value = self.value(run)
        if value is None or math.isnan(value):
            is_known = self.figure != TO_TARGET or len(run.curve) > 0
            return -math.inf if self.is_censored and is_known and not run.diverged else math.nan
        if self.margin.of_best and value <= 0:
            raise StudyError(
                f"by {self.name}: a margin of {self.margin} of the best needs positive values, but seed {run.seed} has "
                f"{value:g}: give a margin in its unit, as in {self.name}:0.1"
            )
        return as_gain(math.log(value) if self.margin.of_best else value, self.better)

    def value(self, run: RunRecord) -> float | None:
        """Return the run's number, None where it has none."""
        if self.figure == TO_TARGET:
            return None if run.diverged or self.target is None else run.steps_to(self.target)
        return run.figures.get(self.figure)


def objective_criterion(objective: str, better: Better, margin: float, resolution: float | None = None) -> Criterion:
    """Return the criterion of a task's objective."""
    figure, distance = f"{VALIDATION}{objective}", Margin(margin)
    title, form = f"val {objective}", score_form(distance)
    return Criterion(objective, figure, better, distance, title, form, resolution=resolution)


def score_form(margin: Margin) -> str:
    """Return the format of scores: three decimals, and more where a difference as small as the margin needs them.

    >>> score_form(Margin(0.01)), score_form(Margin(0.001)), score_form(Margin(1e-100))
    ('.3f', '.4f', '.6f')
    """
    if margin.of_best or margin.size == 0:
        return ".3f"
    return f".{min(max(3, 1 + math.floor(ROUNDING - math.log10(margin.size))), MOST_DECIMALS)}f"


def criteria(
    by: By, objective: Criterion, *, steps: int, target: float | None = None, base_lr_scales: Collection[float] = ()
) -> tuple[Criterion, ...]:
    """Find what goals mean on a task; without one it is the objective that ranks.

    Args:
        objective: the criterion of the task's objective.
        steps: the budget in iterations.
        target: the validation score to which iterations are counted.
        base_lr_scales: the factors on the base LR at which policies are trained too.

    Raises:
        StudyError: there is no such metric, policies are not ranked by it, it lacks what it needs, its margin is none,
            or it is given twice.
    """
    found = tuple(_criterion(goal, objective, steps, target) for goal in goals_of(by))
    for one, other in combinations(found, 2):
        if one.figure == other.figure:
            raise StudyError(f"by: '{one.name}' and '{other.name}' are the same goal, which may stand only once")
    for one in found:
        if one.figure == TO_TARGET and target is None:
            raise StudyError(
                f"by {one.name}: a target is missing, the validation score to which iterations are counted"
            )
        if not one.margin.of_best and one.margin.size > one.largest_margin:
            most = f"{one.largest_margin:g}"
            raise StudyError(f"by {one.name}: the margin {one.margin} is larger than the range of the metric, {most}")
        if one.needs_base_lrs and not {*base_lr_scales} - {1}:
            raise StudyError(f"by {one.name}: base_lr_scales are missing, at which policies are trained too")
    return found or (objective,)


def _criterion(goal: Goal, objective: Criterion, steps: int, target: float | None) -> Criterion:
    if goal.name in (objective.name, objective.figure):
        if goal.margin is None:
            return objective
        resolution = None if goal.margin.of_best else objective.resolution
        return replace(objective, margin=goal.margin, form=score_form(goal.margin), resolution=resolution)
    known = {objective.name: None} | metrics_by_goal()
    metric = known.get(goal.name) or METRICS.get(goal.name)
    if metric is None or metric.better is None or not metric.is_goal:
        raise StudyError(f"by: {unknown_name('goal', goal.name, known)}; one of your own needs its plugin")
    size = metric.default_margin * (steps if metric.margin_of == "steps" else 1)
    return Criterion(
        name=goal.name,
        figure=metric.name,
        better=metric.better,
        margin=Margin(size, metric.margin_of == "best") if goal.margin is None else goal.margin,
        title=metric.title,
        form=metric.form,
        is_censored=metric.is_censored,
        resolution=NO_NOISE if metric.is_exact else None,
        target=target,
        paired=objective.paired,
    )


def metrics_by_goal() -> dict[str, MetricDeclaration]:
    """Return the metrics by which policies may be ranked, by the names of the goals."""
    return {
        name.removeprefix(VALIDATION): metric for name, metric in METRICS.items() if metric.is_goal and metric.better
    }
