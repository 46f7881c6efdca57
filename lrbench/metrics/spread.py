"""Sources of the spread between seeds: the networks, or the finite split on which they are measured.

A seed's validation score is the true score of its network plus the sampling noise of the split, which has no part in
the test score. So the covariance of the validation and the test score over seeds estimates the variance between
networks, and the rest of the variance of the validation score is the split's. More seeds average both; more samples
shrink the second, and cost evaluation alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.metrics.pairs import SAME_SCORE, FloatArray
from lrbench.metrics.statistics import equally_known, holm

FEWEST_FOR_SKEWNESS = 8
"""The fewest seeds of which the skewness can be tested."""

SKEWNESS_LEVEL = 0.01
"""The share of studies of normal scores in which some policy is called skewed."""

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
    degrees, rounding, products = 0, 0.0, np.zeros((2, len(a)))
    for rows, (x, y) in equally_known(np.isfinite(a) & np.isfinite(b), a, b, fewest=2):
        rounding = max(rounding, SAME_SCORE * float(np.abs(x).max()))
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        degrees += len(x) * (x.shape[1] - 1)
        products[:, rows] = np.vecdot(x, x), np.vecdot(x, y)
    if degrees < DEGREES_NEEDED:
        return None
    variance, covariance = np.add.accumulate(products, axis=1)[:, -1].tolist()  # bit for bit as one after another
    if variance <= degrees * rounding**2:
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
    table = np.asarray(gains, dtype=np.float64)
    lost = np.zeros(len(table), dtype=np.int64)
    for rows, (values,) in equally_known(np.isfinite(table), table, fewest=3):
        learnt = values - chance
        median = np.median(learnt, axis=1, keepdims=True)
        lost[rows] = ((learnt < median / 2) & (median > 0)).sum(axis=1)
    return lost


def skewness(gains: ArrayLike) -> FloatArray:
    """Return the skewness of the policies whose scores are skewed beyond chance, nan for all others.

    The test is D'Agostino's (1970), whose statistic is about normal from 8 values on, by Holm's procedure over the
    policies at `SKEWNESS_LEVEL`. In simulated studies of 1, 13 and 40 policies with normal scores and 8 to 40 seeds it
    names one in 0 to 1.6%, and a policy that collapses on a tenth of its seeds in 5, 46 and 94% at 8, 20 and 40. With
    fewer than 8 seeds it names none: they cannot show it.

    Args:
        gains: [policies, seeds]; a run whose gain is not finite is left out.
    """
    from scipy.special import ndtr

    table = np.asarray(gains, dtype=np.float64)
    found, p = np.full(len(table), np.nan), np.ones(len(table))
    enough = np.isfinite(table).sum(axis=-1) >= FEWEST_FOR_SKEWNESS
    for i in np.flatnonzero(enough).tolist():
        x = table[i][np.isfinite(table[i])]
        n, rest = len(x), x - x.mean()
        if not (variance := float(np.mean(rest**2))) > (SAME_SCORE * np.abs(x).max()) ** 2:
            continue
        found[i] = float(np.mean(rest**3)) / variance**1.5
        y = found[i] * math.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
        kurtosis = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
        w = math.sqrt(2 * (kurtosis - 1)) - 1
        z = math.asinh(y * math.sqrt((w - 1) / 2)) / math.sqrt(math.log(w) / 2)
        p[i] = 2 * float(ndtr(-abs(z)))
    return np.where(holm(p) <= SKEWNESS_LEVEL, found, np.nan)
