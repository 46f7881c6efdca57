"""The rules that a task and its settings share: what they allow, and how often they are evaluated."""

import math
from typing import Any, Literal, get_args

from lrbench.errors import TaskError, did_you_mean

Precision = Literal["float32", "bfloat16"]

EVALUATIONS = 20
"""How often a task is evaluated over its budget unless it says so."""


def eval_every_for(steps: int, evaluations: int = EVALUATIONS) -> int:
    """Return the interval in iterations at which a budget of `steps` has at least `evaluations` evaluations."""
    return max(1, steps // evaluations)


def rescaled_eval_every(eval_every: int, steps: int, budget: int) -> int:
    """Rescale an evaluation interval from `steps` to another budget, so that both are evaluated as often.

    All are in iterations. The result is the nearest whole number from 1 on, of two as near the smaller one.
    """
    # In whole numbers: a float's rounding must not decide over a run's key.
    return max(1, (2 * eval_every * budget + steps - 1) // (2 * steps))


def check_budget(where: str, *, batch_size: Any, steps: Any, eval_every: Any) -> None:
    """Raise TaskError unless all are integers >= 1 (samples, iterations, iterations) and eval_every <= steps.

    `eval_every` may be None: it is not chosen yet.
    """
    chosen = {"batch_size": batch_size, "steps": steps} | ({} if eval_every is None else {"eval_every": eval_every})
    for name, value in chosen.items():
        if type(value) is not int or value < 1:
            raise TaskError(f"{where}: {name} = {value!r} must be an integer >= 1")
    if eval_every is not None and eval_every > steps:
        raise TaskError(f"{where}: eval_every = {eval_every} is more than steps = {steps}")


def check_numerics(where: str, *, precision: Any, divergence_factor: Any) -> None:
    """Raise TaskError unless the precision is known and the divergence factor is a finite number above 1."""
    if precision not in get_args(Precision):
        hint = did_you_mean(str(precision), get_args(Precision))
        raise TaskError(f"{where}: precision = {precision!r} must be 'float32' or 'bfloat16'{hint}")
    number = isinstance(divergence_factor, int | float) and not isinstance(divergence_factor, bool)
    if not number or not math.isfinite(divergence_factor) or divergence_factor <= 1:
        raise TaskError(f"{where}: divergence_factor = {divergence_factor!r} must be a finite number above 1")
