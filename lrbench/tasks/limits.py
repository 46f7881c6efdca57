"""The limits that a task and its settings share, checked in one place."""

import math
from typing import Any, Literal, get_args

from lrbench.errors import TaskError, did_you_mean

Precision = Literal["float32", "bfloat16"]


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
