"""Metrics of the shape of evaluation curves: speed, volatility and monotonicity.

A curve is two sequences of the same length: `steps` (iterations, increasing) and `scores` (higher is better). A score
that is not finite is a gap. Curves of the same length may be stacked, [..., evaluations]: their metrics are computed
together, as an array [...] of numbers, and of None where a curve has no such metric.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

TAIL_DIVISOR = 5
"""The tail of a curve is its last fifth, 20% of the evaluations, rounded up."""

LEAST_TAIL = 3
"""A line through two points leaves no residual."""

LEAST_LINE = 2
"""Two evaluations have a line between them."""

LEAST_HALF = 7
"""Of seven scores, five have two neighbours."""


def volatility(steps: ArrayLike, scores: ArrayLike) -> Any:
    """Return the standard deviation of the last 20% of evaluations around their own linear trend over steps.

    The two fitted parameters are taken off the degrees of freedom (ddof 2), so that curves with few and with many
    evaluations compare. None where the last 20% are fewer than 3 evaluations, that is, where the curve has fewer than
    11, and where one of them is not finite.

    >>> round(volatility(range(11), [0.0] * 8 + [0.0, 3.0, 0.0]), 3)  # residuals -1, 2, -1
    2.449
    """
    tail = -(-np.shape(scores)[-1] // TAIL_DIVISOR)
    if tail < LEAST_TAIL:
        return _unknown(scores)
    x, y, known = _last(tail, steps, scores)
    x, y = x - _sum(x)[..., None] / tail, y - _sum(y)[..., None] / tail
    residuals = y - x * np.vecdot(x, y)[..., None] / np.vecdot(x, x)[..., None]
    return _where(known, np.sqrt(np.vecdot(residuals, residuals) / (tail - 2)))


def jitter(steps: ArrayLike, scores: ArrayLike) -> Any:
    """Return the standard deviation of a score around the line through its two neighbours, in the last half of a curve.

    It is the estimator of Gasser, Sroka and Jennen-Steinmetz (1986): a smooth rise is no jitter, and each score but two
    adds to it, so that 20 evaluations have 8 terms where `volatility` has 2 degrees of freedom. For independent noise
    it is the noise's standard deviation. None where the last half is fewer than 7 evaluations, that is, where the curve
    has fewer than 13, and where one of them is not finite.

    >>> round(jitter(range(14), [0.0] * 7 + [0.0, 1.0] * 3 + [0.0]), 3)  # five times 1^2 / (1/4 + 1/4 + 1)
    0.816
    """
    half = -(-np.shape(scores)[-1] // 2)
    if half < LEAST_HALF:
        return _unknown(scores)
    x, y, known = _last(half, steps, scores)
    before = (x[..., 2:] - x[..., 1:-1]) / (x[..., 2:] - x[..., :-2])
    residuals = before * y[..., :-2] + (1 - before) * y[..., 2:] - y[..., 1:-1]
    squares = residuals**2 / (before**2 + (1 - before) ** 2 + 1)
    return _where(known, np.sqrt(_sum(squares) / (half - 2)))


def monotonicity(scores: ArrayLike) -> Any:
    """Return the share of a curve's ups and downs that is up: 1 if it never gets worse, about 1/2 if it goes nowhere.

    The sum of the rises between evaluations over the sum of all changes; the definition is ours. Curves compare where
    they are evaluated equally often, for noise adds up with each evaluation. None where the curve has fewer than 3
    evaluations or never changes, and where one of them is not finite.

    >>> round(monotonicity([0.1, 0.5, 0.4, 0.8]), 3)  # up by .4 and .4, down by .1
    0.889
    """
    evaluations = np.shape(scores)[-1]
    if evaluations < LEAST_TAIL:
        return _unknown(scores)
    _, y, known = _last(evaluations, scores, scores)
    changes = y[..., 1:] - y[..., :-1]
    total = _sum(np.abs(changes))
    known = known & (total > 0)
    return _where(known, _sum_of_rises(changes) / np.where(known, total, 1.0))


def curve_mean(steps: ArrayLike, scores: ArrayLike) -> Any:
    """Return the mean of a curve over its iterations, from the first evaluation to the last, by the trapezoidal rule.

    Of two curves that end alike, the one that rises sooner has the higher mean. Unlike the iterations to a target it is
    known of every run, so that it is judged by t tests. None where the curve has fewer than 2 evaluations, and where
    one of them is not finite.

    >>> curve_mean([10, 20, 40], [0.0, 0.5, 0.5])  # 0.25 over a third of the way, 0.5 over the rest
    0.4166666666666667
    """
    evaluations = np.shape(scores)[-1]
    if evaluations < LEAST_LINE:
        return _unknown(scores)
    x, y, known = _last(evaluations, steps, scores)
    area = _sum((x[..., 1:] - x[..., :-1]) * (y[..., 1:] + y[..., :-1]) / 2.0)
    return _where(known, area / (x[..., -1] - x[..., 0]))


def steps_to_target(steps: ArrayLike, scores: ArrayLike, target: ArrayLike) -> Any:
    """Return the first evaluated step with a finite score at or over `target`; None of a censored run.

    >>> steps_to_target([10, 20, 30], [0.2, 0.6, 0.5], target=0.5)
    20
    """
    y = np.asarray(scores, dtype=np.float64)
    return _first(np.isfinite(y) & np.greater_equal(y, target), steps)


def steps_to_best(steps: ArrayLike, scores: ArrayLike) -> Any:
    """Return the first evaluated step with the run's highest finite score; None if no score is finite.

    >>> steps_to_best([10, 20, 30], [0.2, 0.6, 0.5])
    20
    """
    y = np.asarray(scores, dtype=np.float64)
    finite = np.isfinite(y)
    best = np.where(finite, y, -np.inf).max(axis=-1, keepdims=True, initial=-np.inf)
    return _first(finite & (y == best), steps)


def _last(count: int, steps: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return the last steps and scores of curves, and which have no gap there; the scores of the others are 0."""
    x, y = (np.asarray(values, dtype=np.float64)[..., -count:] for values in (steps, scores))
    known = np.asarray(np.isfinite(y).all(axis=-1))
    whole: FloatArray = np.where(known[..., None], y, 0.0)
    return x, whole, known


def _sum(values: FloatArray) -> FloatArray:
    total: FloatArray = np.add.reduce(values, axis=-1)
    return total


def _sum_of_rises(changes: FloatArray) -> FloatArray:
    """Add up the changes that are positive, and only those, so that a curve has the same sum alone and stacked."""
    rising = changes > 0
    rises, total = np.count_nonzero(rising, axis=-1), np.zeros(changes.shape[:-1])
    for count in np.unique(rises).tolist():
        some = rises == count
        total[some] = _sum(changes[some][rising[some]].reshape(-1, count)) if count else 0.0
    return total


def _first(where: NDArray[np.bool_], steps: ArrayLike) -> Any:
    """Return the first step of each curve at which something holds, None where there is none."""
    x, known = np.asarray(steps, dtype=np.int64), np.asarray(where.any(axis=-1))
    if not where.shape[-1]:
        return _unknown(where)
    return _where(known, np.take_along_axis(x, where.argmax(axis=-1)[..., None], axis=-1)[..., 0])


def _where(known: NDArray[np.bool_], values: NDArray[Any]) -> Any:
    nothing = np.full(known.shape, None)
    return np.where(known, values, nothing)[()]


def _unknown(scores: ArrayLike) -> Any:
    return np.full(np.shape(scores)[:-1], None)[()]
