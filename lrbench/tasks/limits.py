"""The rules that a task and its settings share: what they allow, and how often they are evaluated."""

import math
from typing import Any, Final, Literal, get_args

from lrbench.errors import TaskError, did_you_mean
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr

MOST_STEPS = 50_000_000
"""The longest budget, in iterations: the learning rates of one run are 8 bytes each in memory, several times over."""

A_BUDGET = "a number of iterations from 1 on, or a length such as '10ep', '0.5dur', '2e6tok' or '20tok/param'"

Precision = Literal["float32", "bfloat16", "float16"]

Compile = bool | Literal["reduce-overhead"]

GRAPHS: Final = "reduce-overhead"
"""The mode of `torch.compile` in which a GPU replays CUDA graphs."""

CurveSamples = int | Literal["all"] | None
"""Validation samples of the evaluations before the last: None for as many as cost a twentieth of the training."""

ALL: Final = "all"

DIVERGENCE_FACTOR = 10.0
"""A loss over this many times the initial one is divergence, unless a task says otherwise."""

FEWEST_CURVE_SAMPLES = 500
"""A curve over fewer samples is mostly noise: at an accuracy of one half, 500 have a standard error of 0.022."""

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


def check_budget(where: str, *, steps: Any, eval_every: Any, **others: Any) -> None:
    """Raise TaskError unless all are integers >= 1, steps and eval_every in iterations, and eval_every <= steps.

    `eval_every` may be None: it is not chosen yet. `steps` may be at most `MOST_STEPS`.
    """
    chosen = others | {"steps": steps} | ({} if eval_every is None else {"eval_every": eval_every})
    for name, value in chosen.items():
        if type(value) is not int or value < 1:
            raise TaskError(f"{where}: {name} = {short_repr(value)} must be an integer >= 1")
    if steps > MOST_STEPS:
        raise TaskError(f"{where}: steps = {short_repr(steps)} is more than the {MOST_STEPS:,} that a task may have")
    if eval_every is not None and eval_every > steps:
        raise TaskError(f"{where}: eval_every = {short_repr(eval_every)} is more than steps = {steps}")


def curve_samples_for(eval_every: int, batch_size: int) -> int:
    """Return how many samples an evaluation takes that costs a twentieth of the training since the one before.

    An iteration costs three forward passes of a batch: its own, and a backward pass of twice its products.
    """
    return max(FEWEST_CURVE_SAMPLES, 3 * eval_every * batch_size // 20)


def check_curve_samples(where: str, curve_samples: Any) -> None:
    """Raise TaskError unless it is None, "all" or a number of samples from 1 on."""
    if curve_samples not in (None, ALL) and (type(curve_samples) is not int or curve_samples < 1):
        raise TaskError(f'{where}: curve_samples = {short_repr(curve_samples)} must be an integer >= 1 or "{ALL}"')


def check_numerics(where: str, task: Any) -> None:
    """Raise TaskError unless all settings of a task, or of its table, that an iteration is computed by are allowed."""
    precision, divergence_factor = task.precision, task.divergence_factor
    if precision not in get_args(Precision):
        hint = did_you_mean(str(precision), get_args(Precision))
        raise TaskError(f"{where}: precision = {precision!r} must be 'float32', 'bfloat16' or 'float16'{hint}")
    check_divergence_factor(where, divergence_factor)
    for name in ("clip_norm", "clip_value"):
        limit = getattr(task, name)
        if limit is not None and not 0 < _finite(limit) < math.inf:
            raise TaskError(f"{where}: {name} = {short_repr(limit)} must be a finite number above 0")
    if task.micro_batch is not None and (type(task.micro_batch) is not int or task.micro_batch < 1):
        raise TaskError(f"{where}: micro_batch = {short_repr(task.micro_batch)} must be an integer >= 1 (samples)")
    if type(task.compile) is not bool and task.compile != GRAPHS:
        raise TaskError(f'{where}: compile = {short_repr(task.compile)} must be True, False or "{GRAPHS}"')
    if task.compile == GRAPHS and task.micro_batch is not None:
        raise TaskError(
            f'{where}: micro_batch = {task.micro_batch} cannot be used with compile = "{GRAPHS}", whose graph writes '
            "each gradient over the one before: give compile = true"
        )
    if not 0 <= _finite(task.label_smoothing) < 1:
        raise TaskError(f"{where}: label_smoothing = {short_repr(task.label_smoothing)} must be a number in [0, 1)")


def check_divergence_factor(where: str, factor: Any) -> None:
    """Raise TaskError unless the divergence factor is a finite number above 1."""
    if not 1 < _finite(factor) < math.inf:
        raise TaskError(f"{where}: divergence_factor = {short_repr(factor)} must be a finite number above 1")


def _finite(value: Any) -> float:
    """Read a finite number; NaN where it is none."""
    number = read_number(value) if isinstance(value, int | float) else None
    return math.nan if number is None else number
