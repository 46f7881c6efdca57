"""Metric: the number a task is judged by where top-1 accuracy does not fit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from lrbench.errors import TaskError
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr
from lrbench.tasks.fingerprint import ADDED_LATER, NO_IDENTITY

Better = Literal["higher", "lower"]
Bounds = tuple[float | None, float | None]

LOSS = "loss"
"""In place of a metric: the task is judged by its own loss, of which less is better."""

ROUNDING = 1e-5
"""A score may be outside of its bounds by this, as a mean of float32 numbers is."""

LARGEST = 1e150
"""A score that is further from zero counts as infinite: its square is no float."""


@dataclass(frozen=True)
class Metric:
    """A score of a whole split, `function(outputs [N, ...], targets [N, ...]) -> float`, computed on the CPU.

    Attributes:
        chance: the score of a model that has learnt nothing. It is the score of a run that has diverged, or whose final
            score is NaN or infinitely bad; a score beyond 1e150 is infinite.
        better: whether "higher" or "lower" scores are better.
        bounds: the lowest and the highest possible score, None for an open end; intervals are clipped to them.
        margin: the difference that does not matter, where a study gives none; by default a hundredth of the range
            between two bounds, and else 0.
    """

    name: str
    function: Callable[[Any, Any], float]
    chance: float
    better: Better = field(default="higher", metadata=ADDED_LATER)
    bounds: Bounds = field(default=(None, None), metadata=ADDED_LATER)
    margin: float | None = field(default=None, metadata=NO_IDENTITY)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TaskError(f"metric: name = {self.name!r} must be a text")
        where = f"metric '{self.name}'"
        if not callable(self.function):
            raise TaskError(f"{where}: function = {self.function!r} must be a function")
        if not _is_finite(self.chance):
            raise TaskError(f"{where}: chance = {short_repr(self.chance)} must be a finite number")
        check_scale(where, self.better, self.chance, self.bounds, self.margin)

    def read(self, returned: Any) -> float:
        """Read the function's value as a number, which may be NaN or infinite.

        Raises:
            TaskError: it is no number, or a finite one outside of the bounds by more than rounding.
        """
        return read_score(f"the metric '{self.name}' returned", returned, self.bounds)


def check_scale(where: str, better: object, chance: object, bounds: object, margin: Any) -> None:
    """Raise TaskError unless these settings of a metric are allowed and fit together; chance and margin may be None."""
    if margin is not None and not (_is_finite(margin) and margin >= 0):
        raise TaskError(f"{where}: margin = {short_repr(margin)} must be a finite number from 0 on")
    if chance is not None and not _is_finite(chance):
        raise TaskError(f"{where}: chance = {short_repr(chance)} must be a finite number")
    if better not in ("higher", "lower"):
        raise TaskError(f'{where}: better = {better!r} must be "higher" or "lower"')
    if not isinstance(bounds, tuple) or len(bounds) != 2 or not all(end is None or _is_finite(end) for end in bounds):
        raise TaskError(f"{where}: bounds = {bounds!r} must be a pair of numbers, None for an open end")
    low, high = bounds
    if chance is not None and ((low is not None and low > chance) or (high is not None and high < chance)):
        raise TaskError(f"{where}: chance = {chance!r} must lie within bounds = {bounds!r}")


def read_score(what: str, returned: Any, bounds: Bounds) -> float:
    """Read a score as a number, NaN or infinite ones too; `what` begins the sentence of an error.

    Raises:
        TaskError: it is no number, or a finite one outside of the bounds by more than rounding.
    """
    try:
        value = float(returned)
    except (TypeError, ValueError, OverflowError) as error:
        raise TaskError(f"{what} {short_repr(returned)} where a number is needed") from error
    low, high = (end if end is None else float(end) for end in bounds)
    nearest = max(value if low is None else low, min(value, value if high is None else high))
    if math.isfinite(value) and not math.isclose(value, nearest, rel_tol=ROUNDING, abs_tol=ROUNDING):
        raise TaskError(f"{what} {value:g}, outside of its bounds = {bounds!r}")
    return math.copysign(math.inf, value) if abs(value) > LARGEST else value


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and read_number(value) is not None
