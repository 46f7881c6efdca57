"""Sources of the spread between seeds: the networks, or the finite split on which they are measured.

A seed's validation score is the true score of its network plus the sampling noise of the split, which has no part in
the test score. So the covariance of the validation and the test score over seeds estimates the variance between
networks, and the rest of the variance of the validation score is the split's. More seeds average both; more samples
shrink the second, and cost evaluation alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.metrics.pairs import SAME_SCORE

DEGREES_NEEDED = 8
"""The fewest degrees of freedom of which a covariance is not mostly noise."""


@dataclass(frozen=True)
class Spread:
    """The variance between the seeds of a policy, pooled over policies, by its source."""

    sd: float
    """Standard deviation of the validation score between seeds."""
    network: float
    """The share of its variance that is the networks', from 0 to 1; the rest is the split's."""
    degrees: int
    """Degrees of freedom behind it: seeds less one, summed over policies."""

    @property
    def mostly_measuring(self) -> bool:
        """Whether a larger split could remove more of the variance than twice the seeds."""
        return self.network < 0.5


def spread_of(val: ArrayLike, test: ArrayLike) -> Spread | None:
    """Estimate the networks' part of the spread between seeds.

    Args:
        val, test: scores on two splits, [policies, seeds]; a run with a value that is not finite is left out.

    Returns:
        None where there are fewer than `DEGREES_NEEDED` degrees of freedom, or no spread.

    >>> val = [[0.5, 0.6, 0.7, 0.6, 0.5, 0.7, 0.6, 0.5, 0.7]]
    >>> spread_of(val, val).network
    1.0
    """
    a, b = np.asarray(val, dtype=np.float64), np.asarray(test, dtype=np.float64)
    degrees, variance, covariance, rounding = 0, 0.0, 0.0, 0.0
    for x, y in zip(a, b, strict=True):
        seen = np.isfinite(x) & np.isfinite(y)
        if seen.sum() > 1:
            rounding = max(rounding, SAME_SCORE * float(np.abs(x[seen]).max()))
            x, y = x[seen] - x[seen].mean(), y[seen] - y[seen].mean()
            degrees += len(x) - 1
            variance += float(x @ x)
            covariance += float(x @ y)
    if degrees < DEGREES_NEEDED or variance <= degrees * rounding**2:
        return None
    return Spread(float(np.sqrt(variance / degrees)), float(np.clip(covariance / variance, 0.0, 1.0)), degrees)


def collapses(gains: ArrayLike, chance: float) -> NDArray[np.int64]:
    """Count the seeds of each policy that lost more than half of its median seed's gain over chance.

    Verdicts compare means of scores that are about normal. Those of a policy that collapses on one seed in ten are not,
    and wrong claims come in 6 to 49% of studies with one (simulated), so that collapses are shown.

    Args:
        gains: [policies, seeds], more is better; a run whose gain is not finite is left out.
        chance: the gain of guessing.

    Returns:
        int [policies]; 0 for a policy of fewer than three runs, or whose median seed is no better than chance.

    >>> collapses([[0.9, 0.9, 0.2], [0.9, 0.8, 0.7]], chance=0.1).tolist()
    [1, 0]
    """
    lost = []
    for row in np.asarray(gains, dtype=np.float64):
        learnt = row[np.isfinite(row)] - chance
        median = np.median(learnt) if len(learnt) >= 3 else 0.0
        lost.append(int((learnt < median / 2).sum()) if median > 0 else 0)
    return np.array(lost, dtype=np.int64)
