"""Metric: the number a task is judged by where top-1 accuracy does not fit."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from lrbench.errors import TaskError


@dataclass(frozen=True)
class Metric:
    """`function(outputs [N, ...], targets [N, ...]) -> float` over a whole split, on the CPU; higher is better.

    `chance` is the score of a model that has learnt nothing: a diverged run counts as it.
    """

    name: str
    function: Callable[[Tensor, Tensor], float]
    chance: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TaskError(f"metric: name = {self.name!r} must be a text")
        if not callable(self.function):
            raise TaskError(f"metric '{self.name}': function = {self.function!r} must be a function")
        if not isinstance(self.chance, int | float) or not math.isfinite(self.chance):
            raise TaskError(f"metric '{self.name}': chance = {self.chance!r} must be a finite number")
