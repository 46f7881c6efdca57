"""Metric: the number a task is judged by where top-1 accuracy does not fit."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """`function(outputs [N, ...], targets [N, ...]) -> float` over a whole split, on the CPU; higher is better.

    `chance` is the score of a model that has learnt nothing: a diverged run counts as it.
    """

    name: str
    function: Callable[[Tensor, Tensor], float]
    chance: float
