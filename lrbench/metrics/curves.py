"""Metrics of the shape of one run's evaluation curve: speed and volatility.

A curve is two sequences of the same length: `steps` (iterations, increasing) and `scores` (higher is better). A score
that is not finite is a gap.
"""

import math
from collections.abc import Sequence

import numpy as np

TAIL_DIVISOR = 5
"""The tail of a curve is its last fifth, 20% of the evaluations, rounded up."""

LEAST_TAIL = 3
"""A line through two points leaves no residual."""


def volatility(steps: Sequence[int], scores: Sequence[float]) -> float | None:
    """Return the standard deviation of the last 20% of evaluations around their own linear trend over steps.

    The two fitted parameters are taken off the degrees of freedom (ddof 2), so that curves with few and with many
    evaluations compare. None where the last 20% are fewer than 3 evaluations, that is, where the curve has fewer than
    11, and where one of them is not finite.

    >>> round(volatility(range(11), [0.0] * 8 + [0.0, 3.0, 0.0]), 3)  # residuals -1, 2, -1
    2.449
    """
    tail = -(-len(scores) // TAIL_DIVISOR)
    if tail < LEAST_TAIL:
        return None
    x = np.asarray(steps[-tail:], dtype=np.float64)
    y = np.asarray(scores[-tail:], dtype=np.float64)
    if not np.isfinite(y).all():
        return None
    x, y = x - x.mean(), y - y.mean()
    residuals = y - x * (x @ y) / (x @ x)
    return math.sqrt(float(residuals @ residuals) / (tail - 2))


def steps_to_target(steps: Sequence[int], scores: Sequence[float], target: float) -> int | None:
    """Return the first evaluated step with a finite score at or over `target`; None of a censored run.

    >>> steps_to_target([10, 20, 30], [0.2, 0.6, 0.5], target=0.5)
    20
    """
    evaluated = zip(steps, scores, strict=True)
    return next((step for step, score in evaluated if math.isfinite(score) and score >= target), None)


def steps_to_best(steps: Sequence[int], scores: Sequence[float]) -> int | None:
    """Return the first evaluated step with the run's highest finite score; None if no score is finite.

    >>> steps_to_best([10, 20, 30], [0.2, 0.6, 0.5])
    20
    """
    finite = [(step, score) for step, score in zip(steps, scores, strict=True) if math.isfinite(score)]
    return max(finite, key=lambda point: point[1])[0] if finite else None
