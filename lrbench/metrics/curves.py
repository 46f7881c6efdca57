"""Metrics of the shape of one run's evaluation curve: speed, volatility and monotonicity.

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

LEAST_LINE = 2
"""Two evaluations have a line between them."""

LEAST_HALF = 7
"""Of seven scores, five have two neighbours."""


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
    if not all(map(math.isfinite, scores[-tail:])):
        return None
    x, y = x - np.add.reduce(x) / tail, y - np.add.reduce(y) / tail
    residuals = y - x * (x @ y) / (x @ x)
    return math.sqrt(float(residuals @ residuals) / (tail - 2))


def jitter(steps: Sequence[int], scores: Sequence[float]) -> float | None:
    """Return the standard deviation of a score around the line through its two neighbours, in the last half of a curve.

    It is the estimator of Gasser, Sroka and Jennen-Steinmetz (1986): a smooth rise is no jitter, and each score but two
    adds to it, so that 20 evaluations have 8 terms where `volatility` has 2 degrees of freedom. For independent noise
    it is the noise's standard deviation. None where the last half is fewer than 7 evaluations, that is, where the curve
    has fewer than 13, and where one of them is not finite.

    >>> round(jitter(range(14), [0.0] * 7 + [0.0, 1.0] * 3 + [0.0]), 3)  # five times 1^2 / (1/4 + 1/4 + 1)
    0.816
    """
    half = -(-len(scores) // 2)
    if half < LEAST_HALF:
        return None
    if not all(map(math.isfinite, scores[-half:])):
        return None
    x, y = (np.asarray(values[-half:], dtype=np.float64) for values in (steps, scores))
    before = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    residuals = before * y[:-2] + (1 - before) * y[2:] - y[1:-1]
    squares = residuals**2 / (before**2 + (1 - before) ** 2 + 1)
    return math.sqrt(float(np.add.reduce(squares) / len(squares)))


def monotonicity(scores: Sequence[float]) -> float | None:
    """Return the share of a curve's ups and downs that is up: 1 if it never gets worse, about 1/2 if it goes nowhere.

    The sum of the rises between evaluations over the sum of all changes; the definition is ours. Curves compare where
    they are evaluated equally often, for noise adds up with each evaluation. None where the curve has fewer than 3
    evaluations or never changes, and where one of them is not finite.

    >>> round(monotonicity([0.1, 0.5, 0.4, 0.8]), 3)  # up by .4 and .4, down by .1
    0.889
    """
    y = np.asarray(scores, dtype=np.float64)
    if len(y) < LEAST_TAIL or not all(map(math.isfinite, scores)):
        return None
    changes = y[1:] - y[:-1]
    total = float(np.add.reduce(np.abs(changes)))
    return float(np.add.reduce(changes[changes > 0])) / total if total > 0 else None


def curve_mean(steps: Sequence[int], scores: Sequence[float]) -> float | None:
    """Return the mean of a curve over its iterations, from the first evaluation to the last, by the trapezoidal rule.

    Of two curves that end alike, the one that rises sooner has the higher mean. Unlike the iterations to a target it is
    known of every run, so that it is judged by t tests. None where the curve has fewer than 2 evaluations, and where
    one of them is not finite.

    >>> curve_mean([10, 20, 40], [0.0, 0.5, 0.5])  # 0.25 over a third of the way, 0.5 over the rest
    0.4166666666666667
    """
    if len(scores) < LEAST_LINE or not all(map(math.isfinite, scores)):
        return None
    x, y = np.asarray(steps), np.asarray(scores)
    return float(np.add.reduce((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2.0)) / (steps[-1] - steps[0])


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
